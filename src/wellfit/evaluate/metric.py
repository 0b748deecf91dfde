"""A metric with its interval, and whether one model's is better than another's.

A score is a function from weights to values: how often each example is counted, for many draws
at once, in; a value for each draw out, by name.  The metric is its value where every example
counts once; its interval, and the interval of a difference, come from bootstrap draws of the
same function.

Dims: D draws, N examples.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import chain
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from wellfit.probe import DRAWS, resamples

Score: TypeAlias = Callable[[np.ndarray], dict[str, np.ndarray]]
"""Weights (D, N) in, values (D,) by name out; NaN where a draw leaves a value undefined."""

Verdict: TypeAlias = Literal["better", "worse", "no difference seen"]

_LOWER_IS_BETTER = ("loss", "mse", "mae", "pinball", "calibration_error", "bits_per_byte")


class Metric(NamedTuple):
    """A value, its 95% interval (NaN where there is none), and how many examples it is of."""

    value: float
    ci95: tuple[float, float]
    n: int

    def as_dict(self) -> dict[str, Any]:
        """As plain JSON, which has neither NaN nor infinity."""
        return {"value": or_none(self.value), "ci95": [*map(or_none, self.ci95)], "n": self.n}


class Comparison(NamedTuple):
    """Ours minus theirs on the same examples; better or worse only where the interval says so."""

    difference: float
    ci95: tuple[float, float]
    n: int
    verdict: Verdict

    def as_dict(self) -> dict[str, Any]:
        """As plain JSON; ``unseen`` is how large a difference would have passed unnoticed."""
        found = Metric(self.difference, self.ci95, self.n).as_dict()
        found["difference"] = found.pop("value")
        unseen = (self.ci95[1] - self.ci95[0]) / 2
        return {**found, "verdict": self.verdict, "unseen": or_none(unseen)}


def lower_is_better(metric: str) -> bool:
    """Whether a metric, of one target or of all, is a loss, an error or a perplexity."""
    return metric.startswith(_LOWER_IS_BETTER) or metric.endswith("perplexity")


def measured(score: Score, n: int, *, seed: int = 0) -> dict[str, Metric]:
    """Each value of a score on n examples, with its interval."""
    if n == 0:
        raise ValueError("no examples: there is nothing to measure")
    found = _sampled(score, n, seed)
    return {name: Metric(float(v[0]), _ends(v[1:]), n) for name, v in found.items()}


def compared(ours: Score, theirs: Score, n: int, *, seed: int = 0) -> dict[str, Comparison]:
    """Each difference of two scores of the same n examples, by paired bootstrap."""
    mine, other = _sampled(ours, n, seed), _sampled(theirs, n, seed)
    out = {}
    for name in mine:
        difference = mine[name] - other[name]
        lo, hi = _ends(difference[1:])
        verdict: Verdict = "no difference seen"
        if lo > 0 or hi < 0:
            verdict = "better" if (hi < 0) == lower_is_better(name) else "worse"
        out[name] = Comparison(float(difference[0]), (lo, hi), n, verdict)
    return out


def mean_score(**values_N: np.ndarray) -> Score:
    """The plain mean of what each example scored, such as 0 or 1 for wrong or right."""

    def score(weights_DN: np.ndarray) -> dict[str, np.ndarray]:
        n_D = weights_DN.sum(axis=1)
        return {name: weights_DN @ np.asarray(v, float) / n_D for name, v in values_N.items()}

    return score


def share(right_N: np.ndarray, *, seed: int = 0) -> Metric:
    """The share that is right; exact draws, for the number right in a resample is binomial."""
    n = len(right_N)
    value = float(np.mean(right_N))
    draws = np.random.default_rng(seed).binomial(n, value, DRAWS) / n
    return Metric(value, _ends(draws if n > 1 else draws[:0]), n)


def _sampled(score: Score, n: int, seed: int) -> dict[str, np.ndarray]:
    """Each value where every example counts once, and after it those of the draws."""
    draws = chain([np.ones((1, n))], resamples(n, seed=seed) if n > 1 else ())
    parts = [score(weights_DN) for weights_DN in draws]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _ends(draws_D: np.ndarray) -> tuple[float, float]:
    """The 95% percentile interval of the draws in which the value is defined."""
    defined = draws_D[~np.isnan(draws_D)]
    if len(defined) == 0:
        return math.nan, math.nan
    with np.errstate(invalid="ignore"):  # between two infinities
        lo, hi = np.quantile(defined, (0.025, 0.975))
    return float(lo), float(hi)


def or_none(value: float) -> float | None:
    """The value as JSON has it: None where it is not finite."""
    return value if math.isfinite(value) else None
