"""Schedules: tables worked by hand, and the curves of torch and transformers."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import torch
import transformers.optimization as theirs
from torch.optim import lr_scheduler

from wellfit.config import recipe_from_dict
from wellfit.config.structure import kind_of, variants
from wellfit.optim import lr_scale

BASE = {"data.path": "x.txt", "train.budget": "200 steps"}


def _schedule(**schedule: object):
    return recipe_from_dict({**BASE, "schedule": schedule}).schedule


def _curve(total: int, **schedule: object) -> list[float]:
    cfg = _schedule(**schedule)
    return [lr_scale(cfg, step, total=total) for step in range(total)]


# (schedule, values at steps) of a run of 10 steps, worked by hand
TABLES = [
    ({"kind": "linear", "warmup": "2 steps"}, {0: 0.5, 1: 1.0, 2: 1.0, 6: 0.5, 9: 0.125}),
    ({"kind": "linear", "warmup": "2 steps", "floor": 0.2}, {6: 0.6, 9: 0.3}),
    ({"kind": "cosine", "warmup": 0.0, "floor": 0.0}, {0: 1.0, 5: 0.5}),
    ({"kind": "cosine", "warmup": 0.0, "floor": 0.1}, {0: 1.0, 5: 0.55}),
    ({"kind": "wsd", "warmup": 0.0, "decay": 0.5, "floor": 0.0}, {0: 1.0, 5: 1.0, 8: 0.4}),
    ({"kind": "constant", "warmup": 0.4}, {0: 0.25, 3: 1.0, 9: 1.0}),
    # two cycles of 5: their middles lie between steps, so quarters of the cosine are easier
    (
        {"kind": "cosine-restarts", "warmup": "2 steps", "cycles": 2},
        {1: 1.0, 2: 1.0, 4: 0.5, 6: 1.0, 8: 0.5},
    ),
    # 1 + 2 + 4 units in 7 steps after the warm-up: the cycles begin at 3, 4 and 6
    (
        {"kind": "cosine-restarts", "warmup": "3 steps", "cycles": 3, "growth": 2, "floor": 0.5},
        {3: 1.0, 4: 1.0, 5: 0.75, 6: 1.0, 8: 0.75},
    ),
    ({"kind": "polynomial", "warmup": 0.0, "power": 2.0}, {0: 1.0, 5: 0.25, 9: 0.01}),
    ({"kind": "polynomial", "warmup": 0.0, "power": 3.0, "floor": 0.2}, {5: 0.3}),
    (
        {"kind": "exponential", "warmup": 0.0, "every": "2 steps", "gamma": 0.25},
        {1: 0.5, 4: 1 / 16},
    ),
    ({"kind": "step", "warmup": "1 step", "every": "3 steps"}, {0: 1, 3: 1, 4: 0.3, 7: 0.09}),
    ({"kind": "step", "warmup": 0.0, "every": 0.4, "gamma": 0.1}, {3: 1.0, 4: 0.1, 8: 0.01}),
    (
        {"kind": "multi-step", "warmup": "2 steps", "milestones": ["50%", "8 steps"]},
        {0: 0.5, 4: 1.0, 5: 0.1, 7: 0.1, 8: 0.01},
    ),
    ({"kind": "inverse-sqrt", "warmup": "2 steps"}, {0: 0.5, 2: 1.0, 8: 0.5}),
    ({"kind": "inverse-sqrt", "warmup": 0}, {0: 1.0, 3: 0.5, 8: 1 / 3}),
    (
        {"kind": "one-cycle", "warmup": "3 steps", "start": 0.1, "floor": 0.01},
        {0: 0.1, 1: 0.55, 2: 1.0, 9: 0.01},
    ),
    (
        {"kind": "cyclic", "warmup": 0, "cycle": "4 steps", "floor": 0.2},
        {0: 0.2, 1: 0.6, 2: 1.0, 3: 0.6, 4: 0.2, 6: 1.0},
    ),
    (
        {"kind": "cyclic", "warmup": 0, "cycle": "4 steps", "floor": 0.2, "gamma": 0.5},
        {2: 1.0, 4: 0.2, 5: 0.4, 6: 0.6},
    ),
    ({"kind": "plateau", "warmup": "2 steps"}, {0: 0.5, 5: 1.0}),
]


@pytest.mark.parametrize(("schedule", "wanted"), TABLES)
def test_a_schedule_has_its_hand_worked_values(schedule: dict, wanted: dict[int, float]) -> None:
    cfg = _schedule(**schedule)
    found = {step: lr_scale(cfg, step, total=10) for step in wanted}
    assert found == pytest.approx(wanted)


KINDS = [
    kind_of(v) for v in variants(type(recipe_from_dict(BASE)).model_fields["schedule"].annotation)
]


def test_every_kind_has_a_table() -> None:
    assert {schedule["kind"] for schedule, _ in TABLES} == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("total", [1, 2, 7, 1000])
def test_a_schedule_stays_in_bounds_and_every_step_learns(kind: str, total: int) -> None:
    assert all(0 < value <= 1 for value in _curve(total, kind=kind))


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "one-cycle"])
@pytest.mark.parametrize("warmup", ["20 steps", 0.2])
def test_every_schedule_warms_up_the_same(kind: str, warmup: object) -> None:
    # one-cycle has its own rise, and cyclic begins at its floor
    top = 0.1 if kind == "cyclic" else 1.0
    found = _curve(100, kind=kind, warmup=warmup)[:20]
    assert found == pytest.approx([top * (step + 1) / 20 for step in range(20)])


def _torch_curve(total: int, build: Callable) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.5)
    scheduler, found = build(optimizer), []
    for _ in range(total):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


TOTAL = 120
# their schedule, and ours that should be it
TORCH = [
    (
        lambda o: lr_scheduler.LinearLR(o, 1.0, 0.25, total_iters=TOTAL),
        {"kind": "linear", "floor": 0.25},
    ),
    (
        lambda o: lr_scheduler.CosineAnnealingLR(o, TOTAL, eta_min=0.1),
        {"kind": "cosine", "floor": 0.1},
    ),
    (
        lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 30, eta_min=0.05),
        {"kind": "cosine-restarts", "cycles": 4, "floor": 0.05},
    ),
    (
        lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 8, T_mult=2),
        {"kind": "cosine-restarts", "cycles": 4, "growth": 2},  # 8 * (1 + 2 + 4 + 8) = 120
    ),
    (
        lambda o: lr_scheduler.PolynomialLR(o, TOTAL, power=1.7),
        {"kind": "polynomial", "power": 1.7},
    ),
    (
        lambda o: lr_scheduler.ExponentialLR(o, 0.97),
        {"kind": "exponential", "every": "1 step", "gamma": 0.97},
    ),
    (
        lambda o: lr_scheduler.StepLR(o, 17, gamma=0.4),
        {"kind": "step", "every": "17 steps", "gamma": 0.4},
    ),
    (
        lambda o: lr_scheduler.MultiStepLR(o, [30, 75], gamma=0.2),
        {"kind": "multi-step", "milestones": ["25%", "75 steps"], "gamma": 0.2},
    ),
    (
        lambda o: lr_scheduler.OneCycleLR(o, 1.0, TOTAL, final_div_factor=1e4),
        {"kind": "one-cycle", "warmup": 0.3, "start": 0.04, "floor": 4e-6},
    ),
    (
        lambda o: lr_scheduler.CyclicLR(o, 0.1, 1.0, step_size_up=12, cycle_momentum=False),
        {"kind": "cyclic", "cycle": "24 steps", "floor": 0.1},
    ),
    (
        lambda o: lr_scheduler.CyclicLR(
            o, 0.2, 1.0, step_size_up=12, cycle_momentum=False, mode="triangular2"
        ),
        {"kind": "cyclic", "cycle": "24 steps", "floor": 0.2, "gamma": 0.5},
    ),
    (lambda o: lr_scheduler.ConstantLR(o, 1.0), {"kind": "constant"}),
]


@pytest.mark.parametrize(("build", "ours"), TORCH)
def test_without_a_warm_up_a_schedule_is_torch_s(build: Callable, ours: dict) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a deprecated argument inside torch
        wanted = _torch_curve(TOTAL, build)
    found = _curve(TOTAL, **{"warmup": 0, **ours})
    assert found == pytest.approx(wanted, rel=1e-6, abs=1e-12)


WARM = 20
# their schedule with a warm-up, and ours
TRANSFORMERS = [
    (lambda o: theirs.get_linear_schedule_with_warmup(o, WARM, TOTAL), {"kind": "linear"}),
    (
        lambda o: theirs.get_cosine_with_min_lr_schedule_with_warmup(
            o, WARM, TOTAL, min_lr_rate=0.2
        ),
        {"kind": "cosine", "floor": 0.2},
    ),
    (
        lambda o: theirs.get_cosine_with_hard_restarts_schedule_with_warmup(o, WARM, TOTAL, 5),
        {"kind": "cosine-restarts", "cycles": 5},
    ),
    (
        lambda o: theirs.get_polynomial_decay_schedule_with_warmup(
            o, WARM, TOTAL, lr_end=0.1, power=3.0
        ),
        {"kind": "polynomial", "power": 3.0, "floor": 0.1},
    ),
    (
        lambda o: theirs.get_inverse_sqrt_schedule(o, WARM, timescale=WARM),
        {"kind": "inverse-sqrt"},
    ),
    (
        lambda o: theirs.get_wsd_schedule(
            o, WARM, 25, num_stable_steps=75, decay_type="linear", min_lr_ratio=0.1
        ),
        {"kind": "wsd", "decay": 0.25, "floor": 0.1},  # of the 100 steps after the warm-up
    ),
    (lambda o: theirs.get_constant_schedule_with_warmup(o, WARM), {"kind": "constant"}),
]


@pytest.mark.parametrize(("build", "ours"), TRANSFORMERS)
def test_after_the_warm_up_a_schedule_is_the_one_of_transformers(build, ours: dict) -> None:
    # in the warm-up theirs has 0 at step 0, where ours learns already
    found = _curve(TOTAL, **{"warmup": f"{WARM} steps", **ours})
    assert found[WARM:] == pytest.approx(_torch_curve(TOTAL, build)[WARM:], rel=1e-6, abs=1e-12)
