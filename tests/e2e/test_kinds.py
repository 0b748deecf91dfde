"""Each optimizer in a whole run, at the rate that is chosen for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from bench.resume import BASE
from wellfit.config import load_dict
from wellfit.report import NoScreen
from wellfit.store import RunView, flat_recipe, read_run
from wellfit.train import start

OPTIMIZERS = (
    "sgd", "adam", "adamw", "nadam", "radam", "adamax", "adagrad", "adadelta", "rmsprop",
    "adafactor", "lion", "muon", "schedule-free-adamw",
)  # fmt: skip


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("".join(f"{i * i} is the square of {i}.\n\n" for i in range(800)))
    return path


def _run(text: Path, folder: Path, more: dict[str, Any]) -> RunView:
    torch.set_num_threads(1)
    plain = {"regularize.dropout": 0.0, "train.budget": "30 steps", "evaluate.sample": None}
    paths = {"data.path": str(text), "data.cache": str(text.parent)}
    start(load_dict({**BASE, **plain, **paths, **more}), folder, NoScreen())
    return read_run(folder)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_an_optimizer_learns_at_the_rate_that_is_chosen_for_it(kind, text, tmp_path) -> None:
    more: dict[str, Any] = {"optim.kind": kind}
    if kind == "schedule-free-adamw":
        more["schedule.kind"] = "constant"
    view = _run(text, tmp_path / "run", more)
    assert flat_recipe(view.resolved())["optim.kind"] == kind
    losses = [e.loss for e in view.evaluations("val") if e.basis == "fixed blocks"]
    assert losses[-1] < losses[0] - 0.02
