"""Pictures of where a model errs: confusion matrix, reliability, targets against predictions.

Like the line charts they are functions from numbers to SVG text, coloured by ``chart.css``.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup

from wellfit.report.scale import padded
from wellfit.report.svg import Frame, Plot, axes, plotted

_MOST_LABELS = 20
_LETTER = 6.8  # width of a usual letter of the charts' type
_LONGEST = 16  # letters of a label
_STRONGEST = 0.5  # of a cell, so that its count can be read
_WIDE, _WIDER, _NARROW = 460, 700, 322
_FEW = 12  # labels find room on half a page


class Picture(NamedTuple):
    """A picture for a wide and for a narrow page, with a note on what it shows."""

    wide: Markup
    narrow: Markup
    note: str


def confusion_picture(found: Mapping[str, Any]) -> Picture:
    """Counts of true label (rows) by predicted label (columns); the most confused of many."""
    labels, counts = [str(label) for label in found["labels"]], np.array(found["counts"])
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    note = "Each row is a true label, the colour its shares; off the diagonal are errors."
    if len(labels) > _MOST_LABELS:
        wrong = counts.sum(axis=0) + counts.sum(axis=1) - 2 * counts.diagonal()
        order = np.lexsort((-counts.sum(axis=1), -wrong))
        kept = np.sort(order[:_MOST_LABELS])
        note += f" Shown are the {_MOST_LABELS} of {len(labels)} labels that are confused most."
        labels = [labels[i] for i in kept]
        counts, shares = counts[np.ix_(kept, kept)], shares[np.ix_(kept, kept)]
    wide = _WIDE if len(labels) <= _FEW else _WIDER
    wide_svg, narrow_svg = (_matrix(labels, counts, shares, width) for width in (wide, _NARROW))
    return Picture(Markup(wide_svg), Markup(narrow_svg), note)


def _matrix(labels: Sequence[str], counts: Any, shares: Any, width: int) -> str:
    most = _LONGEST if width > _NARROW else 14 if len(labels) <= 6 else 10
    # cut in the middle: names that begin alike often end differently
    names = [x if len(x) <= most else f"{x[: most - 6].strip()}..{x[-4:].strip()}" for x in labels]
    longest = _LETTER * max(map(len, [*names, "true"]))
    left = longest + 12
    cell = round(min(88, max(26 if width > _NARROW else 23, (width - left) / len(names))))
    upright = longest > cell - 4
    top = 44 if not upright else longest + 34
    side = cell * len(names)
    parts = [
        f'<text class="name" x="{left - 10:g}" y="{top - 8:g}" text-anchor="end">true</text>'
        f'<text class="name" x="{left:g}" y="12">predicted</text>'
        f'<rect class="empty" x="{left:g}" y="{top:g}" width="{side}" height="{side}"/>'
    ]
    for i, name in enumerate(names):
        at = (i + 0.5) * cell
        turned = f'transform="rotate(-90 {left + at + 4:g} {top - 8:g})"' if upright else ""
        where = (left + at + 4, "start") if upright else (left + at, "middle")
        parts.append(
            f'<text x="{left - 10:g}" y="{top + at + 4:g}" text-anchor="end">{html.escape(name)}'
            f'</text><text x="{where[0]:g}" y="{top - 8:g}" text-anchor="{where[1]}" {turned}>'
            f"{html.escape(name)}</text>"
        )
    for row, column in np.argwhere(counts):
        count, x, y = int(counts[row, column]), left + column * cell, top + row * cell
        kind = "hit" if row == column else "miss"
        says = f"{labels[row]}, predicted {labels[column]}: {count:,}"
        parts.append(
            f'<g class="{kind}"><title>{html.escape(says)}</title><rect x="{x + 0.5:g}" '
            f'y="{y + 0.5:g}" width="{cell - 1}" height="{cell - 1}" rx="2" '
            f'fill-opacity="{0.1 + (_STRONGEST - 0.1) * shares[row, column]:.3f}"/>'
            f'<text class="{"tiny" if cell < 30 else "count"}" x="{x + cell / 2:g}" '
            f'y="{y + cell / 2 + 4:g}" text-anchor="middle">{_short(count)}</text></g>'
        )
    title = f"Confusion matrix of {len(names)} labels: true against predicted"
    return _svg(title, left + side + 4, top + side + 4, parts, broad=len(names) > _FEW)


def calibration_picture(bins: Sequence[Mapping[str, Any]]) -> Picture:
    """Accuracy against confidence in bins, with their 95% intervals and how many texts each has."""
    filled = [b for b in bins if b["n"]]
    n = sum(b["n"] for b in filled)
    error = sum(b["n"] * abs(b["confidence"] - b["accuracy"]) for b in filled) / max(1, n)
    note = (
        f"On the diagonal confidence can be taken at its word; below it the model is too sure. "
        f"On average they are {100 * error:.1f} points apart. Bars and the figures on top: texts "
        "by confidence; whiskers: 95% intervals."
    )
    wide, narrow = (Markup(_reliability(filled, width)) for width in (_WIDE, _NARROW))
    return Picture(wide, narrow, note)


def _reliability(bins: Sequence[Mapping[str, Any]], width: int) -> str:
    plot = _square("Accuracy against confidence", "accuracy", "confidence", width, (0.0, 1.0))
    x, y = plot.x, plot.y
    most = max((b["n"] for b in bins), default=1)
    parts = [axes(plot, whole=False), _diagonal(plot)]
    for i, b in enumerate(bins):
        middle, bar = x((b["lo"] + b["hi"]) / 2), 0.25 * b["n"] / most * (y.at_lo - y.at_hi)
        lo, hi = _wilson(b["accuracy"], b["n"])
        at, up = x(b["confidence"]), y(b["accuracy"])
        top = y.at_hi - (8 if width > _NARROW or i % 2 else 20)  # so that neighbours do not touch
        parts.append(
            f'<rect class="bar" x="{x(b["lo"]) + 1:.1f}" y="{y.at_lo - bar:.1f}" '
            f'width="{x(b["hi"]) - x(b["lo"]) - 2:.1f}" height="{bar:.1f}"/>'
            f'<text class="tiny" x="{middle:.1f}" y="{top:g}" text-anchor="middle">'
            f"{_short(b['n'])}</text>"
            f'<g class="dot ink-val"><line x1="{at:.1f}" x2="{at:.1f}" y1="{y(lo):.1f}" '
            f'y2="{y(hi):.1f}"/><circle cx="{at:.1f}" cy="{up:.1f}" r="4"/></g>'
        )
    return _svg(plot.frame.title, width, plot.frame.height, parts)


def scatter_picture(points: Sequence[Sequence[float]], target: str) -> Picture:
    """Predictions against targets, in the target's own units, with the line where they agree."""
    points = [point for point in points if None not in point]  # not a number
    ends = [value for point in points for value in point]
    reach = padded(min(ends, default=0.0), max(ends, default=1.0))
    note = f"Each dot is one of {len(points):,} texts; on the dashed line predicted is true."
    wide, narrow = (Markup(_cloud(points, target, width, reach)) for width in (_WIDE, _NARROW))
    return Picture(wide, narrow, note)


def _cloud(points: Sequence[Any], target: str, width: int, reach: tuple[float, float]) -> str:
    plot = _square(f"Predicted against true {target}", "predicted", target, width, reach)
    dots = (f'<circle cx="{plot.x(a):.1f}" cy="{plot.y(b):.1f}" r="3"/>' for a, b in points)
    cloud = f'<g class="cloud ink-val">{"".join(dots)}</g>'
    parts = [axes(plot, whole=False), cloud, _diagonal(plot)]
    return _svg(plot.frame.title, width, plot.frame.height, parts)


def _square(title: str, y: str, x: str, width: int, reach: tuple[float, float]) -> Plot:
    frame = Frame(title, y, x, width, width + 14, x_range=reach, y_range=reach, labels=False)
    return plotted([], frame)


def _diagonal(plot: Plot) -> str:
    x, y = plot.x, plot.y
    return (
        f'<line class="level" x1="{x.at_lo:g}" y1="{y.at_lo:g}" x2="{x.at_hi:g}" y2="{y.at_hi:g}"/>'
    )


def _svg(
    title: str, width: float, height: float, parts: Sequence[str], *, broad: bool = False
) -> str:
    """``broad``: rather scrolled than made smaller, as it could no longer be read."""
    title, kind = html.escape(title), "chart broad" if broad else "chart own"
    return (
        f'<svg class="{kind}" width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} '
        f'{height:g}" role="img" aria-label="{title}"><title>{title}</title>{"".join(parts)}</svg>'
    )


def _short(count: int) -> str:
    """A count in at most four figures."""
    if count < 1000:
        return str(count)
    return f"{count / 1000:.1f}k" if count < 9950 else f"{count / 1000:.0f}k"


def _wilson(share: float, n: int) -> tuple[float, float]:
    """The 95% interval of a share of n (Wilson 1927); inside [0, 1], and sane for few."""
    z2 = 1.96**2
    middle, base = (share + z2 / (2 * n)) / (1 + z2 / n), share * (1 - share) / n + z2 / (4 * n * n)
    half = 1.96 * math.sqrt(base) / (1 + z2 / n)
    return middle - half, middle + half
