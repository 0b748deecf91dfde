"""The live panel and the log line."""

from __future__ import annotations

import io
import math
from dataclasses import replace

import pytest
from rich.console import Console

from wellfit.report import LiveState, line, line_header, panel
from wellfit.report.live import sparkline

STATE = LiveState(
    step=412, steps_total=720, loss=1.712, smoothed_loss=1.698, val_loss=1.741,
    baselines={"uniform": 4.174, "unigram": 3.309, "bigram": 2.452},
    tokens_per_s=24_230.0, time_left_s=52.0, elapsed_s=68.0,
    sample="MARGERY:\nThe winter, sir, is kinder than your word;",
    history=tuple(4.0 - i / 100 for i in range(200)), status="training",
)  # fmt: skip
BEFORE = replace(
    STATE, step=0, loss=None, smoothed_loss=None, val_loss=None, tokens_per_s=0.0,
    time_left_s=None, elapsed_s=0.0, sample="", history=(),
)  # fmt: skip


def _drawn(state: LiveState, width: int = 80, encoding: str = "utf-8") -> list[str]:
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
    Console(file=out, width=width, color_system=None).print(panel(state))
    out.flush()
    return out.buffer.getvalue().decode(encoding).splitlines()


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
@pytest.mark.parametrize("state", [STATE, BEFORE, replace(STATE, loss=math.nan)])
def test_the_panel_fits_every_terminal(state, width):
    # a row that wraps makes the panel jump
    assert max(map(len, _drawn(state, width))) <= width


@pytest.mark.parametrize("width", [80, 120])
def test_the_panel_tells_the_essentials(width):
    text = "\n".join(_drawn(STATE, width))
    for part in ("step 412 of 720", "loss 1.698", "val 1.741", "24.2k tokens/s", "52 s left",
                 "uniform", "4.17", "unigram", "3.31", "bigram", "2.45", "MARGERY:"):  # fmt: skip
        # what a person asks while waiting
        assert part in text, part


def test_the_height_does_not_change_while_it_trains():
    heights = {
        len(_drawn(replace(STATE, sample=sample)))
        for sample in ("a", "a\nb", "\n".join("abcdefgh"), "x" * 900)
    }
    # a panel that grows and shrinks cannot be read
    assert len(heights) == 1


def _at(rows: list[str], mark: str) -> int:
    return next(row.index(mark) for row in rows if mark in row)


@pytest.mark.parametrize(
    ("loss", "between"), [(3.8, ("uniform", "unigram")), (2.9, ("unigram", "bigram"))]
)
def test_the_loss_stands_between_its_neighbours(loss, between):
    rows = _drawn(replace(STATE, smoothed_loss=loss))
    # the scale is the message: past unigram, before bigram
    assert _at(rows, between[0]) < _at(rows, "\u25cf") < _at(rows, between[1])


def test_a_better_loss_stands_further_right():
    places = [
        _at(_drawn(replace(STATE, smoothed_loss=loss)), "\u25cf")
        for loss in (9.0, 4.0, 3.0, 2.0, 1.0, 0.0)
    ]
    # worse than uniform stays on the left edge
    assert places == sorted(places) and places[0] == 0 and places[-1] == 79


def test_a_terminal_with_only_ascii_gets_only_ascii():
    rows = _drawn(STATE, encoding="ascii")
    # same rows, other marks
    assert len(rows) == len(_drawn(STATE)) and _at(rows, "O") > _at(rows, "bigram")


def test_a_loss_that_is_no_number_is_said_in_words():
    rows = _drawn(replace(STATE, loss=math.nan, smoothed_loss=math.nan, history=(1.0, math.nan)))
    assert any("the loss is not a finite number" in row for row in rows)


def test_a_sample_cannot_command_the_terminal():
    text = "\n".join(_drawn(replace(STATE, sample="a\x1b[2J\rb")))
    # a model may write any character
    assert "\x1b" not in text and "\r" not in text and "a\ufffd[2J\ufffdb" in text


def test_the_line_has_fixed_columns():
    rows = [line_header(), line(STATE), line(BEFORE), line(replace(STATE, loss=math.nan))]
    # columns can be read down, and cut by position
    assert len({len(row) for row in rows}) == 1
    assert [row.index("412/720") + 7 for row in rows[1:2]] == [rows[0].index("step") + 4]
    # the header carries the units, the line only numbers; a log is plain ASCII
    assert "nats" in rows[0] and "tokens/s" in rows[0] and all(row.isascii() for row in rows)


def test_the_line_by_hand():
    cells = ["412/720", "1.698", "1.741", "24.2k", "1", "min", "08", "s", "52", "s"]
    assert line(STATE).split() == cells
    # what has not been measured is a dash, never a zero
    assert line(BEFORE).split() == ["0/720", "-", "-", "0", "0.0", "s", "-"]


def test_a_sparkline_by_hand():
    bars = "\u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588"
    # lowest to highest, one bar each
    assert sparkline([float(i) for i in range(8)], 8) == bars
    # four stretches of two: 0.5, 2.5, 4.5, 6.5 of a span of 6
    assert sparkline([float(i) for i in range(8)], 4) == bars[0] + bars[2] + bars[5] + bars[7]
    # flat is flat, and what is not a number shows
    assert sparkline([2.0, 2.0], 5) == bars[0] * 2
    assert sparkline([1.0, math.nan, 2.0], 3) == bars[0] + "x" + bars[7]


def test_a_regression_is_not_told_in_nats():
    state = replace(STATE, unit="deviations", baselines={"mean": 1.0}, metric=("pearson", 0.4213))
    text = "\n".join(_drawn(state))
    # the number the task is judged by stands beside val's loss
    assert "nats" not in text + line_header("deviations") and "0: exact" in text
    assert "val 1.741    Pearson's r 0.421" in text


@pytest.mark.parametrize("width", [40, 80])
def test_a_metric_that_is_not_there_yet_fits_too(width):
    rows = _drawn(replace(STATE, metric=("accuracy", None)), width)
    assert max(map(len, rows)) <= width and any("accuracy \u2013" in row for row in rows)
