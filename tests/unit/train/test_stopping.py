"""What is watched of val: which way is better, when patience ends, and when a rate is cut."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler

from wellfit.config import Stop
from wellfit.config.optim import Plateau
from wellfit.errors import ConfigError
from wellfit.store import Evaluation
from wellfit.train.stopping import PlateauState, StopState, Watched, watch

# val losses, what is best after each, and how stale the best then is
PATIENCE = [
    ([3.0, 2.0, 2.5, 2.4, 1.9], [True, True, False, False, True], [0, 0, 1, 2, 0]),
    ([2.0, 2.0, 2.0], [True, False, False], [0, 1, 2]),
    ([2.0, math.inf, 1.0], [True, False, True], [0, 1, 0]),
    ([math.inf, math.inf, 1.0], [True, False, True], [0, 1, 0]),
]


@pytest.mark.parametrize(("losses", "best", "stale"), PATIENCE)
def test_patience_counts_evaluations_since_the_best(losses, best, stale) -> None:
    stop = StopState()
    seen = [
        (stop.observe(i, Watched(loss, 0.1), min_gain=0.0), stop.stale)
        for i, loss in enumerate(losses)
    ]
    assert seen == list(zip(best, stale, strict=True))


# standard errors that a gain must have, and how stale the best is after 2.0 and then 1.95
@pytest.mark.parametrize(("min_gain", "stale"), [(0.0, 0), (0.4, 0), (0.6, 1)])
def test_a_gain_is_counted_in_standard_errors(min_gain: float, stale: int) -> None:
    stop = StopState()
    stop.observe(0, Watched(2.0, 0.1), min_gain=min_gain)
    assert stop.observe(1, Watched(1.95, 0.1), min_gain=min_gain)
    # any gain moves the best, whether or not it resets patience
    assert (stop.best, stop.best_step, stop.stale) == (1.95, 1, stale)


LOSSES = [3.0, 2.0, 2.1, 2.05, 2.2, 1.9999, 1.5, 1.6, 1.6, 1.6, 1.6, 1.6, 1.6, 1.6, 1.6]


@pytest.mark.parametrize("mode", ["min", "max"])
def test_a_plateau_cuts_when_torch_does(mode: str) -> None:
    cfg = Plateau(factor=0.5, patience=2, threshold=0.01, floor=0.2)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = lr_scheduler.ReduceLROnPlateau(
        optimizer, mode, factor=0.5, patience=2, threshold=0.01, min_lr=0.2
    )
    state, cuts = PlateauState(), []
    for loss in LOSSES:
        before = optimizer.param_groups[0]["lr"]
        value = loss if mode == "min" else 10 - loss
        scheduler.step(value)
        after = optimizer.param_groups[0]["lr"]
        # a metric of which more is better comes turned
        seen = Watched(value if mode == "min" else -value, 0.0)
        assert state.observe(seen, cfg) == (after < before)
        assert state.scale == after
        cuts.append(after < before)
    assert sum(cuts) == 3


def _evaluation(**metrics: dict) -> Evaluation:
    nats, counts = np.array([2.0, 4.0]), np.array([1, 1])
    return Evaluation(1, "val", "fixed blocks", 1, nats, counts, 2, 1, 2.02, 3.98, metrics=metrics)


def test_what_is_watched_is_turned_so_that_less_is_better() -> None:
    val = _evaluation(
        accuracy={"value": 0.8, "ci95": [0.7, 0.9], "n": 10},
        mse={"value": 0.5, "ci95": [0.4, 0.6], "n": 10},
        pinball_V={"value": 0.2, "ci95": None, "n": 10},
        pearson={"value": None, "ci95": None, "n": 10},
    )
    # half of the interval over 1.96
    assert watch(None, val) == pytest.approx((3.0, 0.5))
    assert watch(Stop(metric="accuracy"), val) == pytest.approx((-0.8, 0.1 / 1.96))
    assert watch(Stop(metric="mse"), val) == pytest.approx((0.5, 0.1 / 1.96))
    # also of one target of several
    assert watch(Stop(metric="pinball_V"), val) == (0.2, 0.0)
    # a metric that is not defined yet is worse than any that is
    assert watch(Stop(metric="pearson"), val) == (math.inf, 0.0)


def test_a_metric_that_is_not_measured_is_refused_with_those_that_are() -> None:
    val = _evaluation(accuracy={"value": 0.8, "ci95": [0.7, 0.9], "n": 10})
    with pytest.raises(ConfigError, match=r"stop\.metric: f1 is not .*; there are accuracy, loss"):
        watch(Stop(metric="f1"), val)
