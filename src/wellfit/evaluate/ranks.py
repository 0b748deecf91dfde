"""Ranks of a resample, without sorting it again.

Dims: D draws, N examples, P positives, G distinct values.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Ranks = Callable[[np.ndarray, np.ndarray | slice], np.ndarray]
"""Weights (D, N) and which examples are asked for in; their ranks out, ties at their mean."""

ALL = slice(None)


def ranks_of(values_N: np.ndarray) -> Ranks:
    """The ranks of these values in a sample that holds each as often as its weight says."""
    _, group_N, sizes_G = np.unique(values_N, return_inverse=True, return_counts=True)
    order_N, starts_G = np.argsort(group_N, kind="stable"), np.cumsum(sizes_G) - sizes_G
    distinct = len(sizes_G) == len(values_N)

    def ranks(weights_DN: np.ndarray, asked: np.ndarray | slice) -> np.ndarray:
        held_DG = weights_DN[:, order_N]
        if not distinct:
            held_DG = np.add.reduceat(held_DG, starts_G, axis=1)
        group = group_N[asked]
        return np.cumsum(held_DG, axis=1)[:, group] - (held_DG[:, group] - 1) / 2

    return ranks


def auc(ranks: Ranks, positive_N: np.ndarray, weights_DN: np.ndarray) -> np.ndarray:
    """The chance that a positive ranks above a negative (Mann and Whitney 1947), (D,).

    NaN for a draw without the one or the other.
    """
    positives = np.flatnonzero(positive_N)
    held_DP = weights_DN[:, positives]
    n_D = held_DP.sum(axis=1)
    above_D = (held_DP * ranks(weights_DN, positives)).sum(axis=1) - n_D * (n_D + 1) / 2
    return ratio(above_D, n_D * (weights_DN.sum(axis=1) - n_D), empty=np.nan)


def ratio(part: np.ndarray, whole: np.ndarray, *, empty: float = 0.0) -> np.ndarray:
    """``part / whole``, and ``empty`` where the whole is 0."""
    out = np.full(np.broadcast_shapes(part.shape, whole.shape), empty)
    return np.divide(part, whole, out=out, where=whole != 0)
