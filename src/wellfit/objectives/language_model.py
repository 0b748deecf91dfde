"""The language model's loss.

Dims: T targets, V vocabulary.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from wellfit.objectives.tally import IGNORE, Tally, counted


def token_loss(
    logits_TV: Tensor, targets_T: Tensor, *, label_smoothing: float = 0.0, z_weight: float = 0.0
) -> Tally:
    """What training minimises, summed over counted targets: nats, and what is asked beside them.

    With nothing asked it is the cross-entropy of each target; divide by ln 2 for bits.

    Returns the sum and the count rather than the mean because the mean of
    micro-batch means is not the batch mean when padding differs between them.

    Shapes   logits_TV (T, V) any float dtype; targets_T (T,) int64.
    Ignored  targets equal to ``IGNORE``.
    Gradient flows to ``logits_TV`` only.  All arithmetic is float32.
    Sources  label smoothing as torch's cross_entropy has it (arXiv:1512.00567, sec. 7);
             ``z_weight`` times the squared log normaliser of each (arXiv:2204.02311, sec. 5).

    Raises ``ValueError`` if the shapes do not line up.  A target outside [0, V)
    is the caller's bug and is left to torch, because checking it would cost a
    device sync on every step.
    """
    if logits_TV.ndim != 2 or targets_T.shape != logits_TV.shape[:1]:
        raise ValueError(
            "token_loss wants logits (T, V) and targets (T,), "
            f"got {tuple(logits_TV.shape)} and {tuple(targets_T.shape)}"
        )
    logits_TV, counts_T = logits_TV.float(), counted(targets_T)
    total = F.cross_entropy(
        logits_TV, targets_T, ignore_index=IGNORE, reduction="sum", label_smoothing=label_smoothing
    )
    if z_weight:
        squares_T = torch.logsumexp(logits_TV, dim=-1).square()
        total = total + z_weight * torch.where(counts_T, squares_T, 0.0).sum()
    return Tally(total, counts_T.sum())
