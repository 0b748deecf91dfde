"""A shuffle that is computed."""

from __future__ import annotations

import collections

import numpy as np
import pytest

from wellfit.data.permute import draw, draw_below, permuted, stretch


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 17, 64, 1000, 65537])
def test_every_place_is_reached_once(n):
    landed = permuted(np.arange(n), n=n, key=draw("a"))
    # a shuffle: nothing twice, nothing left out
    assert np.array_equal(np.sort(landed), np.arange(n))


def test_a_place_does_not_depend_on_what_else_is_asked():
    whole = permuted(np.arange(1000), n=1000, key=draw("a"))
    # so seeking costs nothing, and ranks need not agree on anything
    assert permuted(np.array([700, 3]), n=1000, key=draw("a")).tolist() == whole[[700, 3]].tolist()


@pytest.mark.parametrize("n", [1, 1000, 1024, 5000])
def test_a_stretch_is_part_of_the_shuffle(n):
    whole = permuted(np.arange(n), n=n, key=draw("a"))
    edges = sorted({e for e in (0, 1, 700, 1023, 1024, 1025, 3000, 4096, n) if e <= n})
    for i, first in enumerate(edges):
        for last in edges[i + 1 :]:  # within a window and over the borders of several
            assert np.array_equal(stretch(first, last, n=n, key=draw("a")), whole[first:last])


def test_a_place_among_a_trillion_is_found_at_once():
    n = 10**12
    landed = permuted(np.arange(n - 5, n), n=n, key=draw("a"))
    # no list of that length is ever made
    assert len(set(landed.tolist())) == 5 and landed.max() < n


def test_each_order_of_a_few_is_as_likely_as_another():
    counts = collections.Counter(
        tuple(permuted(np.arange(4), n=4, key=draw(i)).tolist()) for i in range(4800)
    )
    # 24 orders, 200 each; six standard deviations are 84
    assert len(counts) == 24
    assert max(abs(count - 200) for count in counts.values()) < 84


def test_neighbours_are_torn_apart():
    landed = permuted(np.arange(10_000), n=10_000, key=draw("b"))
    # a rank correlation of chance is within 0.01 (one standard deviation)
    assert abs(np.corrcoef(np.arange(10_000), landed)[0, 1]) < 0.05
    assert abs(np.corrcoef(landed[:-1], landed[1:])[0, 1]) < 0.05


def test_draws_differ_by_each_part_of_their_purpose():
    # ("a", 11) is not ("a1", 1)
    assert len({draw("a", 11), draw("a1", 1), draw("a", 1, 1), draw("b", 11)}) == 4


def test_a_number_is_drawn_evenly():
    counts = collections.Counter(draw_below(5, "offset", i) for i in range(5000))
    # 1000 each; five standard deviations are 141
    assert set(counts) == set(range(5))
    assert max(abs(count - 1000) for count in counts.values()) < 141
