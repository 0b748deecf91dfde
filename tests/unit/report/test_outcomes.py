"""Pictures of where a model errs."""

from __future__ import annotations

import re

import numpy as np
import pytest

from wellfit.report.outcomes import (
    _wilson,
    calibration_picture,
    confusion_picture,
    scatter_picture,
)


def _cells(svg: str) -> dict[tuple[str, str], int]:
    found = re.findall(r"<title>([^<,]+), predicted ([^<:]+): ([\d,]+)</title>", svg)
    return {(true, said): int(n.replace(",", "")) for true, said, n in found}


def test_the_matrix_holds_the_counts():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(1)
    truth, guess = rng.integers(0, 4, 300), rng.integers(0, 4, 300)
    labels, counts = list("abcd"), metrics.confusion_matrix(truth, guess)
    picture = confusion_picture({"labels": labels, "counts": counts.tolist()})
    # rows are the truth, as scikit-learn has them
    for svg in (picture.wide, picture.narrow):
        assert _cells(svg) == {(t, p): counts[i, j] for i, t in enumerate("abcd")
                               for j, p in enumerate("abcd")}  # fmt: skip


def _strength(svg: str, true: str, said: str) -> float:
    cell = rf"<title>{true}, predicted {said}:.*?fill-opacity=\"([\d.]+)\""
    return float(re.search(cell, svg)[1])


def test_colour_is_the_share_of_the_row():
    svg = confusion_picture({"labels": ["a", "b"], "counts": [[1, 1], [90, 10]]}).wide
    # half of a few is stronger than a tenth of many; right and wrong differ in colour
    assert _strength(svg, "a", "b") > _strength(svg, "b", "b")
    assert svg.count('class="hit"') == 2 and svg.count('class="miss"') == 2
    # an empty row has no colour, and divides by nothing
    assert confusion_picture({"labels": ["a", "b"], "counts": [[0, 0], [0, 3]]}).wide


def test_of_many_labels_the_most_confused_are_shown():
    n = 30
    counts = 50 * np.eye(n, dtype=int)
    counts[3, 27] = 9
    names = [f"label{i}" for i in range(n)]
    picture = confusion_picture({"labels": names, "counts": counts.tolist()})
    # the two that are mistaken for each other are among them, in their own order
    assert _cells(picture.wide)["label3", "label27"] == 9 and len(_cells(picture.wide)) == 21
    assert "20 of 30 labels" in picture.caption


@pytest.mark.parametrize(("right", "n"), [(0, 1), (3, 3), (7, 11), (480, 500)])
def test_whiskers_are_wilsons(right, n):
    stats = pytest.importorskip("scipy.stats")
    theirs = stats.binomtest(right, n).proportion_ci(method="wilson")
    assert _wilson(right / n, n) == pytest.approx((theirs.low, theirs.high), abs=1e-4)


def test_reliability_by_hand():
    bins = [
        {"lo": 0.0, "hi": 0.5, "n": 0, "confidence": None, "accuracy": None},
        {"lo": 0.5, "hi": 0.75, "n": 100, "confidence": 0.6, "accuracy": 0.6},
        {"lo": 0.75, "hi": 1.0, "n": 1300, "confidence": 0.9, "accuracy": 0.7},
    ]
    picture = calibration_picture(bins)
    # 1300 of 1400 texts are off by 20 points
    assert "18.6 points apart" in picture.caption
    # an empty bin is not drawn, a full one with its count
    assert picture.wide.count("<circle") == 2 and ">1.3k</text>" in picture.wide
    dots = re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', picture.wide)
    (x1, y1), (x2, y2) = ((float(x), float(y)) for x, y in dots)
    line = re.search(r'class="level" x1="(\d+)" y1="(\d+)" x2="(\d+)" y2="(\d+)"', picture.wide)
    ax, ay, bx, by = map(float, line.groups())

    def above(x: float, y: float) -> float:
        return ay + (x - ax) / (bx - ax) * (by - ay) - y

    # the first lies on the diagonal, the second under it: too sure
    assert abs(above(x1, y1)) < 0.2 and above(x2, y2) < -50


def test_a_perfect_prediction_lies_on_the_diagonal():
    picture = scatter_picture([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0], [None, 1.0]], "score")
    dots = [
        (float(x), float(y)) for x, y in re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', picture.wide)
    ]
    line = re.search(r'class="level" x1="(\d+)" y1="(\d+)" x2="(\d+)" y2="(\d+)"', picture.wide)
    ax, ay, bx, by = map(float, line.groups())
    # both axes have one scale; what is not a number is left out
    assert len(dots) == 3 and "3 texts" in picture.caption
    assert all(abs(ay + (x - ax) / (bx - ax) * (by - ay) - y) < 0.2 for x, y in dots)


def test_long_names_are_cut_in_the_middle():
    names = ["Entertainment and arts A", "Entertainment and arts B"]
    svg = confusion_picture({"labels": names, "counts": [[1, 0], [0, 1]]}).wide
    shown = re.findall(r">([^<>]*\.\.[^<>]*)</text>", svg)
    # so that what begins alike can be told apart
    assert len(set(shown)) == 2 and max(map(len, shown)) <= 16
