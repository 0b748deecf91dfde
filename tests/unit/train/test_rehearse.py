"""Which way to compile a rehearsal chooses, from what each way took and gave."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from wellfit.config import recipe_from_dict
from wellfit.errors import ConfigError
from wellfit.train import rehearse
from wellfit.train.ranks import Ranks
from wellfit.train.rehearse import How

FAST = {False: 0.030, True: 0.020, "cuda-graphs": 0.010}
SAME = dict.fromkeys(FAST, 1.0)


def _job(device: str = "cuda", *, world: int = 1, one_length: bool = True, **train: Any) -> Any:
    base = {"budget": "100k steps", "batch": 8, "micro_batch": 8, "compile": "auto"}
    recipe = recipe_from_dict({"data.path": "x", "train": {**base, **train}})
    feed = SimpleNamespace(one_length=one_length, n_rows=100, n_targets=1000)
    return SimpleNamespace(device=device, recipe=recipe, feed=feed, ranks=Ranks(world=world))


@pytest.fixture
def chosen(monkeypatch):
    """What a job compiles, where steps take so long and have gradients of such norms."""

    def choose(job: Any, step_s=FAST, norms=SAME) -> tuple[How, list[How]]:
        tried: list[How] = []

        def timed(job, state, compiled):
            tried.append(compiled)
            if isinstance(norms[compiled], Exception):
                raise norms[compiled]
            given = [norms[compiled], 0.5]
            return rehearse._Timed(compiled, lambda m: m, step_s[compiled], given)

        state = SimpleNamespace(optimizers=SimpleNamespace(zero_grad=lambda: None))
        monkeypatch.setattr(rehearse, "_time_steps", timed)
        monkeypatch.setattr(rehearse.shutil, "which", lambda name: f"/bin/{name}")
        return rehearse._fastest(job, state).compiled, tried

    return choose


def test_the_fastest_way_is_chosen_and_graphs_are_tried_last(chosen) -> None:
    assert chosen(_job()) == ("cuda-graphs", [False, True, "cuda-graphs"])
    # each has to be faster than the one before it
    assert chosen(_job(), {**FAST, "cuda-graphs": 0.021})[0] is True
    assert chosen(_job(), {**FAST, True: 0.031}) == (False, [False, True])


@pytest.mark.parametrize(
    "job",
    [
        _job("cpu"),
        _job(world=2),  # a graph that fails on one rank only would leave the others waiting
        _job(micro_batch=4),
        _job(one_length=False),
        _job(micro_batch=7),  # a last pass of another size
    ],
)
def test_graphs_are_not_tried_where_they_cannot_be_right(job: Any, chosen) -> None:
    assert "cuda-graphs" not in chosen(job)[1]


def test_a_step_that_is_not_short_waits_for_no_launches(chosen) -> None:
    slow = {False: 0.5, True: 0.3, "cuda-graphs": 0.1}
    assert chosen(_job(), slow) == (True, [False, True])


def test_graphs_that_give_other_gradients_or_fail_are_not_taken(chosen) -> None:
    # half the gradient is what a pass lost to the next one leaves
    assert chosen(_job(), norms={**SAME, "cuda-graphs": 0.5})[0] is True
    assert chosen(_job(), norms={**SAME, "cuda-graphs": RuntimeError("overwritten")})[0] is True
    nan = {**SAME, "cuda-graphs": float("nan")}
    assert chosen(_job(), norms=nan)[0] is True


def test_what_is_asked_for_is_not_measured_against_anything(chosen) -> None:
    for how in (True, False, "cuda-graphs"):
        assert chosen(_job(compile=how)) == (how, [how])
    with pytest.raises(ConfigError, match=r"train\.compile: .* raise train\.micro_batch, or write"):
        chosen(_job(compile="cuda-graphs", micro_batch=4))


def test_a_short_run_compiles_nothing(chosen) -> None:
    assert chosen(_job(budget="20 steps")) == (False, [False])


@pytest.mark.parametrize(
    ("train", "counted"),
    [
        ({"budget": "100 steps"}, 5),  # 5 s: far too short to compile, which is all that was asked
        ({"budget": "100k steps"}, 20),  # 5,000 s: a second, to be compared with a compiled one
        ({"budget": "1 minutes"}, 36),  # steps are made of minutes: a small part of them is spent
        ({"budget": "100k steps", "compile": False}, 1),  # only to see that a step works
    ],
)
def test_steps_are_timed_for_as_long_as_something_follows_from_it(
    train: dict[str, Any], counted: int, monkeypatch
) -> None:
    clock = [0.0]

    def step(*given: Any, **how: Any) -> Any:
        clock[0] += 0.05
        return SimpleNamespace(grad_norm=1.0)

    monkeypatch.setattr(rehearse, "train_step", step)
    monkeypatch.setattr(rehearse, "job_loss", lambda *given, **how: None)
    monkeypatch.setattr(rehearse, "batches", lambda job: lambda turn: [])
    monkeypatch.setattr(rehearse.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(rehearse.shutil, "which", lambda name: f"/bin/{name}")
    job, state = _job("cpu", **train), SimpleNamespace(optimizers=SimpleNamespace(searches=False))
    state.model = None
    timed = rehearse._time_steps(job, state, False)
    warm = 0 if counted == 1 else 1
    assert len(timed.norms) == warm + counted and timed.step_s == pytest.approx(0.05)
