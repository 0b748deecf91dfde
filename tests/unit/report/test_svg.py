"""Charts as text."""

from __future__ import annotations

import html
import itertools
import json
import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from wellfit.report.svg import Frame, Level, Line, Mark, Moment, line_chart, spread, thinned

FRAME = Frame("Loss over steps", "loss, nats", x_range=(0, 100), y_range=(1.0, 4.0))
SVG = "{http://www.w3.org/2000/svg}"


def _line(values, **more):
    values = np.asarray(values, dtype=np.float64)
    return Line("val", np.arange(len(values)), values, **({"tone": "val"} | more))


def _parsed(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(str(text).replace("<svg ", f"<svg xmlns={SVG[1:-1]!r} "))


def _texts(text: str) -> list[str]:
    return ["".join(node.itertext()) for node in _parsed(text).iter(f"{SVG}text")]


def _path(text: str, kind: str = "curve") -> list[tuple[float, float]]:
    d = re.search(rf'class="{kind}[^>]*>(?:<path class="band"[^>]*>)?<path d="([^"]*)"', text)
    assert d is not None
    pairs = [p.split() for p in re.split("[ML]", d[1]) if p]
    return [(float(x), float(y)) for x, y in pairs]


def test_axes_are_named_with_their_units():
    texts = _texts(line_chart([_line([2, 3])], FRAME))
    # a number without a unit is not a number
    assert "loss, nats" in texts and "step" in texts
    # and ticks stand where a person would put them
    assert {"1.0", "2.0", "3.0", "4.0", "0", "50", "100"} <= set(texts)


def test_a_point_lies_where_the_axis_says():
    text = line_chart([_line([1.0, 4.0])], FRAME)
    (x0, y0), (x1, y1) = _path(text)
    ticks = {
        "".join(n.itertext()): n
        for n in _parsed(text).iter(f"{SVG}text")
        if n.get("class") == "tick"
    }
    # the lowest value on the lowest tick, the highest on the highest (text sits 4 lower)
    assert float(ticks["1.0"].get("y", 0)) == pytest.approx(y0 + 4, abs=0.1)
    assert float(ticks["4.0"].get("y", 0)) == pytest.approx(y1 + 4, abs=0.1)
    # step 1 of 100 lies a hundredth of the way
    end = float(ticks["100"].get("x", 0))
    assert x1 - x0 == pytest.approx((end - x0) / 100, abs=0.1)


def test_curves_carry_their_name_and_last_value():
    texts = _texts(line_chart([_line([3.0, 2.5], digits=2)], FRAME, levels=[Level("bigram", 2.0)]))
    # direct labels: nobody has to match colours with a legend
    assert "val 2.50" in texts and "bigram 2.00" in texts


def test_the_raw_data_lie_behind_and_have_no_label():
    raw = Line("batch", np.arange(2), np.array([3.0, 3.0]), tone="step", faint=True)
    text = line_chart([_line([3.0, 2.0]), raw], FRAME)
    # drawn first, so that nothing is hidden by it
    assert text.index("ink-step faint") < text.index("ink-val")
    assert not any("batch" in words for words in _texts(text))


def test_a_band_reaches_from_low_to_high():
    line = _line([2.0, 2.0], lo=np.array([1.0, 1.0]), hi=np.array([4.0, 4.0]))
    text = line_chart([line], FRAME)
    band = re.search(r'class="band" d="M([^Z]*)Z"', text)
    assert band is not None
    ys = [float(pair.split()[1]) for pair in band[1].split("L")]
    # up one side, down the other
    assert ys[0] == ys[1] == min(ys) and ys[2] == ys[3] == max(ys)


def test_a_value_that_is_no_number_breaks_the_curve_and_is_marked():
    text = line_chart([_line([2.0, 2.0, math.nan, 3.0, math.inf])], FRAME)
    path = re.search(r'<path d="(M[^"]*)"', text)
    # two pieces, and words that say where it went
    assert path is not None and path[1].count("M") == 2
    assert "val: not finite at step 2" in _texts(text)


def test_marks_and_moments_are_drawn_where_they_lie():
    text = line_chart(
        [_line([2.0] * 101)], FRAME, marks=[Mark(50, 2.0, "best")], moments=[Moment(50, "resumed")]
    )
    root = _parsed(text)
    circle = root.find(f".//{SVG}g[@class='mark']/{SVG}circle")
    hair = root.find(f".//{SVG}g[@class='moment']/{SVG}line")
    assert circle is not None and hair is not None
    # both at step 50
    assert circle.get("cx") == hair.get("x1") == hair.get("x2")
    # outside of the axes there is nothing to point at
    outside = line_chart([_line([2.0])], FRAME, marks=[Mark(500, 2.0, "best")],
                         moments=[Moment(500, "resumed")], levels=[Level("far", 9.0)])  # fmt: skip
    assert not {"best", "resumed", "far 9.00"} & set(_texts(outside))


def test_an_empty_chart_is_still_a_chart():
    empty = Line("val", np.zeros(0, dtype=np.int64), np.zeros(0))
    # axes, no curve, no error
    assert "val" not in " ".join(_texts(line_chart([empty], Frame("t", "y"))))
    assert line_chart([], Frame("t", "y")).startswith("<svg")


def test_names_are_text_and_never_markup():
    bad = '"><script>alert(1)</script>'
    text = line_chart(
        [Line(bad, np.arange(2), np.array([1.0, math.nan]), tone=bad)],
        Frame(bad, bad, x_label=bad),
        levels=[Level(bad, 1.0)],
        marks=[Mark(0, 1.0, bad)],
        moments=[Moment(0, bad)],
    )
    # a series name comes from a run, and a run may come from anywhere
    assert "<script" not in text and _parsed(text) is not None


def test_a_logarithmic_axis_begins_at_its_first_step():
    text = line_chart([_line([4.0] * 100)], Frame("t", "y", x_log=True, x_range=(1, 99)))
    xs = [x for x, _ in _path(text)]
    # step 0 is not drawn: it lies infinitely far to the left
    assert len(xs) == 99 and xs[0] == 52.0


def test_hovering_offers_the_numbers_of_the_curve():
    text = line_chart([_line([4.0, 3.25])], FRAME)
    offered = json.loads(html.unescape(re.search(r'data-hover="([^"]*)"', text)[1]))
    points = offered["lines"][0]["points"]
    # step, place and the number as it is shown
    assert [(p[0], p[3]) for p in points] == [(0, "4.000"), (1, "3.250")]
    assert [tuple(p[1:3]) for p in points] == _path(text)


def test_two_charts_on_a_page_do_not_share_their_clips():
    ids = [
        re.findall(r'clipPath id="([^"]*)"', line_chart([_line([2, 3])], frame))[0]
        for frame in (FRAME, Frame("Loss over steps", "loss, nats"), Frame("t", "y"))
    ]
    # the second definition of an id would be ignored
    assert len(set(ids)) == 3
    # and the same picture is the same text
    assert line_chart([_line([2, 3])], FRAME) == line_chart([_line([2, 3])], FRAME)


# --- thinning ------------------------------------------------------------------------------

values_of = arrays.arrays(
    np.float64,
    st.integers(0, 400),
    elements=st.floats(allow_nan=True, allow_infinity=True, width=32),
)


@given(values=values_of, limit=st.integers(8, 60))
def test_thinning_keeps_what_people_look_for(values, limit):
    kept = thinned(values, limit)
    # in order, without repeats, no more than asked
    assert np.all(np.diff(kept) > 0) and len(kept) <= max(limit, 2)
    if not len(values):
        return
    # ends
    assert kept[0] == 0 and kept[-1] == len(values) - 1
    finite = values[np.isfinite(values)]
    shown = values[kept]
    if len(finite):
        # extremes
        assert shown[np.isfinite(shown)].max() == finite.max()
        assert shown[np.isfinite(shown)].min() == finite.min()
    # and that something was not a number
    assert np.isfinite(shown).all() == np.isfinite(values).all()


def test_a_long_run_stays_a_small_picture():
    values = np.sin(np.arange(200_000) / 1000.0)
    values[123_456] = 9.0
    text = line_chart([_line(values)], Frame("t", "y"))
    # two thousand points are all that a page can show
    assert len(_path(text)) <= 2000 and len(text) < 80_000
    # and the one spike is still there
    assert min(y for _, y in _path(text)) == pytest.approx(55.5, abs=5)


# --- labels --------------------------------------------------------------------------------


@given(places=st.lists(st.floats(0, 500), max_size=12).map(sorted), gap=st.floats(0.5, 30))
def test_labels_never_touch(places, gap):
    found = spread(places, gap)
    # neighbours keep their distance
    assert all(b - a >= gap - 1e-6 for a, b in itertools.pairwise(found))
    # in their order, and together they did not drift
    assert len(found) == len(places)
    assert sum(found) == pytest.approx(sum(places), abs=1e-6 * max(1, len(places)))


def test_labels_that_have_room_stay_where_they_are():
    assert spread([10.0, 100.0, 105.0], 15.0) == [10.0, 95.0, 110.0]
