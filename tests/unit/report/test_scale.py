"""Axes and their ticks."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wellfit.report.scale import Scale, log_ticks, padded, tick_texts, ticks


@pytest.mark.parametrize(
    ("lo", "hi", "count", "expected"),
    [
        (0, 720, 8, ["0", "100", "200", "300", "400", "500", "600", "700"]),
        (1.4, 4.3, 6, ["1.5", "2.0", "2.5", "3.0", "3.5", "4.0"]),
        (0, 0.02, 4, ["0", "0.005", "0.010", "0.015", "0.020"]),
        (0, 26_000, 4, ["0", "5k", "10k", "15k", "20k", "25k"]),
        (0, 3e-5, 3, ["0", "1e-5", "2e-5", "3e-5"]),
        (0, 1_000_000, 5, ["0", "200k", "400k", "600k", "800k", "1M"]),
    ],
)
def test_ticks_are_round_and_alike(lo, hi, count, expected):
    # what a person would have written on the axis
    assert tick_texts(ticks(lo, hi, count)) == expected


finite = st.floats(-1e9, 1e9)


@given(lo=finite, span=st.floats(1e-6, 1e9), count=st.integers(2, 12))
def test_ticks_lie_inside_and_are_about_as_many_as_asked(lo, span, count):
    hi = lo + span
    found = ticks(lo, hi, count)
    slack = 1e-6 * span + 1e-9 * max(abs(lo), abs(hi))
    # never outside the axis
    assert all(lo - slack <= value <= hi + slack for value in found)
    # and neither a single one nor a hedge
    assert len(found) <= 2 * count + 1


@given(lo=finite, span=st.floats(1e-3, 1e6), share=st.floats(0, 1))
def test_a_scale_maps_ends_to_ends_and_keeps_order(lo, span, share):
    scale = Scale(lo, lo + span, 50.0, 900.0)
    # lowest value to one edge, highest to the other
    assert scale(scale.lo) == 50.0 and scale(scale.hi) == pytest.approx(900.0)
    assert 49.9 <= scale(lo + share * span) <= 900.1


def test_a_logarithmic_scale_spaces_powers_evenly():
    scale = Scale(1, 1000, 0.0, 300.0, log=True)
    assert [scale(v) for v in (1, 10, 100, 1000)] == pytest.approx([0, 100, 200, 300])
    # step 0 lies on the edge instead of at minus infinity
    assert scale(0) == 0


def test_logarithmic_ticks_by_hand():
    assert log_ticks(1, 720, 8) == [1, 2, 5, 10, 20, 50, 100, 200, 500]
    # where there is little room only the powers
    assert log_ticks(1, 720, 4) == [1, 10, 100]
    assert log_ticks(1, 10_000_000, 8) == [10.0**i for i in range(8)]


def test_a_single_value_gets_a_range_around_it():
    lo, hi = padded(0.0, 0.0)
    # an axis of no width would divide by zero
    assert lo < 0 < hi
    assert math.isclose(sum(padded(3.0, 3.0)), 6.0)
