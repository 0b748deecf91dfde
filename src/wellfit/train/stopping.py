"""What is watched of val: the metric that chooses the weights, ends the run, and cuts the rate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from wellfit.config import Stop
from wellfit.config.optim import Plateau
from wellfit.errors import ConfigError
from wellfit.evaluate.metric import lower_is_better
from wellfit.store import Evaluation


class Watched(NamedTuple):
    """The watched metric at one evaluation, turned so that less is better; inf if it has none."""

    value: float
    standard_error: float


def watch(stop: Stop | None, val: Evaluation) -> Watched:
    """What ``stop`` watches of an evaluation of val; its loss where there is no stop.

    The standard error is half the 95% interval over 1.96.

    Raises ``ConfigError`` for a metric that was not measured.
    """
    name = stop.metric if stop else "loss"
    known = {"loss": {"value": val.loss, "ci95": [val.loss_lo, val.loss_hi]}, **val.metrics}
    if name not in known:
        problem = (
            f"stop.metric: {name} is not measured with each evaluation; there are "
            f"{', '.join(sorted(known))} (evaluate.metrics: true measures all that the task has)"
        )
        raise ConfigError([problem])
    value, ends = known[name]["value"], known[name].get("ci95")
    if value is None or math.isnan(value):  # as a correlation is while all predictions are equal
        return Watched(math.inf, 0.0)
    error = (ends[1] - ends[0]) / (2 * 1.96) if ends and None not in ends else 0.0
    return Watched(value if lower_is_better(name) else -value, error if error > 0 else 0.0)


@dataclass
class StopState:
    """What early stopping remembers: the best evaluation so far, and how long ago it was."""

    best: float | None = None  # turned so that less is better
    best_step: int | None = None
    stale: int = 0  # evaluations since the best one

    def observe(self, step: int, seen: Watched, *, min_gain: float) -> bool:
        """Take note of an evaluation; return whether it is the best so far.

        Patience runs on gains of more than ``min_gain`` standard errors; any gain at all moves
        the best.
        """
        best = self.best
        gained = best is None or seen.value < best - min_gain * seen.standard_error
        self.stale = 0 if gained else self.stale + 1
        if best is not None and not seen.value < best:
            return False
        self.best, self.best_step = seen.value, step
        return True


@dataclass
class PlateauState:
    """What a plateau schedule remembers; ``scale`` multiplies every rate."""

    scale: float = 1.0
    best: float | None = None  # turned so that less is better
    bad: int = 0  # evaluations without a gain since the best one, or the last cut

    def observe(self, seen: Watched, cfg: Plateau) -> bool:
        """Take note of an evaluation; return whether the rate was cut.

        The rule of torch's ReduceLROnPlateau with a relative threshold.
        """
        best = self.best
        if best in (None, math.inf) or seen.value < best - cfg.threshold * abs(best):
            self.best, self.bad = seen.value, 0
            return False
        self.bad += 1
        if self.bad <= cfg.patience or self.scale <= cfg.floor:
            return False
        self.scale, self.bad = max(cfg.floor, self.scale * cfg.factor), 0
        return True
