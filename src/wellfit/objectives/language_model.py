"""The language model's loss.

Dims: T targets, V vocabulary.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from wellfit.objectives.tally import Tally

IGNORE = -100
"""Target that adds neither nats nor a count (padding, prompts)."""


def next_token_nats(logits_TV: Tensor, targets_T: Tensor) -> Tally:
    """Cross-entropy of each target under the logits, summed over counted targets.

    Returns the sum and the count rather than the mean because the mean of
    micro-batch means is not the batch mean when padding differs between them.

    Shapes   logits_TV (T, V) any float dtype; targets_T (T,) int64.
    Units    nats.  Divide by ln 2 for bits.
    Ignored  targets equal to ``IGNORE``.
    Gradient flows to ``logits_TV`` only.  All arithmetic is float32.

    Raises ``ValueError`` if the shapes do not line up.  A target outside [0, V)
    is the caller's bug and is left to torch, because checking it would cost a
    device sync on every step.
    """
    if logits_TV.ndim != 2 or targets_T.shape != logits_TV.shape[:1]:
        raise ValueError(
            "next_token_nats wants logits (T, V) and targets (T,), "
            f"got {tuple(logits_TV.shape)} and {tuple(targets_T.shape)}"
        )
    nats = F.cross_entropy(logits_TV.float(), targets_T, ignore_index=IGNORE, reduction="sum")
    return Tally(nats, (targets_T != IGNORE).sum())
