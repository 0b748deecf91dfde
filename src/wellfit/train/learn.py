"""What a task learns from a micro-batch: its rows as tensors, and the loss on them.

Adding a task adds a case here, a reader in ``data`` and its metrics in ``evaluate``; the loop, the
step and the record know nothing of tasks.

Dims: B rows of a micro-batch, T time, D model, V vocabulary, L labels, C classes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple, assert_never

import numpy as np
import torch
from torch import Tensor

from wellfit import objectives
from wellfit.config import task as kinds
from wellfit.config.task import Task
from wellfit.data import IGNORE, Labels, Rows, Split
from wellfit.errors import ConfigError
from wellfit.model import Decoder, Drop, Noise
from wellfit.objectives import Tally
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

    def pinned(self) -> MicroBatch:
        """The same in memory that a GPU can copy from by itself."""
        return MicroBatch._make(x.pin_memory() if isinstance(x, Tensor) else x for x in self)

    def to(self, device: str | torch.device) -> MicroBatch:
        """The same with its tensors on the device."""
        return MicroBatch._make(
            x.to(device, non_blocking=True) if isinstance(x, Tensor) else x for x in self
        )


LossOf = Callable[[MicroBatch], Tally]
"""The summed loss of a micro-batch, to be divided by the weight of the whole batch."""

How = bool | str
"""A way to compile, as train.compile has it when it is decided."""

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
    arrays = (rows.inputs, rows.targets, rows.segments, rows.lengths, rows.labels)
    tensors = [None if array is None else torch.from_numpy(array) for array in arrays]
    return MicroBatch._make([*tensors, drop, n_targets, weight, None])


def unit_of(task: Task) -> Unit:
    """What the task's loss is counted in."""
    return "deviations" if isinstance(task, kinds.Regress) else "nats"


def loss_unit_of(task: Task) -> str:
    """The same in words, and per what: ``squared deviations per text``."""
    kind = task.loss.kind if isinstance(task, kinds.Regress) else None
    return loss_unit({"task": task.kind, "unit": unit_of(task)}, kind)


def class_weights(task: Task, labels: Labels | None, split: Split) -> np.ndarray | None:
    """Weight of each class (C,) in the loss, where the recipe gives any; else None.

    Raises ``ConfigError`` for a list of another length than there are classes, and for texts
    with several labels, whose losses are not of one class.
    """
    if not isinstance(task, kinds.Classify) or task.loss.class_weights is None:
        return None
    assert labels is not None and split.labels is not None, split.name
    given, names = task.loss.class_weights, labels.names
    if task.several:
        raise ConfigError(["task.loss.class_weights: with task.several, leave them out (null)"])
    if given == "balanced":
        seen = np.bincount(split.labels[:, 0].astype(np.int64), minlength=len(names))
        return len(split.labels) / (len(names) * np.maximum(seen, 1))
    if len(given) != len(names):
        problem = (
            f"task.loss.class_weights: {len(given)} weights for {len(names)} classes; write "
            f"one for each of {', '.join(names)}, in this order, or balanced"
        )
        raise ConfigError([problem])
    return np.array(given)


def loss_of(
    model: Any, task: Task, labels: Labels | None, weights_C: np.ndarray | None, *, compiled: How
) -> LossOf:
    """The loss that the task asks for, as a function of a micro-batch."""
    sums: _Sums
    match task:
        case kinds.LanguageModel() | kinds.Complete() | kinds.Chat():
            sums = _tokens(model, task.loss, compiled=bool(compiled))
        case kinds.Classify():
            sums = _classes(model, task, weights_C)
        case kinds.Regress():
            assert labels is not None, task
            sums = _numbers(model, task, labels)
        case never:
            assert_never(never)
    # Rows of plain text and packed ones have one length; others differ from batch to batch.
    # CUDA graphs only where they were asked for: they need passes that never accumulate.
    # On a processor a product and a sum become one instruction, as a GPU has it in any case.
    how: dict[str, Any] = {"options": {"cpp.enable_floating_point_contract_flag": "fast"}}
    how = {"mode": "reduce-overhead"} if compiled == "cuda-graphs" else how
    run = torch.compile(sums, dynamic=None if labels else False, **how) if compiled else sums

    def loss(m: MicroBatch) -> Tally:
        if labels is None:
            whole = m.n_targets == m.targets_BT.numel()
            return run(m.tokens_BT, m.targets_BT, m.segments_BT, m.drop, whole)
        return run(m.tokens_BT, m.lengths_B, m.labels_BL, m.drop)

    return loss


def _tokens(model: Decoder, cfg: kinds.TokenLoss, *, compiled: bool) -> _Sums:
    extra: Any = {"label_smoothing": cfg.label_smoothing, "z_weight": cfg.z_loss}
    fused, linear = compiled and model.head_weight.is_cuda, objectives.linear_cross_entropy
    linear = linear if compiled else inspect.unwrap(linear)  # whose wrapper loads the compiler
    more = {**extra, "softcap": model.shape.softcap, "fused": fused}

    def sums(
        tokens_BT: Tensor,
        targets_BT: Tensor,
        segments_BT: Tensor | None,
        drop: Noise | None,
        whole: bool,  # every target counts, as the host knows without asking the device
    ) -> Tally:
        hidden_TD = model.hidden(tokens_BT, segments_BT=segments_BT, drop=drop).flatten(0, 1)
        targets_T = targets_BT.flatten()
        if objectives.pays(len(targets_T), model.shape.vocab):
            return linear(hidden_TD, model.head_weight, targets_T, all_count=whole, **more)
        return objectives.token_loss(model.logits(hidden_TD), targets_T, **extra)

    return sums


def _classes(model: Any, task: kinds.Classify, weights_C: np.ndarray | None) -> _Sums:
    device, weights = next(model.parameters()).device, None
    if weights_C is not None:
        weights = torch.from_numpy(weights_C).float().to(device)
    match task.loss:
        case kinds.Focal(gamma=gamma):
            extra: dict[str, Any] = {"gamma": gamma}
        case kinds.CrossEntropy(label_smoothing=smoothing):
            extra = {"label_smoothing": smoothing}
        case never:
            assert_never(never)

    def tally_of(scores_BC: Tensor, labels_BL: Tensor) -> Tally:
        if task.several:
            return objectives.several_loss(scores_BC, labels_BL, **extra)
        return objectives.class_loss(scores_BC, labels_BL[:, 0].long(), weights_C=weights, **extra)

    return _labelled(model, tally_of)


def _numbers(model: Any, task: kinds.Regress, labels: Labels) -> _Sums:
    device, options = next(model.parameters()).device, regression_options(task)
    means_L, deviations_L = torch.tensor((labels.means, labels.deviations), device=device)

    def tally_of(predicted_BL: Tensor, labels_BL: Tensor) -> Tally:
        wanted_BL = (labels_BL - means_L) / deviations_L
        return objectives.regression_loss(predicted_BL, wanted_BL, **options)

    return _labelled(model, tally_of)


def _labelled(model: Any, tally_of: Callable[[Tensor, Tensor], Tally]) -> _Sums:
    """The loss of what the model makes of each text, and its labels."""

    def sums(tokens_BT: Tensor, lengths_B: Tensor, labels_BL: Tensor, drop: Noise | None) -> Tally:
        return tally_of(model.outputs_of(tokens_BT, lengths_B, drop=drop), labels_BL)

    return sums


def regression_options(task: kinds.Regress) -> dict[str, Any]:
    """The recipe's loss as arguments of ``regression_loss``."""
    match task.loss:
        case kinds.Huber(delta=delta):
            return {"kind": "huber", "delta": delta}
        case kinds.Quantile(quantile=quantile):
            return {"kind": "quantile", "quantile": quantile}
        case kinds.Squared() | kinds.Absolute():
            return {"kind": task.loss.kind}
        case never:
            assert_never(never)
