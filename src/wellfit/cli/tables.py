"""Results as tables for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from wellfit.report import measures
from wellfit.report.words import interval_text
from wellfit.units import format_span


def evaluation_table(scored: Mapping[str, Any]) -> None:
    """One evaluation: each number with its interval and count."""
    if "benchmark" in scored:
        _benchmark_table(scored)
        return
    console, task = plain_console(), str(scored["task"])
    counted = f"{scored['n_tokens']:,} {measures.PER.get(task, 'text')}s"
    known = [counted, *([f"{scored['n_bytes']:,} bytes"] if task == "language-model" else [])]
    if scored["n_documents"] != scored["n_tokens"]:
        known.append(f"{scored['n_documents']:,} documents")
    console.print(f"{scored['run']}, split {scored['split']}: {', '.join(known)}")
    interval = interval_text(scored["ci95"]["loss"], "{:.4f}".format)
    rows = [(f"loss ({scored['loss_unit']})", _number(scored["loss"]), interval, counted)]
    told = measures.told(task, scored).values()
    rows += [(metric.name, metric.value, metric.interval, metric.n) for metric in told]
    counting = [(f"{name} loss", _number(x)) for name, x in (scored["baselines"] or {}).items()]
    console.print(table("", "value", "95% interval", "of", rows=[*rows, *counting]))


def _benchmark_table(scored: Mapping[str, Any]) -> None:
    """The answers to a benchmark: all in all, then by what groups it coarsest."""
    parts = {"": scored["metrics"], **next(iter(scored["groups"].values()), {})}
    rows = [
        (f"{group} {told.name}".strip(), told.value, told.interval, told.n)
        for group, metrics in parts.items()
        for told in measures.told("language-model", {"metrics": metrics}).values()
    ]
    console = plain_console()
    console.print(f"{scored['run']}, {scored['benchmark']} in {scored['split']}")
    console.print(table("", "value", "95% interval", "of", rows=rows))


def runs_table(found: Sequence[Mapping[str, Any]], root: Path) -> None:
    """A list of runs, oldest first."""
    console = plain_console()
    if not found:
        console.print(f"no runs under {root}. Start one with: wellfit train RECIPE")
        return
    columns = ("run", "status", "step", "val loss", "test", "time", "verdict")
    rows = [(run["name"], run["status"], *_run_cells(run)) for run in found]
    console.print(table(*columns, rows=rows))


def _run_cells(run: Mapping[str, Any]) -> tuple[str, ...]:
    if run["status"] == "unreadable":
        return "", "", "", "", str(run["problem"])
    head, elapsed_s = measures.headline(run, "test"), run["elapsed_s"]
    return (
        f"{run['step']:,}",
        _number(run["final"]["val_loss"]),
        f"{head.value} {head.name}" if head else "",
        "" if elapsed_s is None else format_span(elapsed_s),
        (run["verdict"] or {}).get("code", ""),
    )


def diff_table(difference: Mapping[str, Any]) -> None:
    """What sets two runs apart."""
    console = plain_console()
    keys = [(key, str(x["a"]), str(x["b"])) for key, x in difference["recipe"].items()]
    recipe = table("recipe", *difference["runs"], rows=keys)
    metrics = [
        (key, f"{x['a']:.6g}", f"{x['b']:.6g}", f"{x['delta']:+.4g}")
        for key, x in difference["metrics"].items()
    ]
    console.print(recipe if keys else "the recipes are the same", end="\n\n")
    console.print(table("result", *difference["runs"], "difference", rows=metrics))


def doctor_table(found: Mapping[str, Any]) -> None:
    """What the machine can do, and what is missing."""
    console = plain_console()
    machine = [(key, str(value)) for key, value in found["machine"].items()]
    parts = [(part["name"], part["state"], part["install"]) for part in found["parts"]]
    console.print(table("this machine", "", rows=machine))
    console.print()
    console.print(table("part", "state", "to install", rows=parts))
    for problem in found["problems"]:
        console.print(f"problem: {problem}")


def explained_table(lines: Sequence[Mapping[str, Any]]) -> None:
    """Every value of a recipe, with where it came from and why."""
    found = table("key", "value", "from", "why")
    found.columns[0].no_wrap = True
    for column in found.columns[1:]:
        column.overflow = "fold"
    for line in lines:
        why = f"{line['reason']} [{line['source']}]" if line["source"] else line["reason"]
        found.add_row(line["key"], str(line["value"]), str(line["origin"]), why)
    plain_console().print(found)


def plain_console() -> Console:
    """Names, paths and extras are printed as they are, brackets and all."""
    return Console(markup=False, highlight=False)


def table(*columns: str, rows: Iterable[Sequence[str]] = ()) -> Table:
    """A table without lines; a short row leaves its last columns empty."""
    found = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        found.add_row(*row)
    return found


def _number(loss: float | None) -> str:
    return "" if loss is None else f"{loss:.4f}"
