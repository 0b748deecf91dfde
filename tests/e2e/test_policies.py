"""What chooses, averages, cuts and stops, in whole runs: the outcome is what the recipe asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from bench.resume import BASE
from wellfit.checkpoint import committed
from wellfit.config import load_dict
from wellfit.errors import ConfigError
from wellfit.model import read_published
from wellfit.report import NoScreen
from wellfit.store import RunView, read_run
from wellfit.train import start

PLAIN = {"regularize.dropout": 0.0, "train.budget": "20 steps", "evaluate.sample": None}


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("".join(f"{i * i} is the square of {i}.\n\n" for i in range(800)))
    return path


def _run(text: Path, folder: Path, **keys: Any) -> RunView:
    torch.set_num_threads(1)
    named = {key.replace("__", "."): value for key, value in keys.items()}
    recipe = {**BASE, **PLAIN, "data.path": str(text), "data.cache": str(text.parent), **named}
    start(load_dict(recipe), folder, NoScreen())
    return read_run(folder)


def _published(folder: Path) -> dict[str, torch.Tensor]:
    return read_published(folder / "model").state_dict()


def _last(folder: Path, file: str) -> dict[str, torch.Tensor]:
    return load_file(committed(folder / "checkpoints")[-1].path / file)


def _same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[key], b[key]) for key in b)


KINDS = {
    "ema": {"kind": "ema", "decay": 0.9},
    "mean": {"kind": "mean", "over": 0.5, "every": "1 step"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_average_is_measured_and_published_and_training_goes_on(text, tmp_path, kind) -> None:
    keys = {"stop__restore_best": False, "train__precision": "fp32"}
    plain = _run(text, tmp_path / "plain", **keys)
    averaged = _run(text, tmp_path / "run", regularize__average=KINDS[kind], **keys)
    # training itself is the same to the bit
    assert plain.series("loss").values.tolist() == averaged.series("loss").values.tolist()
    raw = _last(tmp_path / "run", "model.safetensors")
    assert _same(_last(tmp_path / "plain", "model.safetensors"), raw)
    # what is published, and was measured, is the average
    published = _published(tmp_path / "run")
    assert _same(published, _last(tmp_path / "run", "average.safetensors"))
    assert not _same(published, raw)
    looks = [[e.loss for e in view.evaluations("val")] for view in (plain, averaged)]
    assert looks[0][0] == looks[1][0] and looks[0][-1] != looks[1][-1]


def test_of_schedule_free_the_average_is_published(text, tmp_path) -> None:
    keys = {"optim__kind": "schedule-free-adamw", "schedule__kind": "constant"}
    _run(text, tmp_path / "run", stop__restore_best=False, **keys)
    y = _last(tmp_path / "run", "model.safetensors")["embed.weight"]
    z = _last(tmp_path / "run", "optimizer.safetensors")["embed.weight/z"]
    x = _published(tmp_path / "run")["embed.weight"]
    # y is a tenth z and nine tenths x
    torch.testing.assert_close(y, 0.1 * z + 0.9 * x, rtol=1e-5, atol=1e-6)
    assert not torch.equal(x, y)


def test_the_last_weights_are_published_only_where_the_recipe_wants_them(tmp_path) -> None:
    # which letters are common holds for val too, but not what follows what: learned first, and next
    text = tmp_path / "text.txt"
    text.write_text("cdefghijkl" + "ab" * 14_400 + "aabb" * 800)
    keys = {"optim": {"kind": "adamw", "lr": 0.01}, "data__document": "file"}
    keys["data__split"] = {"kind": "tail", "val": 0.1}
    best = _run(text, tmp_path / "best", **keys)
    last = _run(text, tmp_path / "last", stop__restore_best=False, **keys)
    losses = {e.step: e.loss for e in best.evaluations("val") if e.basis == "fixed blocks"}
    at = min(losses, key=losses.__getitem__)
    assert at < 20
    assert [v.events("finished")[0].facts["chosen_step"] for v in (best, last)] == [at, 20]
    assert _same(_published(tmp_path / "last"), _last(tmp_path / "last", "model.safetensors"))
    assert not _same(_published(tmp_path / "best"), _published(tmp_path / "last"))


def test_a_verdict_counts_what_was_seen_to_the_step_at_which_it_stopped(text, tmp_path) -> None:
    view = _run(
        text, tmp_path / "run", stop__patience=2, evaluate__every="2 steps",
        optim={"kind": "adamw", "lr": 3.0}, schedule__kind="constant",
    )  # fmt: skip
    (stopped,) = view.events("early-stop")
    assert stopped.step < 20
    # however few of a second's steps the slower series held: every step sees as much
    summary = view.summary()
    per_step = summary["tokens_seen"] / stopped.step
    assert per_step == BASE["train.batch"] * BASE["model.context"]
    assert summary["verdict"]["evidence"]["epochs"] == summary["epochs"]


def test_a_plateau_lowers_the_rate_and_says_so(text, tmp_path) -> None:
    schedule = {"kind": "plateau", "patience": 1, "factor": 0.1, "warmup": 0, "threshold": 0.5}
    view = _run(
        text, tmp_path / "run", optim={"kind": "sgd", "lr": 1e-6}, schedule=schedule,
        evaluate__every="3 steps",
    )  # fmt: skip
    cuts = view.events("lowered-rate")
    # evaluations at 0, 3, 6: the first is the best, the next is borne, the one after cuts
    assert [(e.step, e.facts["lr"]) for e in cuts[:2]] == [
        (6, pytest.approx(1e-7)),
        (12, pytest.approx(1e-8)),
    ]
    assert view.series("lr").values[-1] == pytest.approx(1e-8)


def test_a_metric_that_is_not_there_is_refused_before_any_work(text, tmp_path) -> None:
    with pytest.raises(ConfigError, match="stop.metric: f1 is not measured.*there are loss"):
        _run(text, tmp_path / "run", stop__metric="f1")
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_lbfgs_takes_the_whole_train_split_and_its_loss_falls_at_every_step(text, tmp_path) -> None:
    keys = {
        "optim__kind": "lbfgs",
        "schedule": {"kind": "constant", "warmup": 0},
        "regularize__clip": None,
        "train__batch": "auto",
        "train__micro_batch": 64,
        "train__budget": "4 steps",
        "train__precision": "fp32",
    }
    view = _run(text, tmp_path / "run", **keys)
    losses = view.series("loss").values.tolist()
    # a line search never goes up on what it searches, which is the same at every step
    assert losses == sorted(losses, reverse=True) and losses[-1] < losses[0] - 0.1
    with pytest.raises(ConfigError, match=r"train\.batch: lbfgs needs the whole train split"):
        _run(text, tmp_path / "other", **{**keys, "train__batch": 8})
