"""What a task learns from a micro-batch: its rows as tensors, and the loss on them.

Adding a task adds a case here, a reader in ``data`` and its metrics in ``evaluate``; the loop, the
step and the record know nothing of tasks.

Dims: B rows of a micro-batch, T time, D model, V vocabulary, L labels, C classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, assert_never

import numpy as np
import torch
from torch import Tensor

from wellfit.config import (
    Absolute,
    Chat,
    Classify,
    Complete,
    CrossEntropy,
    Focal,
    Huber,
    LanguageModel,
    Quantile,
    Regress,
    Squared,
    Task,
    TokenLoss,
)
from wellfit.data import IGNORE, Labels, Rows, Split
from wellfit.errors import ConfigError
from wellfit.model import Decoder, Drop, Noise, dropping
from wellfit.objectives import (
    Tally,
    class_loss,
    linear_cross_entropy,
    pays,
    regression_loss,
    several_loss,
    token_loss,
)
from wellfit.report.measures import loss_unit
from wellfit.store import Unit


class MicroBatch(NamedTuple):
    """A part of a batch that goes through the model at once, still on the host."""

    tokens_BT: Tensor
    targets_BT: Tensor  # (B, 0) where the rows are labelled
    segments_BT: Tensor | None
    lengths_B: Tensor | None
    labels_BL: Tensor | None
    drop: Noise | None
    n_targets: int  # whose loss counts
    weight: float  # what their losses add up to weighing: the divisor of the sum
    lora_drop: Drop | None = None  # for the inputs of LoRA's small matrices

    def to(self, device: str | torch.device) -> MicroBatch:
        """The same with its tensors on the device."""
        return self._replace(
            tokens_BT=self.tokens_BT.to(device, non_blocking=True),
            targets_BT=self.targets_BT.to(device, non_blocking=True),
            segments_BT=_moved(self.segments_BT, device),
            lengths_B=_moved(self.lengths_B, device),
            labels_BL=_moved(self.labels_BL, device),
        )


def _moved(tensor: Tensor | None, device: str | torch.device) -> Tensor | None:
    return None if tensor is None else tensor.to(device, non_blocking=True)


LossOf = Callable[[MicroBatch], Tally]
"""The summed loss of a micro-batch, to be divided by the weight of the whole batch."""

_Sums = Callable[..., Tally]  # of the tensors of a micro-batch and its drop


def micro_batch(rows: Rows, drop: Noise | None, *, weights_C: np.ndarray | None) -> MicroBatch:
    """Rows as tensors; ``weights_C`` are those of the classes where they differ."""
    if rows.labels is None:
        n_targets = int((rows.targets != IGNORE).sum())
        weight = float(n_targets)
    else:
        n_targets, weight = len(rows.labels), float(rows.labels.size)
        if weights_C is not None:
            weight = float(weights_C[rows.labels[:, 0].astype(np.int64)].sum())
    return MicroBatch(
        torch.from_numpy(rows.inputs),
        torch.from_numpy(rows.targets),
        _tensor(rows.segments),
        _tensor(rows.lengths),
        _tensor(rows.labels),
        drop,
        n_targets,
        weight,
    )


def _tensor(array: np.ndarray | None) -> Tensor | None:
    return None if array is None else torch.from_numpy(array)


def unit_of(task: Task) -> Unit:
    """What the task's loss is counted in."""
    return "deviations" if isinstance(task, Regress) else "nats"


def loss_unit_of(task: Task) -> str:
    """The same in words, and per what: ``squared deviations per text``."""
    kind = task.loss.kind if isinstance(task, Regress) else None
    return loss_unit({"task": task.kind, "unit": unit_of(task)}, kind)


def class_weights(task: Task, labels: Labels | None, split: Split) -> np.ndarray | None:
    """Weight of each class (C,) in the loss, where the recipe gives any; else None.

    Raises ``ConfigError`` for a list of another length than there are classes, and for texts
    with several labels, whose losses are not of one class.
    """
    if not isinstance(task, Classify) or task.loss.class_weights is None:
        return None
    assert labels is not None and split.labels is not None, split.name
    given, names = task.loss.class_weights, labels.names
    if task.several:
        raise ConfigError(["task.loss.class_weights: with task.several, leave them out (null)"])
    if given == "balanced":
        seen = np.bincount(split.labels[:, 0].astype(np.int64), minlength=len(names))
        return len(split.labels) / (len(names) * np.maximum(seen, 1))
    if len(given) != len(names):
        raise ConfigError(
            [
                f"task.loss.class_weights: {len(given)} weights for {len(names)} classes; write "
                f"one for each of {', '.join(names)}, in this order, or balanced"
            ]
        )
    return np.array(given)


def loss_of(
    model: Any, task: Task, labels: Labels | None, weights_C: np.ndarray | None, *, compiled: bool
) -> LossOf:
    """The loss that the task asks for, as a function of a micro-batch."""
    sums: _Sums
    match task:
        case LanguageModel() | Complete() | Chat():
            sums = _tokens(model, task.loss)
        case Classify():
            sums = _classes(model, task, weights_C)
        case Regress():
            assert labels is not None, task
            sums = _numbers(model, task, labels)
        case never:
            assert_never(never)
    # Rows of plain text and packed ones have one length; others differ from batch to batch.
    run = torch.compile(sums, dynamic=None if labels else False) if compiled else sums

    def loss(m: MicroBatch) -> Tally:
        if m.lora_drop is None:
            return run(*m[:6])
        with dropping(model, m.lora_drop):
            return run(*m[:6])

    return loss


def _tokens(model: Decoder, cfg: TokenLoss) -> _Sums:
    smoothing, z_weight = cfg.label_smoothing, cfg.z_loss

    def sums(
        tokens_BT: Tensor,
        targets_BT: Tensor,
        segments_BT: Tensor | None,
        lengths_B: None,
        labels_BL: None,
        drop: Noise | None,
    ) -> Tally:
        hidden_TD = model.hidden(tokens_BT, segments_BT=segments_BT, drop=drop).flatten(0, 1)
        targets_T = targets_BT.flatten()
        if pays(len(targets_T), model.shape.vocab):
            return linear_cross_entropy(
                hidden_TD,
                model.head_weight,
                targets_T,
                softcap=model.shape.softcap,
                label_smoothing=smoothing,
                z_weight=z_weight,
            )
        logits_TV = model.logits(hidden_TD)
        return token_loss(logits_TV, targets_T, label_smoothing=smoothing, z_weight=z_weight)

    return sums


def _classes(model: Any, task: Classify, weights_C: np.ndarray | None) -> _Sums:
    weights = None if weights_C is None else torch.from_numpy(weights_C).float()
    gamma = task.loss.gamma if isinstance(task.loss, Focal) else None
    smoothing = task.loss.label_smoothing if isinstance(task.loss, CrossEntropy) else 0.0

    def tally_of(scores_BC: Tensor, labels_BL: Tensor) -> Tally:
        if task.several:
            return several_loss(scores_BC, labels_BL, label_smoothing=smoothing, gamma=gamma)
        moved = None if weights is None else weights.to(scores_BC.device)
        return class_loss(
            scores_BC,
            labels_BL[:, 0].long(),
            weights_C=moved,
            label_smoothing=smoothing,
            gamma=gamma,
        )

    return _labelled(model, tally_of)


def _numbers(model: Any, task: Regress, labels: Labels) -> _Sums:
    means_L, deviations_L = torch.tensor(labels.means), torch.tensor(labels.deviations)
    options = regression_options(task)

    def tally_of(predicted_BL: Tensor, labels_BL: Tensor) -> Tally:
        on = predicted_BL.device
        wanted_BL = (labels_BL - means_L.to(on)) / deviations_L.to(on)
        return regression_loss(predicted_BL, wanted_BL, **options)

    return _labelled(model, tally_of)


def _labelled(model: Any, tally_of: Callable[[Tensor, Tensor], Tally]) -> _Sums:
    """The loss of what the model makes of each text, and its labels."""

    def sums(
        tokens_BT: Tensor,
        targets_BT: Tensor,
        segments_BT: None,
        lengths_B: Tensor,
        labels_BL: Tensor,
        drop: Noise | None,
    ) -> Tally:
        return tally_of(model.outputs_of(tokens_BT, lengths_B, drop=drop), labels_BL)

    return sums


def regression_options(task: Regress) -> dict[str, Any]:
    """The recipe's loss as arguments of ``regression_loss``."""
    match task.loss:
        case Squared() | Absolute():
            return {"kind": task.loss.kind}
        case Huber(delta=delta):
            return {"kind": "huber", "delta": delta}
        case Quantile(quantile=quantile):
            return {"kind": "quantile", "quantile": quantile}
        case never:
            assert_never(never)
