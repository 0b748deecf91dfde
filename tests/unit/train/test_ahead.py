"""Batches that are gathered before they are asked for are the same batches."""

from __future__ import annotations

import threading

import pytest
import torch

from wellfit.train.job import ahead
from wellfit.train.learn import MicroBatch


def _micro(step: int, part: int) -> MicroBatch:
    ids = torch.full((2, 3), 10 * step + part)
    return MicroBatch(ids, ids + 1, None, None, None, None, 6, 6.0)


def _gather(step: int) -> list[MicroBatch]:
    return [_micro(step, part) for part in range(3)]


@pytest.mark.parametrize("steps", [range(6), range(4, 9), [0, 0, 0], [3, 1, 2, 7, 8]])
def test_every_step_gets_its_own_batches_in_order(steps) -> None:
    batches = ahead(_gather, "cpu")
    for step in steps:
        found = [int(m.tokens_BT[0, 0]) for m in batches(step)]
        # whatever was gathered in advance, and wherever a resumed run begins
        assert found == [10 * step, 10 * step + 1, 10 * step + 2]


def test_the_next_step_is_gathered_while_one_runs() -> None:
    begun = {step: threading.Event() for step in range(3)}
    by = {}

    def gather(step: int) -> list[MicroBatch]:
        by[step] = threading.current_thread()
        begun[step].set()
        return _gather(step)

    batches = ahead(gather, "cpu")
    batches(0)
    # without being asked for, and not by the thread that trains
    assert begun[1].wait(30) and not begun[2].is_set()
    assert by[1] is not threading.current_thread()
    batches(1)
    assert begun[2].wait(30)


def test_an_error_comes_with_the_step_it_belongs_to() -> None:
    def gather(step: int) -> list[MicroBatch]:
        if step == 2:
            raise OSError("the shard is gone")
        return _gather(step)

    batches = ahead(gather, "cpu")
    # gathering step 2 failed while step 1 ran, which has nothing to do with it
    assert len(batches(0)) == len(batches(1)) == 3
    with pytest.raises(OSError, match="shard is gone"):
        batches(2)
