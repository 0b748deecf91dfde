"""Some steps, a checkpoint, new objects, the rest: bit for bit the steps without a break.

The matrix of the resume drill, without processes: every kind of optimizer, and every other thing
that remembers.  tests/crash/test_resume.py kills real runs.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tests.tiny_models import SHAPES, random_decoder
from wellfit.checkpoint import Contents, commit, load
from wellfit.config import LanguageModel, recipe_from_dict
from wellfit.config.optim import Plateau
from wellfit.config.structure import kinds_of
from wellfit.data import Rows
from wellfit.optim import Optimizers, build_optimizers
from wellfit.train.learn import loss_of
from wellfit.train.loop import train_steps
from wellfit.train.ranks import Ranks
from wellfit.train.state import TrainState
from wellfit.train.stopping import Watched

STEPS, BROKEN_AT, BATCH, T = 9, 4, 4, 12
SHAPE = SHAPES["nanochat"]
BASE: dict[str, Any] = {
    "data.path": "x",
    "train": {"budget": f"{STEPS} steps", "batch": BATCH, "micro_batch": 3, "precision": "fp32"},
}
KINDS = kinds_of(type(recipe_from_dict(BASE)).model_fields["optim"])
PLAIN = {"kind": "constant", "warmup": 0}
KIND_CASES: dict[str, dict[str, Any]] = {
    kind: {"optim": {"kind": kind, "lr": 0.01} | ({"adam_lr": 0.01} if kind == "muon" else {})}
    for kind in KINDS
}
KIND_CASES["schedule-free-adamw"]["schedule"] = {"kind": "constant", "warmup": "3 steps"}
KIND_CASES["lbfgs"] |= {
    "optim": {"kind": "lbfgs", "lr": 1.0, "history": 3},
    "schedule": PLAIN,
    "regularize": {"weight_decay": 0, "clip": None, "l2": 0.01},
}
SGD = {"kind": "sgd", "lr": 0.05}
KNOB_CASES: dict[str, dict[str, Any]] = {
    "amsgrad": {"optim": {"kind": "adam", "lr": 0.01, "amsgrad": True}},
    "momentum and centring": {
        "optim": {"kind": "rmsprop", "lr": 0.01, "momentum": 0.9, "centered": True}
    },
    "adamw in bf16": {"optim": {"kind": "adamw", "lr": 0.01, "state": "bf16"}},
    "muon in bf16": {"optim": {"kind": "muon", "lr": 0.01, "adam_lr": 0.01, "state": "bf16"}},
    "groups": {
        "optim": {"kind": "adamw", "lr": 0.01, "groups": [{"match": "blocks.0.*", "lr_scale": 0}]}
    },
    "groups of schedule-free": {
        "optim": {
            "kind": "schedule-free-adamw",
            "lr": 0.01,
            "groups": [{"match": "*.mlp.*", "lr_scale": 2.0, "weight_decay": 0.0}],
        },
        "schedule": PLAIN,
    },
    "gradient noise": {"optim": SGD, "regularize": {"gradient_noise": {"eta": 0.1}}},
    "adaptive clip": {"optim": SGD, "regularize": {"clip": {"kind": "adaptive", "z": 0.1}}},
    "penalties": {"optim": SGD, "regularize": {"l1": 0.01, "l2": 0.01}},
    "ema": {"optim": SGD, "regularize": {"average": {"kind": "ema", "decay": 0.7}}},
    "mean": {
        "optim": SGD,
        "regularize": {"average": {"kind": "mean", "over": 0.8, "every": "2 steps"}},
    },
    "plateau": {"optim": SGD, "schedule": {"kind": "plateau", "patience": 1}},
    "dropout": {"optim": SGD, "regularize": {"dropout": 0.2}},
}
CASES = {**KIND_CASES, **KNOB_CASES}


class _Feed:
    """Rows drawn from the step alone, with one batch of outliers."""

    def step(self, step: int, *, batch: int, seed: int) -> Rows:
        ids = np.random.default_rng([seed, step]).integers(0, SHAPE.vocab, (batch, T + 1))
        samples = np.arange(batch) + step * batch
        return Rows(ids[:, :-1], ids[:, 1:], samples)


def _job(keys: dict[str, Any]) -> Any:
    recipe = recipe_from_dict({**BASE, **keys})
    return SimpleNamespace(
        recipe=recipe, feed=_Feed(), shape=SHAPE, weights_C=None, compute=torch.float32,
        device="cpu", ranks=Ranks(), steps_total=STEPS,
    )  # fmt: skip


def _begin(job: Any) -> TrainState:
    model = random_decoder(SHAPE, seed=1)
    return TrainState(model, _optimizers(job, model))


def _optimizers(job: Any, model: torch.nn.Module) -> Optimizers:
    decay = job.recipe.regularize.weight_decay
    return build_optimizers(job.recipe.optim, model, weight_decay=0.1 if decay == "auto" else decay)


def _go_on(job: Any, state: TrainState, *, until: int) -> list[float]:
    """Take steps as a run does, with an evaluation of sorts after each that never gains."""
    loss = loss_of(state.model, LanguageModel(), None, None, compiled=False)
    losses, schedule = [], job.recipe.schedule
    for record in train_steps(job, state, loss):
        losses.append(record.loss.mean())
        if isinstance(schedule, Plateau):
            state.plateau.observe(Watched(1.0, 0.0), schedule)
        if state.step == until:
            break
    return losses


def _differences(a: Contents, b: Contents) -> list[str]:
    """What two states do not have in common, to the bit."""
    found = [k for k in a.state if a.state[k] != b.state[k]]
    for name, tensors in a.tensors.items():
        other = b.tensors[name]
        found += [name] * (tensors.keys() != other.keys())
        found += [f"{name}/{k}" for k in tensors if not torch.equal(tensors[k], other[k])]
    return found


@pytest.mark.parametrize("case", CASES)
def test_a_broken_run_is_the_whole_run(case: str, tmp_path: Path) -> None:
    job = _job(CASES[case])
    whole, first, second = _begin(job), _begin(job), _begin(job)
    if case == "adaptive clip":  # past its first steps, in which it only listens
        for state in (whole, first):
            state.norms.count, state.norms.mean, state.norms.variance = 25, 1.0, 0.01
    losses = _go_on(job, whole, until=STEPS)
    start = _go_on(job, first, until=BROKEN_AT)
    second.restore(load(commit(tmp_path, BROKEN_AT, first.contents())))
    # new objects hold what the old ones held
    assert _differences(first.contents(), second.contents()) == []
    assert start + _go_on(job, second, until=STEPS) == losses
    assert _differences(whole.contents(), second.contents()) == []


@pytest.mark.parametrize("case", [c for c in CASES if c not in ("sgd", "penalties", "groups")])
def test_what_a_case_remembers_matters(case: str, tmp_path: Path) -> None:
    """Without its memory the end is another: the test above compares something."""
    job = _job(CASES[case])
    whole, broken = _begin(job), _begin(job)
    _go_on(job, whole, until=STEPS)
    _go_on(job, broken, until=BROKEN_AT)
    forgetful = TrainState(broken.model, _optimizers(job, broken.model), step=BROKEN_AT)
    _go_on(job, forgetful, until=STEPS)
    assert _differences(whole.contents(), forgetful.contents())
