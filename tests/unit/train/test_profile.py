"""Profiled steps: the same steps to the bit, written down, or it is said why not."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.tiny_models import random_decoder, random_tokens
from wellfit.config import Decoder, LanguageModel, Recipe, recipe_from_dict
from wellfit.model import explain_shape
from wellfit.optim import build_optimizers
from wellfit.probe.timing import during
from wellfit.store import RunDir
from wellfit.train.learn import MicroBatch, loss_of
from wellfit.train.profile import prepare_profiler, profiled
from wellfit.train.ranks import Ranks
from wellfit.train.state import TrainState
from wellfit.train.step import StepRecord, train_step

T, WIDTH, VOCAB = 64, 128, 37
SHAPE = explain_shape(Decoder(depth=2, width=WIDTH, context=T), vocab=VOCAB).shape


class _Ledger(SimpleNamespace):
    """As much of a ledger as profiling needs; remembers what was said."""

    def __init__(self, path: Path, *, profile: bool = True) -> None:
        said: list[str] = []
        path.mkdir()
        job = SimpleNamespace(run=RunDir(path), device="cpu")
        screen = SimpleNamespace(say=said.append)
        super().__init__(profile=profile, job=job, screen=screen, said=said)

    def warned(self, step: int, text: str) -> None:
        self.said.append(text)


def _recipe(keys: dict[str, Any]) -> Recipe:
    return recipe_from_dict({"data.path": "x", "train.budget": "1 step", **keys})


def _state(keys: dict[str, Any], *, device: str = "cpu") -> TrainState:
    model = random_decoder(SHAPE).to(device)
    return TrainState(model, build_optimizers(_recipe(keys).optim, model, weight_decay=0.0))


def _steps(state: TrainState, n: int, keys: dict[str, Any]) -> Iterator[StepRecord]:
    """Steps of two micro-batches each."""
    recipe = _recipe(keys)
    loss = loss_of(state.model, LanguageModel(), None, None, compiled=False)
    for _ in range(n):
        with during("data"):
            ids = random_tokens(8, T + 1, seed=state.step, vocab=VOCAB)
            parts = [
                MicroBatch(x[:, :-1], x[:, 1:], None, None, None, None, 4 * T, 4.0 * T)
                for x in ids.split(4)
            ]
        yield train_step(
            state, parts, loss, lr_scale=1.0, how=recipe.regularize, seed=1, ranks=Ranks()
        )


MUON = {"optim": {"kind": "muon", "lr": 0.01, "adam_lr": 0.01}}
SEARCH = {
    "optim": {"kind": "lbfgs", "lr": 1.0, "evaluations": 3},
    "schedule": {"kind": "constant", "warmup": 0},
    "regularize": {"clip": None},
}


@pytest.mark.parametrize("keys", [MUON, SEARCH], ids=lambda keys: keys["optim"]["kind"])
def test_profiled_steps_are_the_same_and_are_taken_apart(tmp_path: Path, keys) -> None:
    prepare_profiler()
    ledger, plain, watched = _Ledger(tmp_path / "run"), _state(keys), _state(keys)
    losses = [record.loss.total for record in _steps(plain, 14, keys)]
    seen = [record.loss.total for record in profiled(ledger, _steps(watched, 14, keys))]
    # nothing is trained otherwise, not by a bit
    assert torch.equal(torch.stack(losses), torch.stack(seen))
    for a, b in zip(plain.model.parameters(), watched.model.parameters(), strict=True):
        assert torch.equal(a, b)
    found = json.loads(ledger.job.run.profile.read_text())
    assert found["steps"] == [6, 7, 8, 9, 10]
    parts = {row["part"]: row["frac"] for row in found["parts"]}
    assert parts.keys() == {"step", "data", "forward", "backward", "gradients", "optimizer"}
    assert sum(parts.values()) == pytest.approx(1.0)
    kinds = {row["kind"]: row["frac"] for row in found["kinds"]}
    assert sum(kinds.values()) == pytest.approx(1.0)
    calls = {row["kind"]: row["calls"] for row in found["kinds"]}
    # a decoder's operations are known by name, all but a few; and those cannot be large
    assert calls.get("other", 0) < 0.005 * sum(calls.values())
    wanted = {"matrix products", "attention", "norms", "activation", "loss", "embedding"}
    assert kinds.keys() >= wanted | {"elementwise", "copies", "dispatch"}
    assert min(kinds[kind] for kind in wanted) > 0
    assert found["matrix_products_frac"] == kinds["matrix products"]
    assert found["unprofiled_step_s"] > 0 and found["peak_memory_bytes"] > 2**20
    assert len(ledger.said) == 1 and "a profiled step takes" in ledger.said[0]
    # one step of it, with its marks, for a viewer of traces
    trace = json.loads(gzip.decompress(ledger.job.run.trace.read_bytes()))
    names = [event["name"] for event in trace["traceEvents"]]
    assert names.count("wellfit::step") == 1 and "aten::mm" in names


@pytest.mark.parametrize("made", [3, 5, 7])
def test_a_short_run_is_profiled_as_far_as_it_goes_or_says_that_it_was_not(tmp_path, made) -> None:
    ledger = _Ledger(tmp_path / "run")
    records = profiled(ledger, _steps(_state(MUON), made, MUON))
    assert len([*records]) == made
    if made < 6:
        # not a word too much: nothing is there, and why
        assert not ledger.job.run.profile.exists() and not ledger.job.run.trace.exists()
        assert ledger.said == ["nothing was profiled: this attempt ended before its step 6"]
    else:
        assert json.loads(ledger.job.run.profile.read_text())["steps"] == [6, 7]


def test_what_was_seen_is_written_when_the_run_stops_in_between(tmp_path: Path) -> None:
    ledger = _Ledger(tmp_path / "run")
    records = profiled(ledger, _steps(_state(MUON), 14, MUON))
    assert len([*islice(records, 8)]) == 8
    records.close()
    assert json.loads(ledger.job.run.profile.read_text())["steps"] == [6, 7, 8]


def test_a_disk_that_refuses_stops_no_training(tmp_path: Path) -> None:
    ledger = _Ledger(tmp_path / "run")
    ledger.job.run.profile.mkdir()
    (ledger.job.run.profile / "in the way").touch()
    assert len([*profiled(ledger, _steps(_state(MUON), 14, MUON))]) == 14
    assert len(ledger.said) == 1 and "could not be written" in ledger.said[0]


def test_without_the_flag_nothing_happens(tmp_path: Path) -> None:
    ledger = _Ledger(tmp_path / "run", profile=False)
    assert len([*profiled(ledger, _steps(_state(MUON), 7, MUON))]) == 7
    assert ledger.said == [] and not any(ledger.job.run.path.iterdir())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_the_parts_add_up_too(tmp_path: Path) -> None:
    ledger, state = _Ledger(tmp_path / "run"), _state(MUON, device="cuda")
    ledger.job.device = "cuda"
    assert len([*profiled(ledger, _steps(state, 14, MUON))]) == 14
    found = json.loads(ledger.job.run.profile.read_text())
    kinds = {row["kind"]: row["s"] for row in found["kinds"]}
    # kernels and waiting for them fill the step: it ends when the device has done its work
    assert found["step_s"] == pytest.approx(sum(kinds.values()))
    assert min(row["s"] for row in found["kinds_by_part"]) > -1e-6
    assert {"matrix products", "attention", "optimizer", "idle"} <= kinds.keys()
    assert kinds.get("other", 0.0) + kinds.get("dispatch", 0.0) < 0.01 * found["step_s"]
    parts = {row["part"]: row["s"] for row in found["parts"]}
    assert min(parts[part] for part in ("forward", "backward", "optimizer")) > 0
    assert 0.2 * found["unprofiled_step_s"] < found["step_s"]
