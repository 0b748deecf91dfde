"""Dropout whose mask is a pure function of (seed, step, sample, site).

Dims: B sequences, T time, D model, P pool, S sites.

A counter-based generator would do, at the price of a generator call per element.  Instead a
pool of mask values is drawn once from the seed, and every (step, sample, site) reads a window
of it at a hashed offset: one multiplication by a slice.  The mask of a sample does not depend
on how the batch was cut into micro-batches or ranks, and there is no state to save.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

POOL = 1 << 22  # distinct offsets; a window is reused by chance about once in 4M draws

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def mix(*keys: int | np.ndarray) -> np.ndarray:
    """Hash integer keys (broadcast against each other) to uniform uint64 (splitmix64 finaliser)."""
    state = np.zeros(np.broadcast_shapes(*(np.shape(key) for key in keys)), dtype=np.uint64)
    with np.errstate(over="ignore"):
        for key in keys:
            state = (state ^ np.asarray(key).astype(np.uint64)) + _GOLDEN
            state = (state ^ (state >> np.uint64(30))) * _MIX_1
            state = (state ^ (state >> np.uint64(27))) * _MIX_2
            state = state ^ (state >> np.uint64(31))
    return state


class Drop(NamedTuple):
    """What a forward pass needs to drop activations; made by ``DropSource``."""

    pool_P: Tensor  # the compute dtype; 0 or 1 / (1 - rate)
    offsets_BS: Tensor  # int64, where each sample's window starts at each site

    def apply(self, x_BTD: Tensor, site: int) -> Tensor:
        """``x_BTD`` with this site's mask."""
        n = x_BTD.shape[1] * x_BTD.shape[2]
        # Row i is the window at offset i, in no memory of its own.  Choosing rows copies them
        # whole, many times faster than fetching each value by an index of its own.
        windows = self.pool_P.as_strided((len(self.pool_P) - n + 1, n), (1, 1))
        return x_BTD * windows[self.offsets_BS[:, site]].view_as(x_BTD)


class DropSource:
    """Makes each step's ``Drop`` for one run."""

    def __init__(
        self, rate: float, *, seed: int, sites: int, window: int, dtype: torch.dtype, device: str
    ) -> None:
        uniform = mix(seed, 0xD20, np.arange(POOL + window)) >> np.uint64(40)
        kept = torch.from_numpy(uniform >= np.uint64(round(rate * 2**24)))
        self.pool_P = (kept.to(dtype) / (1 - rate)).to(device)
        self.seed, self.sites, self.device = seed, sites, device

    def draw(self, step: int, samples_B: np.ndarray) -> Drop:
        """The masks of these samples at this step."""
        hashed_BS = mix(self.seed, 0xD21, step, samples_B[:, None], np.arange(self.sites))
        offsets_BS = (hashed_BS % np.uint64(POOL)).astype(np.int64)
        return Drop(self.pool_P, torch.from_numpy(offsets_BS).to(self.device))
