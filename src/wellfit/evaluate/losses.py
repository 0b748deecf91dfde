"""The loss of every block of a split, and what a labelled task's model said of it.

Dims: N blocks, B blocks at a time, T time, D model, V vocabulary, O outputs, C classes, L labels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from wellfit.data import Blocks, Labels, Rows
from wellfit.objectives import linear_nats, regression_losses


class Scored(NamedTuple):
    """Some rows, scored."""

    nats_B: Tensor  # summed over the targets of each row
    outputs_BO: Tensor | None = None  # of a labelled task


Scorer = Callable[[Rows], Scored]
"""How rows are scored by a model as it is now; without gradients."""

Watch = Callable[[int, int], None]
"""Hears of work done, and of how much there is."""

_PLACES_AT_ONCE = 1 << 14  # inputs held at a time


class BlockScores(NamedTuple):
    """All blocks, scored."""

    nats_N: np.ndarray  # float64
    outputs_NO: np.ndarray | None  # float32, of a labelled task


def labels_of(blocks: Blocks) -> np.ndarray:
    """What stands beside each text of a labelled split, (N, L) float64."""
    assert blocks.split.labels is not None, blocks.split.name
    return np.asarray(blocks.split.labels[blocks.documents], dtype=np.float64)


@torch.inference_mode()
def score_blocks(
    scorer: Scorer, blocks: Blocks, *, part: tuple[int, int] = (0, 1), watch: Watch | None = None
) -> BlockScores:
    """Summed loss of each block.

    ``part`` (rank, world) computes every world-th group of blocks and leaves zeros elsewhere,
    so that ranks can share the work and sum.  Weighted by targets, never by blocks: divide the
    sum by ``blocks.counts``.  ``watch`` hears of blocks done and in all; it may raise to stop.
    """
    nats_N, outputs_NO = np.zeros(len(blocks)), None
    for turn, rows in enumerate(blocks.batches(_PLACES_AT_ONCE)):
        ours = turn % part[1] == part[0]
        if not ours and turn > 0:
            continue
        # The first group is scored by every rank: one without work must still know of outputs,
        # since all of them join in each sum.
        scored = scorer(rows)
        if turn == 0 and scored.outputs_BO is not None:
            outputs_NO = np.zeros((len(blocks), scored.outputs_BO.shape[1]), dtype=np.float32)
        if not ours:
            continue
        nats_N[rows.samples] = scored.nats_B.double().cpu().numpy()
        if scored.outputs_BO is not None and outputs_NO is not None:
            outputs_NO[rows.samples] = scored.outputs_BO.float().cpu().numpy()
        if watch is not None:
            watch(int(rows.samples[-1]) + 1, len(blocks))
    return BlockScores(nats_N, outputs_NO)


def token_scorer(model: Any) -> Scorer:
    """Nats of each row's counted tokens under a decoder."""
    device = next(model.parameters()).device

    def score(rows: Rows) -> Scored:
        tokens_BT = torch.from_numpy(rows.inputs).to(device)
        targets_BT = torch.from_numpy(rows.targets).to(device)
        hidden_TD = model.hidden(tokens_BT).flatten(0, 1)
        nats_T = linear_nats(
            hidden_TD, model.head_weight, targets_BT.flatten(), softcap=model.shape.softcap
        )
        return Scored(nats_T.view(targets_BT.shape).double().sum(dim=1))

    return score


def class_scorer(model: Any, *, several: bool) -> Scorer:
    """Nats of each text's label (with ``several``, the mean over the labels), and the scores."""

    def score(scores_BC: Tensor, labels_BL: Tensor) -> Scored:
        if several:
            nats_BC = F.binary_cross_entropy_with_logits(scores_BC, labels_BL, reduction="none")
            return Scored(nats_BC.mean(dim=1), scores_BC)
        nats_B = F.cross_entropy(scores_BC, labels_BL[:, 0].long(), reduction="none")
        return Scored(nats_B, scores_BC)

    return _labelled(model, score)


def number_scorer(model: Any, labels: Labels, options: dict[str, Any]) -> Scorer:
    """The loss of each text's numbers, their mean where there are several, and the predictions.

    The loss is that of training, on targets in deviations of train; the predictions are in the
    units of the data.
    """
    device = next(model.parameters()).device
    means_L, deviations_L = torch.tensor((labels.means, labels.deviations), device=device)

    def score(predicted_BL: Tensor, labels_BL: Tensor) -> Scored:
        wanted_BL = (labels_BL - means_L) / deviations_L
        losses_BL = regression_losses(predicted_BL, wanted_BL, **options)
        return Scored(losses_BL.mean(dim=1), predicted_BL * deviations_L + means_L)

    return _labelled(model, score)


def _labelled(model: Any, score: Callable[[Tensor, Tensor], Scored]) -> Scorer:
    """A scorer from a function of what the model makes of each text, and its labels."""
    device = next(model.parameters()).device

    def of_rows(rows: Rows) -> Scored:
        assert rows.lengths is not None and rows.labels is not None, "rows of a labelled task"
        tokens_BT = torch.from_numpy(rows.inputs).to(device)
        lengths_B = torch.from_numpy(rows.lengths).to(device)
        outputs_BO = model.outputs_of(tokens_BT, lengths_B).float()
        return score(outputs_BO, torch.from_numpy(rows.labels).to(device))

    return of_rows
