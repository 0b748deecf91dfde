"""Line charts as SVG text: a pure function from numbers to a picture.

Colours come from CSS classes (``chart.css``), so that one picture serves light, dark and print.
Nothing here runs in the browser; ``data-hover`` only offers the numbers to a script that may
not be there.
"""

from __future__ import annotations

import html
import itertools
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wellfit.report.scale import Scale, padded, tick_texts

Floats = NDArray[np.float64]
_POINTS = 2000  # more cannot be told apart at the width of a page
_HOVERED = 250  # stops of the crosshair
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


@dataclass(frozen=True, slots=True)
class Level:
    """A labelled dashed line across the chart, at a value to compare with."""

    name: str
    value: float


@dataclass(frozen=True, slots=True)
class Mark:
    """A ring around a point of a curve, with a word beside it."""

    step: float
    value: float
    text: str


@dataclass(frozen=True, slots=True)
class Moment:
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


@dataclass(frozen=True, slots=True)
class Plot:
    """A frame with its two axes."""

    x: Scale
    y: Scale
    frame: Frame
    id: str


def line_chart(
    lines: Sequence[Line],
    frame: Frame,
    *,
    levels: Sequence[Level] = (),
    marks: Sequence[Mark] = (),
    moments: Sequence[Moment] = (),
) -> str:
    """Curves over steps, as one ``<svg>`` element.

    A value that is not a number breaks its curve and is marked where it happened; one outside
    the range is cut off at the edge.  Curves of more than 2000 points are thinned to the lowest and
    highest of each stretch, so that no spike disappears.
    """
    if frame.x_log:  # step 0 lies infinitely far to the left
        lines = [part(line, line.steps >= 1) for line in lines]
    plot = plotted(lines, frame, levels)
    parts = [
        axes(plot),
        *(_level(plot, level) for level in levels),
        *(_moment(plot, moment) for moment in moments),
        *(_curve(plot, line) for line in sorted(lines, key=lambda line: not line.faint)),
        *(_lost(plot, line) for line in lines),
        *(_mark(plot, mark) for mark in marks),
        _end_labels(plot, lines, levels) if frame.labels else "",
        '<g class="crosshair" aria-hidden="true"></g>',
    ]
    title = html.escape(frame.title)
    return (
        f'<svg class="chart" viewBox="0 0 {frame.width} {frame.height}" role="img" '
        f'aria-label="{title}" tabindex="0" data-hover="{_hover(plot, lines)}">'
        f"<title>{title}</title>"
        f'<clipPath id="{plot.id}"><rect x="{plot.x.at_lo:g}" y="{plot.y.at_hi - 4:g}" '
        f'width="{plot.x.at_hi - plot.x.at_lo + 4:g}" '
        f'height="{plot.y.at_lo - plot.y.at_hi + 4:g}"/></clipPath>'
        f"{''.join(parts)}</svg>"
    )


def thinned(steps: NDArray[np.int64], values: Floats, limit: int) -> NDArray[np.int64]:
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
    wide = frame.width >= 700
    right = (118.0 if wide else 94.0) if frame.labels else 16.0
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


def axes(plot: Plot, *, whole: bool = True) -> str:
    """Ticks, grid and names of both axes; ``whole``: x is counted, so has no fractions."""
    x, y, frame = plot.x, plot.y, plot.frame
    parts = ['<g class="axis">']
    at_y = y.ticks(6 if frame.height > 250 else 4)
    for value, text in zip(at_y, tick_texts(at_y), strict=True):
        parts.append(
            f'<line class="grid" x1="{x.at_lo:g}" x2="{x.at_hi:g}" y1="{y(value):.1f}" '
            f'y2="{y(value):.1f}"/>'
            f'<text class="tick" x="{x.at_lo - 8:g}" y="{y(value) + 4:.1f}" '
            f'text-anchor="end">{text}</text>'
        )
    at_x = x.ticks(max(4, frame.width // 130))
    at_x = [value for value in at_x if float(value).is_integer() or not whole]
    for value, text in zip(at_x, tick_texts(at_x), strict=True):
        parts.append(
            f'<line class="tick" x1="{x(value):.1f}" x2="{x(value):.1f}" y1="{y.at_lo:g}" '
            f'y2="{y.at_lo + 4:g}"/>'
            f'<text class="tick" x="{x(value):.1f}" y="{y.at_lo + 18:g}" '
            f'text-anchor="middle">{text}</text>'
        )
    parts.append(
        f'<line class="base" x1="{x.at_lo:g}" x2="{x.at_hi:g}" y1="{y.at_lo:g}" y2="{y.at_lo:g}"/>'
        f'<text class="name" x="{x.at_hi:g}" y="{y.at_lo + 36:g}" text-anchor="end">'
        f"{html.escape(frame.x_label)}</text>"
        f'<text class="name" x="0" y="12">{html.escape(frame.y_label)}</text></g>'
    )
    return "".join(parts)


def _level(plot: Plot, level: Level) -> str:
    x, y = plot.x, plot.y
    if not y.holds(level.value):
        return ""
    at = y(level.value)
    return f'<line class="level" x1="{x.at_lo:g}" x2="{x.at_hi:g}" y1="{at:.1f}" y2="{at:.1f}"/>'


def _moment(plot: Plot, moment: Moment) -> str:
    x, y = plot.x, plot.y
    if not x.holds(moment.step):
        return ""
    at = x(moment.step)
    return (
        f'<g class="moment"><line x1="{at:.1f}" x2="{at:.1f}" y1="{y.at_hi:g}" y2="{y.at_lo:g}"/>'
        f'<text x="{at:.1f}" y="{y.at_hi - 6:g}" text-anchor="middle">'
        f"{html.escape(moment.text)}</text></g>"
    )


def _curve(plot: Plot, line: Line) -> str:
    if not len(line.values):
        return ""
    shown = part(line, thinned(line.steps, line.values, _POINTS))
    tone = html.escape(line.tone)
    parts = [f'<g class="curve ink-{tone}{" faint" if line.faint else ""}" '
             f'clip-path="url(#{plot.id})">']  # fmt: skip
    if line.lo is not None and line.hi is not None:
        parts.append(_band(plot, line.steps, line.lo, line.hi))
    parts.append(f'<path d="{_path(plot, shown)}"/>')
    if line.dots and len(shown.values) <= 60:
        parts += [
            f'<circle cx="{plot.x(step):.1f}" cy="{plot.y(value):.1f}" r="2.5"/>'
            for step, value in _points(shown)
            if math.isfinite(value)
        ]
    return "".join([*parts, "</g>"])


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


def _band(plot: Plot, steps: NDArray[np.int64], lo: Floats, hi: Floats) -> str:
    good = np.isfinite(lo) & np.isfinite(hi)
    if not good.any():
        return ""
    around = [*zip(steps[good], hi[good], strict=True)]  # along the top and back below
    around += reversed([*zip(steps[good], lo[good], strict=True)])
    corners = [f"{plot.x(step):.1f} {plot.y(value):.1f}" for step, value in around]
    return f'<path class="band" d="M{"L".join(corners)}Z"/>'


def _lost(plot: Plot, line: Line) -> str:
    """A cross on the upper edge where a curve stopped being a number."""
    lost = np.flatnonzero(~np.isfinite(line.values))
    if not len(lost):
        return ""
    step = int(line.steps[lost[0]])
    at = plot.x(step)
    end = _inward(plot, at)
    aside = -9 if end == "end" else 9
    top = plot.y.at_hi + 8
    return (
        f'<g class="lost"><path d="M{at - 4:.1f} {top - 4:g}l8 8m0 -8l-8 8"/>'
        f'<text x="{at + aside:.1f}" y="{top + 4:g}" text-anchor="{end}">'
        f"{html.escape(line.name)}: not finite at step {step:,}</text></g>"
    )


def _mark(plot: Plot, mark: Mark) -> str:
    if not (plot.x.holds(mark.step) and plot.y.holds(mark.value)):
        return ""
    x, y = plot.x(mark.step), plot.y(mark.value)
    return (
        f'<g class="mark"><circle cx="{x:.1f}" cy="{y:.1f}" r="6"/>'
        f'<text x="{x:.1f}" y="{y - 14:.1f}" text-anchor="{_inward(plot, x)}">'
        f"{html.escape(mark.text)}</text></g>"
    )


def _inward(plot: Plot, x: float) -> str:
    """The end at which a word is tied to ``x``, so that it runs towards the middle."""
    return "end" if x > (plot.x.at_lo + plot.x.at_hi) / 2 else "start"


def _end_labels(plot: Plot, lines: Sequence[Line], levels: Sequence[Level]) -> str:
    """Names and last values of curves and levels beside their ends, moved where they touch."""
    labels = [
        (plot.y(level.value), "level", level.name, f"{level.value:.2f}")
        for level in levels
        if plot.y.holds(level.value)
    ]
    for line in lines:
        finite = line.values[np.isfinite(line.values)]
        if not line.faint and len(finite):
            at = plot.y.held(float(finite[-1]))
            labels.append((at, f"ink-{line.tone}", line.name, f"{finite[-1]:,.{line.digits}f}"))
    labels.sort(key=lambda label: label[0])
    places = spread([label[0] for label in labels], _LINE_HEIGHT)
    return "".join(
        f'<text class="end {html.escape(kind)}" x="{plot.x.at_hi + 12:g}" y="{at + 4:.1f}">'
        f'<tspan class="who">{html.escape(name)}</tspan> {number}</text>'
        for at, (_, kind, name, number) in zip(places, labels, strict=True)
    )


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
            for step, value in _points(part(line, thinned(line.steps, line.values, _HOVERED)))
            if plot.x.holds(step)
        ]
        if points:
            found.append({"name": line.name, "tone": line.tone, "points": points})
    box = [plot.x.at_lo, plot.x.at_hi, plot.y.at_hi, plot.y.at_lo]
    return html.escape(json.dumps({"box": box, "lines": found}, separators=(",", ":")))
