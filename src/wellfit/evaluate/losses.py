"""The loss of every block of a split.

Dims: N blocks, B blocks at a time, T time, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from wellfit.data import Blocks
from wellfit.objectives import IGNORE

LogitsOf = Callable[[Tensor], Tensor]
"""Token ids (B, T) in, logits (B, T, V) out."""

Watch = Callable[[int, int], None]
"""Hears of work done, and of how much there is."""

_LOGITS_AT_ONCE = 1 << 24  # logits held at a time; 64 MB in float32


@torch.inference_mode()
def block_nats(
    logits_of: LogitsOf,
    blocks: Blocks,
    *,
    vocab: int,
    device: str,
    part: tuple[int, int] = (0, 1),
    watch: Watch | None = None,
) -> np.ndarray:
    """Summed nats of each block, (N,) float64.

    ``part`` (rank, world) computes every world-th group of blocks and leaves zeros elsewhere,
    so that ranks can share the work and sum.  Weighted by targets, never by blocks: divide the
    sum by ``blocks.counts``.  ``watch`` hears of blocks done and in all; it may raise to stop.
    """
    size = max(1, _LOGITS_AT_ONCE // (blocks.context * vocab))
    size = min(size, 64)
    out = np.zeros(len(blocks))
    for turn, start in enumerate(range(0, len(blocks), size)):
        if turn % part[1] != part[0]:
            continue
        rows = blocks.rows(start, min(start + size, len(blocks)))
        tokens_BT = torch.from_numpy(rows.inputs).to(device)
        targets_BT = torch.from_numpy(rows.targets).to(device)
        logits_BTV = logits_of(tokens_BT)
        nats = F.cross_entropy(
            logits_BTV.flatten(0, 1).float(),
            targets_BT.flatten(),
            ignore_index=IGNORE,
            reduction="none",
        )
        sums_B = nats.view(targets_BT.shape).double().sum(dim=1)
        out[start : start + len(sums_B)] = sums_B.cpu().numpy()
        if watch is not None:
            watch(start + len(sums_B), len(blocks))
    return out
