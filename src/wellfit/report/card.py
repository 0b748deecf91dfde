"""The card at the end of a run: what came out, in words with their numbers, and what to do next."""

from __future__ import annotations

import io
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from wellfit.report import words
from wellfit.store import RunView
from wellfit.units import format_span

_WIDEST = 100
_SAMPLE_ROWS = 8
_COLOURS = {"good": "green", "warn": "yellow", "stop": "red", "plain": "cyan"}
_INDENT = "  "


@dataclass(frozen=True, slots=True)
class _Card:
    summary: Mapping[str, Any]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = min(options.max_width, _WIDEST)
        for number, block in enumerate(_blocks(self.summary, width)):
            if number:
                yield Text("")
            for row in block:
                yield words.drawn(Text(_INDENT) + row, options)


def card(view: RunView) -> _Card:
    """The run's card, as wide as the terminal; every number on it is in ``summary()``.

    Print it with ``soft_wrap=True``: paths and commands are there to be copied, so they go on
    over the edge rather than being broken.
    """
    return _Card(view.summary())


def card_text(view: RunView, *, width: int = 80) -> str:
    """The card as plain text."""
    console = Console(file=io.StringIO(), width=width, color_system=None, soft_wrap=False)
    with console.capture() as captured:
        console.print(card(view), soft_wrap=True)
    return "\n".join(row.rstrip() for row in captured.get().splitlines()) + "\n"


def _blocks(summary: Mapping[str, Any], width: int) -> list[list[Text]]:
    inner = width - 2 * len(_INDENT)
    blocks = [
        [_rule(summary, inner)],
        _verdict(summary, inner),
        [_test(summary), *_effort(summary, inner)],
        _table(summary),
        _sample(summary, inner),
        _paths(summary),
        _next(summary),
    ]
    return [block for block in blocks if block]


def _rule(summary: Mapping[str, Any], inner: int) -> Text:
    name, status = str(summary["name"]), words.title_text(summary["status"])
    line = "\u2500" * max(2, inner - len(name) - len(status) - 2)
    return Text.assemble((name, "bold"), " ", (line, "dim"), " ", status)


def _verdict(summary: Mapping[str, Any], inner: int) -> list[Text]:
    told, verdict = words.headline(summary), summary["verdict"] or {}
    head = Text(told.title, style=f"bold {_COLOURS[told.tone]}")
    if verdict.get("confidence") is not None:
        head.append(
            f"   confidence {words.confidence(verdict['confidence'])}", style="not bold dim"
        )
    numbers = words.evidence(verdict.get("evidence"))
    deciding = [" ".join(words.named(k, numbers[k])) for k in numbers if k in words.DECIDING]
    blocks = numbers.get("n_val_blocks")
    # The verdict compares the same blocks over time; the table below is of whole splits.
    where = f"on the {blocks} blocks that were followed: " if blocks and deciding else ""
    dim = [where + ", ".join(deciding), words.sentence(str(verdict.get("advice") or ""))]
    return [
        head,
        *_wrapped(told.claim, inner),
        *(row for text in dim if text for row in _wrapped(text, inner, style="dim")),
    ]


def _test(summary: Mapping[str, Any]) -> Text:
    test = summary["test"]
    if not test:
        return Text("test has not been looked at", style="dim")
    row = Text.assemble((words.loss_text(test["bits_per_byte"]), "bold"), " bits per byte on test")
    return row + _interval(test, "bits_per_byte")


def _interval(measured: Mapping[str, Any], name: str) -> Text:
    between = words.interval_text(measured["ci95"][name])
    return Text(f"   95%: {between}" if between else "", style="dim")


def _effort(summary: Mapping[str, Any], inner: int) -> list[Text]:
    """What it took: time, tokens, size."""
    parts = [
        (format_span, summary["elapsed_s"], ""),
        (words.count_text, summary["tokens_seen"], " tokens"),
        ("{:.2f}".format, summary["epochs"], " epochs"),
        (words.count_text, summary["tokens_per_s"], " tokens/s"),
        (words.count_text, summary["parameters"], " parameters"),
    ]
    known = [f"{text(value)}{unit}" for text, value, unit in parts if value is not None]
    return _wrapped(", ".join(known), inner, style="dim")


def _table(summary: Mapping[str, Any]) -> list[Text]:
    """Losses of the splits with their intervals, and the baselines under them."""
    rows = [Text("loss, nats per token".rjust(29), style="dim")]
    for split in ("train", "val", "test"):
        found = summary[split]
        if found:
            row = Text.assemble(split.ljust(16), (words.loss_text(found["loss"]).rjust(13), "bold"))
            rows.append(row + _interval(found, "loss"))
    known = {key: value for key, value in (summary["baselines"] or {}).items() if value is not None}
    for name, value in sorted(known.items(), key=lambda item: float(item[1])):
        rows.append(Text(name.ljust(16) + words.loss_text(value).rjust(13), style="dim"))
    return rows if len(rows) > 1 else []


def _sample(summary: Mapping[str, Any], inner: int) -> list[Text]:
    sample = summary["sample"]
    if not sample or not (sample["prompt"] + sample["text"]).strip():
        return []
    rows = words.wrapped(sample["prompt"] + sample["text"], inner - 2)
    shown = [Text.assemble(("\u2502 ", "dim"), row) for row in rows[:_SAMPLE_ROWS]]
    return [Text(f"it writes, at step {sample['step']:,}", style="dim"), *shown]


def _paths(summary: Mapping[str, Any]) -> list[Text]:
    return [
        Text.assemble((name.ljust(8), "dim"), path)
        for name, path in summary["paths"].items()
        if path
    ]


def _next(summary: Mapping[str, Any]) -> list[Text]:
    commands = [Text(f"  {command}", style="bold") for command in next_commands(summary)]
    return [Text("next", style="dim"), *commands]


def next_commands(summary: Mapping[str, Any]) -> list[str]:
    """Three commands worth typing now, the most useful first."""
    run = shlex.quote(summary["run"])
    sample, report = f"wellfit sample {run}", f"wellfit report {run} --open"
    show, export = f"wellfit runs show {run}", f"wellfit export {run} --to hf DIR"
    if summary["status"] in ("stopped", "crashed"):
        return [f"wellfit resume {run}", report, show]
    change = (summary["verdict"] or {}).get("change") or {}
    if change:
        keys = " ".join(words.override_text(key, value) for key, value in change.items())
        recipe = shlex.quote(f"{summary['run']}/recipe.yaml")
        return [f"wellfit train {recipe} {keys}", sample, report]
    if summary["status"] == "finished":
        return [sample, report, export]
    return [report, show, "wellfit runs ls"]


def _wrapped(text: str, inner: int, style: str = "") -> list[Text]:
    return [Text(row, style=style) for row in words.wrapped(text, min(inner, 88))]
