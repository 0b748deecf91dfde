"""Work beside the reading: in order, bounded, and no error lost."""

from __future__ import annotations

import threading
import time

import pytest

from wellfit.data.ahead import in_order


@pytest.mark.parametrize("at_once", [0, 1, 2, 5])
@pytest.mark.parametrize("n", [0, 1, 7])
def test_results_come_in_the_order_of_the_parts(at_once, n):
    def slower_at_first(part):
        time.sleep((n - part) * 1e-3)
        return part * 10

    assert list(in_order(slower_at_first, range(n), at_once)) == [10 * part for part in range(n)]


@pytest.mark.parametrize(("at_once", "read"), [(0, 1), (1, 2), (2, 3)])
def test_no_more_is_read_than_what_is_worked_on_and_one(at_once, read):
    given = []
    parts = (given.append(part) or part for part in range(100))
    results = in_order(lambda part: part, parts, at_once)
    # memory is bounded by this, whatever the size of the data
    for number in range(100 - read):
        next(results)
        assert len(given) == number + read


@pytest.mark.parametrize("at_once", [1, 2])
def test_so_many_are_worked_on_while_the_next_is_read(at_once):
    together = threading.Barrier(at_once + 1, timeout=20)

    def parts():
        yield from range(at_once)
        together.wait()  # breaks, if the others do not run meanwhile
        yield at_once

    meets = in_order(lambda part: part == at_once or together.wait() >= 0, parts(), at_once)
    assert list(meets) == [True] * (at_once + 1)


@pytest.mark.parametrize("at_once", [0, 2])
def test_an_error_comes_up_in_its_place(at_once):
    results = in_order(lambda part: 1 // (3 - part), range(9), at_once)
    # what comes before it is not lost with it
    assert [next(results) for _ in range(3)] == [0, 0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_an_error_of_the_reading_comes_up_too():
    def parts():
        yield 1
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        list(in_order(lambda part: part, parts(), 2))
