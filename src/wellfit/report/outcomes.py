"""Pictures of where a model errs: confusion matrix, reliability, targets against predictions.

Like the line charts they are functions from numbers to SVG text: what lies where is worked out
here, drawn by ``chart.svg.j2`` and coloured by ``chart.css``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from wellfit.report.scale import padded
from wellfit.report.svg import Frame, Picture, Plot, plotted
from wellfit.report.templates import picture

_MOST_LABELS = 20
_LETTER = 6.8  # width of a usual letter of the charts' type
_LONGEST = 16  # letters of a label
_STRONGEST = 0.5  # of a cell, so that its count can be read
_WIDE, _WIDER, _NARROW = 460, 700, 322
_FEW = 12  # labels find room on half a page


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
    drawn, narrow = (_matrix(labels, counts, shares, width) for width in (wide, _NARROW))
    return Picture(drawn, narrow, note)


def _matrix(labels: Sequence[str], counts: Any, shares: Any, width: int) -> Markup:
    most = _LONGEST if width > _NARROW else 14 if len(labels) <= 6 else 10
    # cut in the middle: names that begin alike often end differently
    names = [x if len(x) <= most else f"{x[: most - 6].strip()}..{x[-4:].strip()}" for x in labels]
    longest = _LETTER * max(map(len, [*names, "true"]))
    left = longest + 12
    side = round(min(88, max(26 if width > _NARROW else 23, (width - left) / len(names))))
    upright = longest > side - 4
    cells = [
        {
            "row": row,
            "column": column,
            "count": int(counts[row, column]),
            "says": f"{labels[row]}, predicted {labels[column]}: {counts[row, column]:,}",
            "strength": 0.1 + (_STRONGEST - 0.1) * shares[row, column],
        }
        for row, column in np.argwhere(counts)
    ]
    top, broad = longest + 34 if upright else 44, len(names) > _FEW
    return picture("matrix", names, cells, left, top, side, upright=upright, broad=broad)


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
    drawn = [{**b, "whiskers": _wilson(b["accuracy"], b["n"])} for b in filled]

    def draw(width: int) -> Markup:
        plot = _square("Accuracy against confidence", "accuracy", "confidence", width, (0.0, 1.0))
        return picture("reliability", plot, drawn, take_turns=width <= _NARROW)

    return Picture(draw(_WIDE), draw(_NARROW), note)


def scatter_picture(points: Sequence[Sequence[float]], target: str) -> Picture:
    """Predictions against targets, in the target's own units, with the line where they agree."""
    points = [point for point in points if None not in point]  # not a number
    ends = [value for point in points for value in point]
    reach = padded(min(ends, default=0.0), max(ends, default=1.0))
    note = f"Each dot is one of {len(points):,} texts; on the dashed line predicted is true."

    def draw(width: int) -> Markup:
        plot = _square(f"Predicted against true {target}", "predicted", target, width, reach)
        return picture("cloud", plot, points)

    return Picture(draw(_WIDE), draw(_NARROW), note)


def _square(title: str, y: str, x: str, width: int, reach: tuple[float, float]) -> Plot:
    frame = Frame(title, y, x, width, width + 14, x_range=reach, y_range=reach, labels=False)
    return plotted([], frame)


def _wilson(share: float, n: int) -> tuple[float, float]:
    """The 95% interval of a share of n (Wilson 1927); inside [0, 1], and sane for few."""
    z2 = 1.96**2
    middle, base = (share + z2 / (2 * n)) / (1 + z2 / n), share * (1 - share) / n + z2 / (4 * n * n)
    half = 1.96 * math.sqrt(base) / (1 + z2 / n)
    return middle - half, middle + half
