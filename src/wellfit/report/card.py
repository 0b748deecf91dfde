"""The card at the end of a run: what came out, in words with their numbers, and what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from rich.text import Text

from wellfit.report import measures, words
from wellfit.store import RunView, flat_recipe
from wellfit.units import format_span

_WIDEST = 100
_SAMPLE_ROWS = 8
_NAME = 18  # columns of a split's, a metric's or a baseline's name
_BESIDE_ROWS = 3  # of a text that stands beside another
_COLOURS = {"good": "green", "warn": "yellow", "stop": "red", "plain": "cyan"}
_INDENT = "  "
_LOOKED = ("val", "test")


def card(view: RunView) -> words.Drawing:
    """The run's card, as wide as the terminal; every number on it is in ``summary()``.

    Print it with ``soft_wrap=True``: paths and commands are there to be copied, so they go on
    over the edge rather than being broken.
    """
    summary = view.summary()
    loss = flat_recipe(view.resolved()).get("task.loss.kind")
    return words.Drawing(partial(_rows, summary, measures.loss_unit(summary, loss)), _WIDEST)


def _rows(summary: Mapping[str, Any], unit: str, width: int) -> Iterator[Text]:
    for number, block in enumerate(_blocks(summary, unit, width)):
        if number:
            yield Text("")
        for row in block:
            yield Text(_INDENT) + row


def _blocks(summary: Mapping[str, Any], unit: str, width: int) -> list[list[Text]]:
    inner = width - 2 * len(_INDENT)
    blocks = [
        [_rule(summary, inner)],
        _verdict(summary, inner),
        [*_test(summary, inner), *_effort(summary, unit, inner)],
        _metrics(summary, inner),
        _table(summary, unit),
        _writing(summary, inner) or _sample(summary, inner),
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
        sure = words.confidence(verdict["confidence"])
        head.append(f"   confidence {sure}", style="not bold dim")
    numbers = words.evidence(verdict)
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


def _test(summary: Mapping[str, Any], inner: int) -> list[Text]:
    head = measures.headline(summary, "test")
    if not head:
        return [Text("test has not been looked at", style="dim")]
    row = Text.assemble((head.value, "bold"), f" {head.name} on test")
    between = Text(f"95%: {head.interval}, {head.n}" if head.interval else head.n, style="dim")
    if row.cell_len + 3 + between.cell_len > inner:
        return [row, between]
    return [Text("   ").join([row, between])]


def _metrics(summary: Mapping[str, Any], inner: int) -> list[Text]:
    """The most telling metrics on val and test; the linear baseline's beside them."""
    task = summary["task"]
    if task == "language-model":  # its headline says it all
        return []
    val, test = (measures.told(task, summary[s] or {}) for s in _LOOKED)
    shown = measures.most_telling(task, test or val)

    def values(told: Mapping[str, measures.Told]) -> list[str]:
        return [told[key].value if key in told else "" for key in shown]

    between = [test[key].interval if key in test else "" for key in shown]
    columns = {"": [measures.name_of(key) for key in shown], "val": values(val),
               "test": values(test), "95%": between,
               "linear": values(measures.linear(summary))}  # fmt: skip
    columns = {name: cells for name, cells in columns.items() if any(cells)}
    widths = {name: max(map(len, [name, *cells])) + 3 for name, cells in columns.items()}
    if sum(widths.values()) > inner:  # the headline has its interval above
        columns.pop("95%", None)
    rows = [Text("") for _ in range(len(shown) + 1)] if shown else []
    for name, cells in columns.items():
        for row, cell in zip(rows, [name, *cells], strict=True):
            bold = name in _LOOKED and row is not rows[0]
            style = "bold" if bold else "dim" if name or row is rows[0] else ""
            row.append(cell.rjust(widths[name]) if name else cell.ljust(max(_NAME, widths[""] - 3)),
                       style=style)  # fmt: skip
    return rows


def _effort(summary: Mapping[str, Any], unit: str, inner: int) -> list[Text]:
    """What it took: time, tokens or texts, size."""
    pace = measures.pace(summary, unit)
    parts = [
        (format_span, summary["elapsed_s"], ""),
        (words.count_text, pace.seen, f" {pace.per}s"),
        ("{:.2f}".format, summary["epochs"], " epochs"),
        (words.count_text, pace.per_s, f" {pace.per}s/s"),
        ("{:.0%}".format, summary["mfu"], " of the GPU's bf16 peak (MFU)"),
        (words.count_text, summary["parameters"], " parameters"),
    ]
    known = [f"{text(value)}{unit}" for text, value, unit in parts if value is not None]
    told = [", ".join(known), *([words.profile_line(p)] if (p := summary["profile"]) else [])]
    return [row for text in told for row in _wrapped(text, inner, style="dim")]


def _table(summary: Mapping[str, Any], unit: str) -> list[Text]:
    """Losses of the splits with their intervals, and the baselines under them."""
    rows = []
    for split in ("train", *_LOOKED):
        if found := summary[split]:
            loss = words.loss_text(found["loss"]).rjust(8)
            between = words.interval_text(found["ci95"]["loss"])
            told = (f"   95%: {between}" if between else "", "dim")
            rows.append(Text.assemble(split.ljust(_NAME), (loss, "bold"), told))
    known = [(v, name) for name, v in (summary["baselines"] or {}).items() if v is not None]
    for value, name in sorted(known):
        rows.append(Text(name.ljust(_NAME) + words.loss_text(value).rjust(8), style="dim"))
    return [Text(f"loss, {unit}", style="dim"), *rows] if rows else []


def _writing(summary: Mapping[str, Any], inner: int) -> list[Text]:
    """One text that was written, beside what a person wrote."""
    split, seen = measures.seen(summary)
    if not seen.get("writings"):
        return []
    rows = [Text(f"it writes, for one prompt of {split}", style="dim")]
    for name, key in (("prompt", "prompt"), ("it writes", "written"), ("reference", "reference")):
        found = words.wrapped(seen["writings"][0][key], inner - 13)
        if len(found) > _BESIDE_ROWS:
            found = [*found[: _BESIDE_ROWS - 1], f"{found[_BESIDE_ROWS - 1][: inner - 17]} ..."]
        for i, row in enumerate(found):
            rows.append(Text.assemble((f"{'' if i else name:11}\u2502 ", "dim"),
                                      (row, "" if key == "written" else "dim")))  # fmt: skip
    return rows


def _sample(summary: Mapping[str, Any], inner: int) -> list[Text]:
    sample = summary["sample"]
    if not sample or not (sample["prompt"] + sample["text"]).strip():
        return []
    rows = words.wrapped(sample["prompt"] + sample["text"], inner - 2)
    shown = [Text.assemble(("\u2502 ", "dim"), row) for row in rows[:_SAMPLE_ROWS]]
    return [Text(f"it writes, at step {sample['step']:,}", style="dim"), *shown]


def _paths(summary: Mapping[str, Any]) -> list[Text]:
    known = [(name, path) for name, path in summary["paths"].items() if path]
    return [Text.assemble((name.ljust(8), "dim"), path) for name, path in known]


def _next(summary: Mapping[str, Any]) -> list[Text]:
    commands = [Text(f"  {command}", style="bold") for command in next_commands(summary)]
    return [Text("next", style="dim"), *commands]


def next_commands(summary: Mapping[str, Any]) -> list[str]:
    """Three commands worth typing now, the most useful first."""
    run = shlex.quote(summary["run"])
    sample, report = f"wellfit sample {run}", f"wellfit report {run} --open"
    if summary["task"] != "language-model":
        sample += " TEXT"
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
