"""How a run shows itself while it goes: a panel for a terminal, one line a while elsewhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from wellfit.report.words import count_text, loss_text, wrapped
from wellfit.units import format_span

_WIDEST = 108  # beyond this, numbers drift apart
_SAMPLE_ROWS = 5
_COLUMNS = (("step", 15), ("loss, nats", 12), ("val, nats", 11), ("tokens/s", 10),
            ("elapsed", 13), ("left", 13))  # fmt: skip


@dataclass(frozen=True, slots=True)
class LiveState:
    """A run at one moment, for the eye.  None stands for what has not been measured yet.

    Units    losses and baselines in nats per target, spans in seconds.
    """

    step: int
    steps_total: int
    loss: float | None
    smoothed_loss: float | None
    val_loss: float | None
    uniform: float
    unigram: float
    bigram: float
    tokens_per_s: float
    time_left_s: float | None
    elapsed_s: float
    sample: str = ""
    history: tuple[float, ...] = ()  # recent losses, oldest first
    status: str = ""


@dataclass(frozen=True, slots=True)
class _Marks:
    """The drawing characters of a terminal, or what stands for them where it has only ASCII."""

    done: str
    done_tick: str  # a baseline on the part already passed
    left: str
    left_tick: str
    now: str
    bars: str
    edge: str


_BARS = "\u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588"
_UNICODE = _Marks("\u2501", "\u2537", "\u2500", "\u2534", "\u25cf", _BARS, "\u2502")
_ASCII = _Marks("=", "+", "-", "+", "O", "_.-=*#", "|")


@dataclass(frozen=True, slots=True)
class _Panel:
    state: LiveState

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        marks = _ASCII if options.ascii_only or options.legacy_windows else _UNICODE
        width = min(options.max_width, _WIDEST)
        for row in _rows(self.state, width, marks):
            row.truncate(width)
            yield row


def panel(state: LiveState) -> _Panel:
    """The run as a panel that fits the terminal, with or without colour."""
    return _Panel(state)


def line_header() -> str:
    """The names and units of the columns of ``line``."""
    return "".join(name.rjust(width) for name, width in _COLUMNS)


def line(state: LiveState) -> str:
    """The run as one line of fixed columns, for a log."""
    cells = (
        f"{state.step}/{state.steps_total}",
        loss_text(state.smoothed_loss if state.smoothed_loss is not None else state.loss),
        loss_text(state.val_loss),
        count_text(state.tokens_per_s),
        format_span(state.elapsed_s),
        _left_text(state),
    )
    # plain ASCII, as a log is read by anything
    row = "".join(cell.rjust(width) for cell, (_, width) in zip(cells, _COLUMNS, strict=True))
    return row.replace("\u2013", "-")


def _left_text(state: LiveState) -> str:
    return "-" if state.time_left_s is None else format_span(max(0.0, state.time_left_s))


def _rows(state: LiveState, width: int, marks: _Marks) -> list[Text]:
    gap = Text("")
    rows = [gap, *_progress(state, width, marks), gap, *_ladder(state, width, marks), gap]
    rows += [_numbers(state, width, marks), gap]
    if sample := _sample(state.sample, width, marks):
        rows += [*sample, gap]
    return rows


def _progress(state: LiveState, width: int, marks: _Marks) -> list[Text]:
    share = min(1.0, state.step / max(1, state.steps_total))
    left = f"step {state.step:,} of {state.steps_total:,}"
    times = f"{format_span(state.elapsed_s)} gone, {_left_text(state)} left"
    first = Text(left, style="bold")
    if state.status and len(left) + len(times) + len(state.status) + 6 <= width:
        first.append(f"  {state.status}", style="not bold dim")
    first.append(times.rjust(width - first.cell_len), style="not bold")
    done = round(share * width)
    bar = Text(marks.done * done, style="cyan")
    bar.append(marks.left * (width - done), style="dim")
    return [first, bar]


def _ladder(state: LiveState, width: int, marks: _Marks) -> list[Text]:
    """The loss as a place between guessing (left) and knowing (right), beside the baselines."""
    baselines = [("uniform", state.uniform), ("unigram", state.unigram), ("bigram", state.bigram)]
    now = state.smoothed_loss if state.smoothed_loss is not None else state.loss
    top = max([state.uniform, *(value for _, value in baselines)])
    places = [(name, value, _place(value, top, width)) for name, value in baselines]
    names = _labels([(at, name) for name, _, at in places], width)
    values = _labels([(at, f"{value:.2f}") for _, value, at in places], width)
    done, track = [marks.done] * width, [marks.left] * width
    for _, _, at in places:
        done[at], track[at] = marks.done_tick, marks.left_tick
    row = Text("".join(track), style="dim")
    below = Text("")
    if now is not None and math.isfinite(now):
        at = _place(now, top, width)
        row = Text()
        row.append("".join(done[:at]), style="cyan")
        row.append(marks.now, style="bold cyan")
        row.append("".join(track[at + 1 :]), style="dim")
        text = f"loss {loss_text(now)}"
        start = min(max(0, at - len("loss ") - 2), width - len(text))
        below = (
            Text(" " * start).append("loss ", style="dim").append(loss_text(now), style="bold cyan")
        )
    elif now is not None:
        below = Text("the loss is not a finite number", style="bold red")
    end = "0 nats: certain"
    if below.cell_len + len(end) + 2 <= width:
        below.append(end.rjust(width - below.cell_len), style="dim")
    return [Text(names, style="dim"), Text(values, style="dim"), row, below]


def _place(value: float, top: float, width: int) -> int:
    return min(max(round((1 - value / top) * (width - 1)), 0), width - 1)


def _labels(places: Sequence[tuple[int, str]], width: int) -> str:
    """Words that start at their places, pushed to the right where they would touch."""
    row = ""
    for at, word in sorted(places):
        start = max(at, len(row) + 2 if row else 0)
        if start + len(word) > width:
            break
        row = row.ljust(start) + word
    return row


def _numbers(state: LiveState, width: int, marks: _Marks) -> Text:
    row = Text()
    row.append("val ", style="dim").append(loss_text(state.val_loss), style="bold")
    row.append("    ").append(count_text(state.tokens_per_s)).append(" tokens/s", style="dim")
    room = width - row.cell_len - 16
    if room >= 12 and len(state.history) >= 2:
        bars = sparkline(state.history, min(room, 48), marks.bars)
        row.append("recent loss ".rjust(width - row.cell_len - len(bars)), style="dim")
        row.append(bars, style="cyan")
    return row


def sparkline(values: Sequence[float], width: int, bars: str = _BARS) -> str:
    """The values as a row of bars, each the mean of its stretch; ``x`` where one is not finite."""
    width = min(width, len(values))
    stretches = [
        values[i * len(values) // width : (i + 1) * len(values) // width] for i in range(width)
    ]
    means = [sum(stretch) / len(stretch) for stretch in stretches]
    finite = [mean for mean in means if math.isfinite(mean)]
    lo, hi = min(finite, default=0.0), max(finite, default=0.0)
    span = (hi - lo) or 1.0
    return "".join(
        bars[min(len(bars) - 1, int((mean - lo) / span * len(bars)))]
        if math.isfinite(mean)
        else "x"
        for mean in means
    )


def _sample(sample: str, width: int, marks: _Marks) -> list[Text]:
    """The first rows of a sample, as wide as the panel; control characters stay harmless."""
    if not sample.strip():
        return []
    rows = wrapped(sample, width - 2)
    shown = rows[:_SAMPLE_ROWS]
    shown += [""] * (_SAMPLE_ROWS - len(shown))  # a steady height keeps the panel from jumping
    lines = [Text(f"{marks.edge} ", style="dim").append(row, style="not dim") for row in shown]
    return [Text("it writes", style="dim"), *lines]
