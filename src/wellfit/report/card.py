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

_WIDEST = 100
_SAMPLE_ROWS = 8
_COLOURS = {"good": "green", "warn": "yellow", "stop": "red", "plain": "cyan"}
_INDENT = "  "


@dataclass(frozen=True, slots=True)
class _Card:
    summary: Mapping[str, Any]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        plain = options.ascii_only or options.legacy_windows
        width = min(options.max_width, _WIDEST)
        for number, block in enumerate(_blocks(self.summary, width, plain)):
            if number:
                yield Text("")
            for row in block:
                yield Text(_INDENT) + row


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


def _blocks(summary: Mapping[str, Any], width: int, plain: bool) -> list[list[Text]]:
    inner = width - 2 * len(_INDENT)
    blocks = [
        [_rule(summary, inner, plain)],
        _verdict(summary, inner),
        [*_test(summary), *_effort(summary, inner)],
        _table(summary),
        _sample(summary, inner, plain),
        _paths(summary),
        _next(summary),
    ]
    return [block for block in blocks if block]


def _rule(summary: Mapping[str, Any], inner: int, plain: bool) -> Text:
    name, status = str(summary["name"]), words.STATUSES.get(summary["status"], summary["status"])
    line = ("-" if plain else "\u2500") * max(2, inner - len(name) - len(status) - 2)
    return Text.assemble((name, "bold"), " ", (line, "dim"), " ", status)


def _verdict(summary: Mapping[str, Any], inner: int) -> list[Text]:
    title = words.verdict_title(summary)
    head = Text(title, style=f"bold {_COLOURS[words.verdict_tone(summary)]}")
    verdict = summary["verdict"] or {}
    if verdict.get("confidence") is not None:
        confidence = words.percent_text(verdict["confidence"])
        head.append(f"   confidence {confidence}", style="not bold dim")
    rows = [head, *_wrapped(words.verdict_claim(summary), inner)]
    if verdict.get("advice"):
        rows += _wrapped(words.sentence(str(verdict["advice"])), inner, style="dim")
    return rows


def _test(summary: Mapping[str, Any]) -> list[Text]:
    test = summary["test"]
    if not test:
        return [Text("test has not been looked at", style="dim")]
    between = words.interval_text(test["ci95"]["bits_per_byte"])
    row = Text.assemble((words.loss_text(test["bits_per_byte"]), "bold"), " bits per byte on test")
    if between:
        row.append(f"   95%: {between}", style="dim")
    return [row]


def _effort(summary: Mapping[str, Any], inner: int) -> list[Text]:
    """What it took: time, tokens, size."""
    epochs = summary["epochs"]
    parts = [
        (words.span_text, summary["elapsed_s"], ""),
        (words.count_text, summary["tokens_seen"], " tokens"),
        (lambda value: f"{value:.2f}", epochs, " epochs"),
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
            if between := words.interval_text(found["ci95"]["loss"]):
                row.append(f"   95%: {between}", style="dim")
            rows.append(row)
    known = {key: value for key, value in (summary["baselines"] or {}).items() if value is not None}
    for name, value in sorted(known.items(), key=lambda item: float(item[1])):
        rows.append(Text(name.ljust(16) + words.loss_text(value).rjust(13), style="dim"))
    return rows if len(rows) > 1 else []


def _sample(summary: Mapping[str, Any], inner: int, plain: bool) -> list[Text]:
    sample = summary["sample"]
    if not sample or not (sample["prompt"] + sample["text"]).strip():
        return []
    edge = "| " if plain else "\u2502 "
    rows = words.wrapped(sample["prompt"] + sample["text"], inner - len(edge))
    shown = [Text.assemble((edge, "dim"), row) for row in rows[:_SAMPLE_ROWS]]
    return [Text(f"it writes, at step {sample['step']:,}", style="dim"), *shown]


def _paths(summary: Mapping[str, Any]) -> list[Text]:
    return [
        Text.assemble((name.ljust(8), "dim"), path)
        for name, path in summary["paths"].items()
        if path
    ]


def _next(summary: Mapping[str, Any]) -> list[Text]:
    commands = next_commands(summary)
    return [
        Text("next", style="dim"),
        *(Text(f"  {command}", style="bold") for command in commands),
    ]


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
