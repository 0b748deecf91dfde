"""A killed run, resumed, is the run that was never killed: to the bit, however often it dies."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from bench.resume import BASE, CASES, begin_or_go_on, differences, drill, finish, some_text
from wellfit.store import read_run

# 30 kills in all, with chains of two, three and five; every other one is aimed into a save
CHAINS = {
    "muon, dropout, accumulation": [1, 5],
    "adamw, cosine, bpe": [2, 2],
    "early stop, high rate": [5],
    "float32, gpt2, wsd": [2, 3],
    "published weights, every noise": [3],
    "lora, dora, dropout": [3],
    "sgd, plateau, averages, adaptive clip": [2],
    "schedule-free, noise, penalties": [2],
}


def test_the_drill_covers_every_case() -> None:
    assert set(CHAINS) == set(CASES)
    assert sum(sum(chains) for chains in CHAINS.values()) >= 20


@pytest.mark.parametrize("case", CASES)
def test_a_killed_run_ends_bit_equal_to_one_that_was_not(tmp_path: Path, case: str) -> None:
    torch.set_num_threads(1)  # a forked process cannot take over its parent's threads
    text = some_text(tmp_path, None)
    rows = drill(text, tmp_path, case, chains=CHAINS[case], seed=len(case))
    assert [row.differences for row in rows] == [()] * len(rows)
    assert sum(row.kills for row in rows) == sum(CHAINS[case])
    stopped = read_run(tmp_path / "undisturbed").events("early-stop")
    # the case that is about early stopping does stop early, and the others do not
    assert bool(stopped) == ("early stop" in case)


def _dying_at(point: int) -> Callable[[int], None]:
    calls, sync = itertools.count(1), os.fsync
    return lambda fd: os._exit(9) if next(calls) == point else sync(fd)


def test_a_run_killed_at_any_write_of_its_beginning_is_gone_on_with(tmp_path, monkeypatch) -> None:
    """By what a person would type, be it resume or train; random kills seldom fall so early."""
    torch.set_num_threads(1)
    recipe = {**BASE, "data.path": str(some_text(tmp_path, None)), "train.budget": "14 steps"}
    recipe["data.cache"] = str(tmp_path / "cache")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(begin_or_go_on(recipe, whole))
    for point in range(1, 13):
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", _dying_at(point))
            with pytest.raises(RuntimeError, match=str(9 << 8)):
                finish(begin_or_go_on(recipe, killed))
        begun = (killed / "checkpoints").is_dir()
        finish(begin_or_go_on(recipe, killed))
        assert differences(whole, killed) == []
        assert not list(killed.glob(".*"))
        shutil.rmtree(killed)
    assert begun  # the last of the kills fell behind the beginning, so it was seen whole


def test_the_comparison_sees_a_difference(tmp_path: Path) -> None:
    """The drill would be worth nothing if two different runs compared as equal."""
    from wellfit.config import load_dict
    from wellfit.report import NoScreen
    from wellfit.train import start

    torch.set_num_threads(1)
    text = some_text(tmp_path, None)
    for seed in (1, 2):
        recipe = {**BASE, "data.path": str(text), "data.cache": str(tmp_path / "cache")}
        recipe |= {"train.seed": seed, "train.budget": "14 steps"}
        start(load_dict(recipe), tmp_path / str(seed), NoScreen())
    found = differences(tmp_path / "1", tmp_path / "2")
    assert {"series loss", "evaluations", "model.safetensors", "published model"} <= set(found)
