"""How a run shows itself while it goes: a panel for a terminal, one line a while elsewhere."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from rich.text import Text

from wellfit.report.measures import name_of, per_of, text_of
from wellfit.report.words import ASCII, Drawing, count_text, loss_text, wrapped
from wellfit.units import format_span

_WIDEST = 108  # beyond this, numbers drift apart
_SAMPLE_ROWS = 5
_COLUMNS = (("step", 15), ("loss", 18), ("val", 8), ("pace", 10), ("elapsed", 13),
            ("left", 13))  # fmt: skip


@dataclass(frozen=True, slots=True)
class LiveState:
    """A run at one moment, for the eye.  None stands for what has not been measured yet.

    Units    losses and baselines in ``unit`` of the task's loss, spans in seconds.
    """

    steps_total: int
    baselines: Mapping[str, float]
    step: int = 0
    loss: float | None = None
    smoothed_loss: float | None = None
    val_loss: float | None = None
    tokens_per_s: float = 0.0
    time_left_s: float | None = None
    elapsed_s: float = 0.0
    sample: str = ""
    history: tuple[float, ...] = ()  # recent losses, oldest first
    status: str = ""
    unit: str = "nats per token"
    metric: tuple[str, float | None] | None = None  # the task's headline, as val has it


_BARS = "\u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588"


def panel(state: LiveState) -> Drawing:
    """The run as a panel that fits the terminal, with or without colour."""
    return Drawing(partial(_rows, state), _WIDEST)


def line_header(unit: str = "nats per token") -> str:
    """The names and units of the columns of ``line``."""
    return "".join(name.rjust(width) for name, width in _columns(unit))


def _columns(unit: str) -> list[tuple[str, int]]:
    """Names and widths, wide enough for the unit of the loss and what it is per."""
    names = {"loss": f"loss, {unit.split(' per ')[0]}", "pace": f"{per_of(unit)}s/s"}
    found = [(names.get(name, name), width) for name, width in _COLUMNS]
    return [(name, max(width, len(name) + 2)) for name, width in found]


def line(state: LiveState) -> str:
    """The run as one line of fixed columns, for a log."""
    cells = (
        f"{state.step}/{state.steps_total}",
        loss_text(_now(state)),
        loss_text(state.val_loss),
        count_text(state.tokens_per_s),
        format_span(state.elapsed_s),
        _left_text(state),
    )
    columns = _columns(state.unit)
    row = "".join(cell.rjust(width) for cell, (_, width) in zip(cells, columns, strict=True))
    return row.translate(ASCII)  # as a log is read by anything


def _left_text(state: LiveState) -> str:
    return "-" if state.time_left_s is None else format_span(max(0.0, state.time_left_s))


def _now(state: LiveState) -> float | None:
    return state.loss if state.smoothed_loss is None else state.smoothed_loss


def _rows(state: LiveState, width: int) -> list[Text]:
    blocks = [
        _progress(state, width),
        _ladder(state, width),
        [_numbers(state, width)],
        _sample(state.sample, width),
    ]
    gap = Text("")
    rows = [gap, *(row for block in blocks if block for row in (*block, gap))]
    for row in rows:
        row.truncate(width)
    return rows


def _progress(state: LiveState, width: int) -> list[Text]:
    left = f"step {state.step:,} of {state.steps_total:,}"
    times = f"{format_span(state.elapsed_s)} gone, {_left_text(state)} left"
    first = Text(left, style="bold")
    if state.status and len(left) + len(times) + len(state.status) + 6 <= width:
        first.append(f"  {state.status}", style="not bold dim")
    first.append(times.rjust(width - first.cell_len), style="not bold")
    done = round(min(1.0, state.step / max(1, state.steps_total)) * width)
    return [first, Text.assemble(("\u2501" * done, "cyan"), ("\u2500" * (width - done), "dim"))]


def _ladder(state: LiveState, width: int) -> list[Text]:
    """The loss as a place between guessing (left) and knowing (right), beside the baselines."""
    baselines = state.baselines
    top = max(baselines.values())
    places = {name: _place(value, top, width) for name, value in baselines.items()}
    names = _labels([(at, name) for name, at in places.items()], width)
    values = _labels([(at, f"{baselines[name]:.2f}") for name, at in places.items()], width)
    done, track = ["\u2501"] * width, ["\u2500"] * width
    for at in places.values():
        done[at], track[at] = "\u2537", "\u2534"  # ticks
    row, below, now = Text("".join(track), style="dim"), Text(""), _now(state)
    if now is not None and math.isfinite(now):
        at = _place(now, top, width)
        row = Text.assemble(
            ("".join(done[:at]), "cyan"), ("\u25cf", "bold cyan"), ("".join(track[at + 1 :]), "dim")
        )
        start = min(max(0, at - len("loss ") - 2), width - len(f"loss {loss_text(now)}"))
        below = Text.assemble(" " * start, ("loss ", "dim"), (loss_text(now), "bold cyan"))
    elif now is not None:
        below = Text("the loss is not a finite number", style="bold red")
    end = "0 nats: certain" if state.unit.startswith("nats ") else "0: exact"
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


def _numbers(state: LiveState, width: int) -> Text:
    row = Text.assemble(
        ("val ", "dim"), (loss_text(state.val_loss), "bold"), "    ",
        *_metric(state), count_text(state.tokens_per_s), (f" {per_of(state.unit)}s/s", "dim"),
    )  # fmt: skip
    room = width - row.cell_len - 16
    if room >= 12 and len(state.history) >= 2:
        bars = sparkline(state.history, min(room, 48))
        row.append("recent loss ".rjust(width - row.cell_len - len(bars)), style="dim")
        row.append(bars, style="cyan")
    return row


def _metric(state: LiveState) -> list[tuple[str, str]]:
    if state.metric is None:
        return []
    key, value = state.metric
    return [(f"{name_of(key)} ", "dim"), (f"{text_of(key)(value)}    ", "bold")]


def sparkline(values: Sequence[float], width: int) -> str:
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
        _BARS[min(len(_BARS) - 1, int((mean - lo) / span * len(_BARS)))]
        if math.isfinite(mean)
        else "x"
        for mean in means
    )


def _sample(sample: str, width: int) -> list[Text]:
    """The first rows of a sample, as wide as the panel; control characters stay harmless."""
    if not sample.strip():
        return []
    shown = wrapped(sample, width - 2)[:_SAMPLE_ROWS]
    shown += [""] * (_SAMPLE_ROWS - len(shown))  # a steady height keeps the panel from jumping
    lines = [Text("\u2502 ", style="dim").append(row, style="not dim") for row in shown]
    return [Text("it writes", style="dim"), *lines]
