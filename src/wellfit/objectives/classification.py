"""Losses of classification: one label a text, or several.

Dims: B texts, C classes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from wellfit.objectives.tally import IGNORE, Tally, counted


def class_loss(
    scores_BC: Tensor,
    labels_B: Tensor,
    *,
    weights_C: Tensor | None = None,
    label_smoothing: float = 0.0,
    gamma: float | None = None,
) -> Tally:
    """Cross-entropy of each label under the scores, as torch's with reduction "sum".

    ``gamma`` multiplies the part of each class by (1 - p) to its power (focal loss,
    arXiv:1708.02002); 0 is cross-entropy.

    With ``weights_C`` the count is the sum of the labels' weights, so that total over count is
    torch's weighted mean; it is a function of the labels alone, known before backward.

    Shapes   scores_BC (B, C) any float dtype; labels_B (B,) int64, ``IGNORE`` for none.
    Units    nats, times weights.
    """
    scores_BC, counts_B = scores_BC.float(), counted(labels_B)
    known_B = labels_B.where(counts_B, 0)
    count = (counts_B if weights_C is None else weights_C[known_B] * counts_B).sum()
    if gamma is None:
        total = F.cross_entropy(
            scores_BC,
            labels_B,
            weight=weights_C,
            ignore_index=IGNORE,
            reduction="sum",
            label_smoothing=label_smoothing,
        )
        return Tally(total, count)
    C = scores_BC.shape[1]
    share_BC = F.one_hot(known_B, C) * (1 - label_smoothing) + label_smoothing / C
    if weights_C is not None:
        share_BC = share_BC * weights_C
    losses_BC = share_BC * _focal(F.log_softmax(scores_BC, dim=-1), gamma)
    return Tally((losses_BC * counts_B[:, None]).sum(), count)


def several_loss(
    scores_BC: Tensor,
    targets_BC: Tensor,
    *,
    label_smoothing: float = 0.0,
    gamma: float | None = None,
) -> Tally:
    """Binary cross-entropy of each label on its own, as torch's with logits and "sum".

    ``label_smoothing`` draws targets towards 1/2; ``gamma`` is that of ``class_loss``.  The count
    is of pairs of text and label.

    Shapes   scores_BC (B, C) any float dtype; targets_BC (B, C), 1 where the label is present,
             0 where not, ``IGNORE`` (in floats: NaN) where nobody knows.
    """
    scores_BC, counts_BC = scores_BC.float(), counted(targets_BC)
    present_BC = targets_BC.where(counts_BC, 0).float()
    present_BC = present_BC * (1 - label_smoothing) + label_smoothing / 2
    yes_BC = _focal(F.logsigmoid(scores_BC), gamma)
    no_BC = _focal(F.logsigmoid(-scores_BC), gamma)
    losses_BC = torch.lerp(no_BC, yes_BC, present_BC)
    return Tally((losses_BC * counts_BC).sum(), counts_BC.sum())


def _focal(log_p: Tensor, gamma: float | None) -> Tensor:
    """Nats of each, times (1 - p) to the power gamma."""
    if gamma is None:
        return -log_p
    # where p rounds to 1, a power below 1 would have an infinite slope
    return -log_p * (-torch.expm1(log_p)).clamp_min(1e-30).pow(gamma)
