"""Line charts as SVG text: a pure function from numbers to a picture.

Here it is worked out what lies where; ``chart.svg.j2`` draws it.  Colours come from CSS classes
(``chart.css``), so that one picture serves light, dark and print.  Nothing here runs in the
browser; ``data-hover`` only offers the numbers to a script that may not be there.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from wellfit.report.scale import Scale, padded
from wellfit.report.templates import picture

Floats = NDArray[np.float64]
_POINTS = 2000  # more cannot be told apart at the width of a page
_HOVERED = 250  # stops of the crosshair
_DOTS = 60  # more would touch
_LINE_HEIGHT = 15.0


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """One curve.  ``tone`` names its CSS class; ``lo`` and ``hi`` draw a band around it.

    Shapes   steps, values, lo, hi (n,) in the order of steps.
    """

    name: str
    steps: NDArray[np.int64]
    values: Floats
    tone: str = "plain"
    lo: Floats | None = None
    hi: Floats | None = None
    faint: bool = False  # drawn behind, thin and without a label: the data before any smoothing
    dots: bool = False  # a dot where it was measured
    digits: int = 3  # decimals of the label and of what hovering shows

    @property
    def extent(self) -> list[Floats]:
        """All that has to find room on the page: the values, and the band where there is one."""
        return [end for end in (self.values, self.lo, self.hi) if end is not None]


class Level(NamedTuple):
    """A labelled dashed line across the chart, at a value to compare with."""

    name: str
    value: float


class Mark(NamedTuple):
    """A ring around a point of a curve, with a word beside it."""

    step: float
    value: float
    text: str


class Moment(NamedTuple):
    """A vertical hair line with a word: something happened at this step."""

    step: float
    text: str


@dataclass(frozen=True, slots=True)
class Frame:
    """The paper a chart is drawn on: its size, its words, its axes."""

    title: str
    y_label: str
    x_label: str = "step"
    width: int = 1040
    height: int = 400
    x_log: bool = False
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None
    labels: bool = True  # name each curve at its end


class Plot(NamedTuple):
    """A frame with its two axes."""

    x: Scale
    y: Scale
    frame: Frame
    id: str

    def inward(self, step: float) -> str:
        """The end at which a word is tied to ``step``, so that it runs towards the middle."""
        return "end" if self.x(step) > (self.x.at_lo + self.x.at_hi) / 2 else "start"


class Picture(NamedTuple):
    """A picture for a wide and for a narrow page, and what is to be said of it."""

    wide: Markup
    narrow: Markup
    caption: str


class _Curve(NamedTuple):
    """A line as it is drawn: band and path in the units of the page, dots in those of the axes."""

    line: Line
    band: str
    path: str
    dots: list[tuple[int, float]]


class _Label(NamedTuple):
    """A name and a number beside the end of what they belong to."""

    at: float
    kind: str
    name: str
    number: str


def line_chart(
    lines: Sequence[Line],
    frame: Frame,
    *,
    levels: Sequence[Level] = (),
    marks: Sequence[Mark] = (),
    moments: Sequence[Moment] = (),
) -> Markup:
    """Curves over steps, as one ``<svg>`` element.

    A value that is not a number breaks its curve and is marked where it happened; one outside
    the range is cut off at the edge.  Curves of more than 2000 points are thinned to the lowest and
    highest of each stretch, so that no spike disappears.
    """
    if frame.x_log:  # step 0 lies infinitely far to the left
        lines = [part(line, line.steps >= 1) for line in lines]
    plot = plotted(lines, frame, levels)
    held = [level for level in levels if plot.y.holds(level.value)]
    broken = [(line, np.flatnonzero(~np.isfinite(line.values))) for line in lines]
    drawn = sorted((line for line in lines if len(line.values)), key=lambda line: not line.faint)
    return picture(
        "line_chart",
        plot,
        levels=held,
        moments=[moment for moment in moments if plot.x.holds(moment.step)],
        curves=[_curve(plot, line) for line in drawn],
        lost=[(line.name, int(line.steps[at[0]])) for line, at in broken if len(at)],
        marks=[m for m in marks if plot.x.holds(m.step) and plot.y.holds(m.value)],
        labels=_labels(plot, lines, held) if frame.labels else [],
        hover=_hover(plot, lines),
    )


def thinned(values: Floats, limit: int) -> NDArray[np.int64]:
    """Indices of at most ``limit`` points that look like all of them.

    Keeps the first, the last, and of each stretch the lowest, the highest and one that is not
    a number; a mean, or every n-th point, would lose the spikes that people look for.
    """
    n = len(values)
    if n <= limit:
        return np.arange(n)
    kept = {0, n - 1}
    edges = np.linspace(0, n, max(1, (limit - 2) // 3) + 1).astype(np.int64)
    for start, end in itertools.pairwise(edges):
        stretch = values[start:end]
        finite = np.isfinite(stretch)
        if finite.any():
            kept.add(int(start + np.where(finite, stretch, np.inf).argmin()))
            kept.add(int(start + np.where(finite, stretch, -np.inf).argmax()))
        if not finite.all():
            kept.add(int(start + np.argmin(finite)))
    return np.array(sorted(kept))


def part(line: Line, kept: NDArray[np.bool_] | NDArray[np.int64]) -> Line:
    """The line at some of its steps only."""
    lo = None if line.lo is None else line.lo[kept]
    hi = None if line.hi is None else line.hi[kept]
    return replace(line, steps=line.steps[kept], values=line.values[kept], lo=lo, hi=hi)


def _points(line: Line) -> Iterator[tuple[int, float]]:
    return zip(line.steps.tolist(), line.values.tolist(), strict=True)


def plotted(lines: Sequence[Line], frame: Frame, levels: Sequence[Level] = ()) -> Plot:
    """The axes on which all of this finds room."""
    right = (118.0 if frame.width >= 700 else 94.0) if frame.labels else 16.0
    x_lo, x_hi = frame.x_range or reach([line.steps for line in lines]) or (0.0, 1.0)
    if frame.x_log:
        x_lo = max(1.0, x_lo)
    x_hi = x_hi if x_hi > x_lo else x_lo + 1
    ends = [end for line in lines for end in line.extent]
    found = reach([*ends, np.array([level.value for level in levels], dtype=np.float64)])
    y_lo, y_hi = frame.y_range or (padded(*found) if found else (0.0, 1.0))
    x = Scale(x_lo, x_hi, 52.0, frame.width - right, frame.x_log)
    y = Scale(y_lo, y_hi, frame.height - 42.0, 40.0)
    # an id that depends on the picture only, so that the same run makes the same page
    picture = (frame, x_lo, x_hi, y_lo, y_hi)
    return Plot(x, y, frame, "clip-" + sha256(repr(picture).encode()).hexdigest()[:10])


def reach(parts: Sequence[NDArray[Any]]) -> tuple[float, float] | None:
    """The lowest and the highest of all that is a number; None where nothing is."""
    values = np.concatenate([np.zeros(0), *parts])
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if len(finite) else None


def _curve(plot: Plot, line: Line) -> _Curve:
    shown = part(line, thinned(line.values, _POINTS))
    dots = [point for point in _points(shown) if math.isfinite(point[1])]
    is_dotted = line.dots and len(shown.values) <= _DOTS
    return _Curve(line, _band(plot, line), _path(plot, shown), dots if is_dotted else [])


def _path(plot: Plot, line: Line) -> str:
    words, pen = [], "M"
    for step, value in _points(line):
        if not math.isfinite(value):
            pen = "M"
            continue
        # far outside values are cut near the edge: some renderers overflow on huge coordinates
        at = min(max(plot.y(value), -2000.0), 4000.0)
        words.append(f"{pen}{plot.x(step):.1f} {at:.1f}")
        pen = "L"
    return "".join(words)


def _band(plot: Plot, line: Line) -> str:
    if line.lo is None or line.hi is None:
        return ""
    good = np.isfinite(line.lo) & np.isfinite(line.hi)
    around = [*zip(line.steps[good], line.hi[good], strict=True)]  # along the top and back below
    around += reversed([*zip(line.steps[good], line.lo[good], strict=True)])
    corners = [f"{plot.x(step):.1f} {plot.y(value):.1f}" for step, value in around]
    return f"M{'L'.join(corners)}Z" if corners else ""


def _labels(plot: Plot, lines: Sequence[Line], levels: Sequence[Level]) -> list[_Label]:
    """Names and last values of curves and levels beside their ends, moved where they touch."""
    labels = [
        _Label(plot.y(level.value), "level", level.name, f"{level.value:.2f}") for level in levels
    ]
    for line in lines:
        finite = line.values[np.isfinite(line.values)]
        if not line.faint and len(finite):
            at, number = plot.y.held(float(finite[-1])), f"{finite[-1]:,.{line.digits}f}"
            labels.append(_Label(at, f"ink-{line.tone}", line.name, number))
    labels.sort(key=lambda label: label.at)
    places = spread([label.at for label in labels], _LINE_HEIGHT)
    return [label._replace(at=at) for at, label in zip(places, labels, strict=True)]


def spread(places: Sequence[float], gap: float) -> list[float]:
    """Sorted places moved as little as needed so that neighbours are ``gap`` apart."""
    groups: list[list[float]] = []  # each: places that touch, as [sum of wishes, how many]
    for i, place in enumerate(places):
        groups.append([place - i * gap, 1.0])
        while len(groups) > 1 and groups[-2][0] / groups[-2][1] > groups[-1][0] / groups[-1][1]:
            total, count = groups.pop()
            groups[-1] = [groups[-1][0] + total, groups[-1][1] + count]
    middles = [total / count for total, count in groups for _ in range(int(count))]
    return [middle + i * gap for i, middle in enumerate(middles)]


def _hover(plot: Plot, lines: Sequence[Line]) -> str:
    """Step, place and text of the points that a crosshair may stop at, as JSON in an attribute."""
    found = []
    for line in lines:
        points = [
            [
                step,
                round(plot.x(step), 1),
                round(plot.y.held(value), 1) if math.isfinite(value) else plot.y.at_hi,
                f"{value:,.{line.digits}f}",
            ]
            for step, value in _points(part(line, thinned(line.values, _HOVERED)))
            if plot.x.holds(step)
        ]
        if points:
            found.append({"name": line.name, "tone": line.tone, "points": points})
    box = [plot.x.at_lo, plot.x.at_hi, plot.y.at_hi, plot.y.at_lo]
    return json.dumps({"box": box, "lines": found}, separators=(",", ":"))
