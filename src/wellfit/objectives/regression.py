"""Losses of regression.

Dims: B texts, L numbers of each.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, assert_never

import torch
import torch.nn.functional as F
from torch import Tensor

from wellfit.objectives.tally import Tally, counted

ErrorKind: TypeAlias = Literal["mse", "mae", "huber", "quantile"]


def regression_losses(
    predicted_BL: Tensor,
    targets_BL: Tensor,
    *,
    kind: ErrorKind,
    delta: float = 1.0,
    quantile: float = 0.5,
) -> Tensor:
    """Error of each number, (B, L) float32, 0 where its target does not count.

    ``delta`` is where huber turns from squared to absolute; ``quantile`` weighs too low against
    too high as scikit-learn's ``mean_pinball_loss`` does with ``alpha``.

    Shapes   predicted_BL (B, L) any float dtype; targets_BL (B, L) float, NaN where unknown.
    Units    those of the targets, squared in mse and in the middle of huber.
    """
    if predicted_BL.shape != targets_BL.shape:
        raise ValueError(
            "a loss of regression wants as many targets as predictions, "
            f"got {tuple(predicted_BL.shape)} and {tuple(targets_BL.shape)}"
        )
    counts_BL = counted(targets_BL)
    predicted_BL = predicted_BL.float()
    targets_BL = targets_BL.float().where(counts_BL, 0.0)  # NaN times 0 would still be NaN
    match kind:
        case "mse":
            errors_BL = F.mse_loss(predicted_BL, targets_BL, reduction="none")
        case "mae":
            errors_BL = F.l1_loss(predicted_BL, targets_BL, reduction="none")
        case "huber":
            errors_BL = F.huber_loss(predicted_BL, targets_BL, reduction="none", delta=delta)
        case "quantile":
            low_BL = targets_BL - predicted_BL
            errors_BL = torch.maximum(quantile * low_BL, (quantile - 1) * low_BL)
        case never:
            assert_never(never)
    return errors_BL * counts_BL


def regression_loss(predicted_BL: Tensor, targets_BL: Tensor, **options: Any) -> Tally:
    """``regression_losses``, summed over the targets that count."""
    losses_BL = regression_losses(predicted_BL, targets_BL, **options)
    return Tally(losses_BL.sum(), counted(targets_BL).sum())
