"""Ranks of a resample, without sorting it again.

Dims: D draws, N examples, G distinct values.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Ranks = Callable[[np.ndarray], np.ndarray]
"""Weights (D, N) in, the rank of each example (D, N) out; ties share their mean rank."""


def ranks_of(values_N: np.ndarray) -> Ranks:
    """The ranks of these values in a sample that holds each as often as its weight says."""
    _, group_N, sizes_G = np.unique(values_N, return_inverse=True, return_counts=True)
    order_N, starts_G = np.argsort(group_N, kind="stable"), np.cumsum(sizes_G) - sizes_G

    def ranks(weights_DN: np.ndarray) -> np.ndarray:
        held_DG = np.add.reduceat(weights_DN[:, order_N], starts_G, axis=1)
        middle_DG = np.cumsum(held_DG, axis=1) - (held_DG - 1) / 2
        return middle_DG[:, group_N]

    return ranks


def auc(ranks: Ranks, positive_N: np.ndarray, weights_DN: np.ndarray) -> np.ndarray:
    """The chance that a positive ranks above a negative (Mann and Whitney 1947), (D,).

    NaN for a draw without the one or the other.
    """
    positive_DN = weights_DN * positive_N
    n_D = positive_DN.sum(axis=1)
    above_D = (positive_DN * ranks(weights_DN)).sum(axis=1) - n_D * (n_D + 1) / 2
    return ratio(above_D, n_D * (weights_DN.sum(axis=1) - n_D), empty=np.nan)


def ratio(part: np.ndarray, whole: np.ndarray, *, empty: float = 0.0) -> np.ndarray:
    """``part / whole``, and ``empty`` where the whole is 0."""
    out = np.full(np.broadcast_shapes(part.shape, whole.shape), empty)
    return np.divide(part, whole, out=out, where=whole != 0)
