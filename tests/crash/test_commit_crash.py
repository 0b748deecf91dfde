"""Die at every call that changes the disk: the old checkpoint or the new one, never a third."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from wellfit import checkpoint as ck

CALLS = [
    (ck, "save_file"),
    (os, "fsync"),
    (Path, "mkdir"),
    (Path, "chmod"),
    (Path, "rename"),
    (Path, "write_text"),
    (shutil, "rmtree"),
]


class Died(BaseException):
    """What the process would not live to see; no handler of ours may catch it."""


def _contents(value: float) -> ck.Contents:
    return ck.Contents({"model": {"w": torch.full((8,), value)}}, {"value": value})


def _die_at(patch: pytest.MonkeyPatch, nth: int, *, after: bool) -> Callable[[], int]:
    """Let the nth disk-changing call kill us, before or after it acts; returns the counter."""
    seen = 0

    def dying(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **more: Any) -> Any:
            nonlocal seen
            seen += 1
            if seen == nth and not after:
                raise Died
            result = real(*args, **more)
            if seen == nth:
                raise Died
            return result

        return call

    for owner, name in CALLS:
        patch.setattr(owner, name, dying(getattr(owner, name)))
    return lambda: seen


def _save_and_prune(root: Path) -> None:
    ck.commit(root, 2, _contents(2.0))
    ck.prune(root, keep=1)


def _calls_in_all(root: Path) -> int:
    ck.commit(root, 1, _contents(1.0))
    with pytest.MonkeyPatch.context() as patch:
        count = _die_at(patch, 0, after=False)
        _save_and_prune(root)
        return count()


def _newest(root: Path) -> tuple[tuple[ck.Committed, ck.Contents] | None, list[str]]:
    rejected: list[str] = []
    return ck.newest_verified(root, rejected=lambda c, why: rejected.append(why)), rejected


@pytest.mark.parametrize("after", [False, True])
def test_dying_at_any_call_leaves_a_whole_checkpoint(tmp_path: Path, after: bool) -> None:
    n_calls = _calls_in_all(tmp_path / "count")
    assert n_calls > 10
    for nth in range(1, n_calls + 1):
        root = tmp_path / f"{nth}"
        ck.commit(root, 1, _contents(1.0))
        with pytest.MonkeyPatch.context() as patch:
            _die_at(patch, nth, after=after)
            with pytest.raises(Died):
                _save_and_prune(root)
        found, rejected = _newest(root)
        # whole, and either the old state or the new one
        assert found is not None and not rejected, f"call {nth}"
        assert found[1].state["value"] == found[0].step == found[1].tensors["model"]["w"][0]
        # the next attempt sweeps the litter and saves again
        ck.sweep(root)
        ck.commit(root, 3, _contents(3.0))
        assert all(path.name.startswith("step-") for path in root.iterdir())
