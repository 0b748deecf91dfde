"""How far a mean may be from the truth, by resampling what was measured.

The unit of resampling is what is independent: documents where there are enough of them, else
blocks of text.  Tokens are not independent of their neighbours and are never resampled.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

DRAWS = 1000
_ENOUGH_DOCUMENTS = 20
_DRAWS_AT_ONCE = 64


class Interval(NamedTuple):
    """A 95% interval.  Both ends are NaN where fewer than two units were measured."""

    lo: float
    hi: float


class Units(NamedTuple):
    """Sums and counts of the resampling units."""

    totals: np.ndarray  # float64
    counts: np.ndarray  # int64


def units_of(totals: np.ndarray, counts: np.ndarray, documents: np.ndarray) -> Units:
    """Group blocks by document where that leaves enough units, else keep the blocks.

    A block belongs to the document that it begins in; where documents are shorter than blocks,
    the blocks are the coarser unit and stay.
    """
    found, group_of = np.unique(documents, return_inverse=True)
    if not _ENOUGH_DOCUMENTS <= len(found) < len(totals):
        return Units(totals, counts)
    summed = np.bincount(group_of, weights=totals)
    return Units(summed, np.bincount(group_of, weights=counts).astype(np.int64))


def resamples(n: int, *, seed: int = 0) -> Iterator[np.ndarray]:
    """How often each of n units is drawn: (draws, n) float64 a piece, ``DRAWS`` rows in all.

    Float, because a product of matrices is many times faster than one of integers.
    """
    rng = np.random.default_rng(seed)
    for start in range(0, DRAWS, _DRAWS_AT_ONCE):
        size = min(_DRAWS_AT_ONCE, DRAWS - start)
        # counting indices is ten times faster than drawing from the multinomial
        drawn = rng.integers(n, size=(size, n)) + n * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n).astype(np.float64)


def mean_draws(totals: np.ndarray, counts: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """``DRAWS`` bootstrap replicates of ``totals.sum() / counts.sum()``.

    Pass differences of two runs on the same blocks as ``totals`` for a paired comparison.
    """
    return np.concatenate(
        [(w @ totals) / np.maximum(w @ counts, 1) for w in resamples(len(totals), seed=seed)]
    )


def interval(totals: np.ndarray, counts: np.ndarray, *, seed: int = 0) -> Interval:
    """95% percentile bootstrap interval of the mean per target."""
    if len(totals) < 2:
        return Interval(float("nan"), float("nan"))
    lo, hi = np.quantile(mean_draws(totals, counts, seed=seed), (0.025, 0.975))
    return Interval(float(lo), float(hi))
