"""How well numbers are told: from predictions and targets to metrics with their intervals.

Dims: D draws, N examples, K targets, S sums.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wellfit.evaluate.metric import Score
from wellfit.evaluate.ranks import ALL, ranks_of, ratio


def regression_score(
    predictions_NK: np.ndarray,
    targets_NK: np.ndarray,
    names: Sequence[str],
    *,
    quantile: float | None = None,
) -> Score:
    """MSE, MAE, R2, Pearson's and Spearman's correlation; the pinball loss of a quantile.

    With several targets each value ends in the name of its target.  R2 is undefined for targets
    that are all equal, a correlation also for predictions that are.
    """
    if predictions_NK.shape != targets_NK.shape or predictions_NK.shape[1:] != (len(names),):
        raise ValueError(
            f"regression wants predictions and targets (N, {len(names)}), "
            f"got {predictions_NK.shape} and {targets_NK.shape}"
        )
    scores = [
        _score_one(p.astype(np.float64), y.astype(np.float64), quantile)
        for p, y in zip(predictions_NK.T, targets_NK.T, strict=True)
    ]
    ends = [f"_{name}" for name in names] if len(names) > 1 else [""]

    def score(weights_DN: np.ndarray) -> dict[str, np.ndarray]:
        return {
            name + end: value
            for one, end in zip(scores, ends, strict=True)
            for name, value in one(weights_DN).items()
        }

    return score


def _score_one(predicted_N: np.ndarray, target_N: np.ndarray, quantile: float | None) -> Score:
    error_N = target_N - predicted_N
    stats = [error_N**2, np.abs(error_N)]
    if quantile is not None:
        stats.append(np.maximum(quantile * error_N, (quantile - 1) * error_N))
    stats_NS = np.stack(stats, axis=1)
    # From the first, so that equal numbers are exactly 0 apart.
    y_N, p_N = target_N - target_N[0], predicted_N - predicted_N[0]
    ranks_y, ranks_p = ranks_of(target_N), ranks_of(predicted_N)

    def score(weights_DN: np.ndarray) -> dict[str, np.ndarray]:
        means_DS = weights_DN @ stats_NS / weights_DN.sum(axis=1, keepdims=True)
        y_DN, p_DN = _centred(y_N, weights_DN), _centred(p_N, weights_DN)
        of_y_DN = _centred(ranks_y(weights_DN, ALL), weights_DN)
        of_p_DN = _centred(ranks_p(weights_DN, ALL), weights_DN)
        variance_D = (weights_DN * y_DN**2).sum(axis=1) / weights_DN.sum(axis=1)
        out = {
            "mse": means_DS[:, 0],
            "mae": means_DS[:, 1],
            "r2": 1 - ratio(means_DS[:, 0], variance_D, empty=np.nan),
            "pearson": _correlation(y_DN, p_DN, weights_DN),
            "spearman": _correlation(of_y_DN, of_p_DN, weights_DN),
        }
        return out if quantile is None else {**out, "pinball": means_DS[:, 2]}

    return score


def _centred(x: np.ndarray, weights_DN: np.ndarray) -> np.ndarray:
    mean_D1 = (weights_DN * x).sum(axis=1, keepdims=True) / weights_DN.sum(axis=1, keepdims=True)
    return x - mean_D1


def _correlation(y_DN: np.ndarray, p_DN: np.ndarray, weights_DN: np.ndarray) -> np.ndarray:
    weighted_DN = weights_DN * y_DN
    spread_D = (weighted_DN * y_DN).sum(axis=1) * (weights_DN * p_DN**2).sum(axis=1)
    return ratio((weighted_DN * p_DN).sum(axis=1), np.sqrt(spread_D), empty=np.nan)
