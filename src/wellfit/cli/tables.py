"""Results as tables for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from wellfit.report import measures
from wellfit.report.words import interval_text
from wellfit.units import format_span


def evaluation_table(scored: Mapping[str, Any]) -> None:
    """One evaluation: each number with its interval and count."""
    console, task = _console(), str(scored["task"])
    counted = f"{scored['n_tokens']:,} {measures.PER.get(task, 'text')}s"
    known = [counted, *([f"{scored['n_bytes']:,} bytes"] if task == "language-model" else [])]
    if scored["n_documents"] != scored["n_tokens"]:
        known.append(f"{scored['n_documents']:,} documents")
    console.print(f"{scored['run']}, split {scored['split']}: {', '.join(known)}", highlight=False)
    table = Table("", "value", "95% interval", "of", box=None, pad_edge=False)
    interval = interval_text(scored["ci95"]["loss"], "{:.4f}".format)
    name = f"loss ({scored['loss_unit']})"
    table.add_row(name, _number(scored["loss"], ".4f"), interval, counted)
    for told in measures.told(task, scored):
        table.add_row(told.name, told.value, told.interval, told.n)
    for name, value in (scored["baselines"] or {}).items():
        table.add_row(f"{name} loss", _number(value, ".4f"))
    console.print(table)


def runs_table(found: Sequence[Mapping[str, Any]], root: Path) -> None:
    """A list of runs, oldest first."""
    console = _console()
    if not found:
        console.print(
            f"no runs under {root}. Start one with: wellfit train RECIPE", highlight=False
        )
        return
    columns = ("run", "status", "step", "val loss", "test", "time", "verdict")
    table = Table(*columns, box=None, pad_edge=False)
    for run in found:
        if run["status"] == "unreadable":
            table.add_row(run["name"], run["status"], "", "", "", "", str(run["problem"]))
            continue
        verdict, head = run["verdict"] or {}, measures.headline(run, "test")
        table.add_row(
            run["name"],
            run["status"],
            f"{run['step']:,}",
            _number(run["final"]["val_loss"], ".4f"),
            f"{head.value} {head.name}" if head else "",
            "" if run["elapsed_s"] is None else format_span(run["elapsed_s"]),
            verdict.get("code", ""),
        )
    console.print(table)


def diff_table(difference: Mapping[str, Any]) -> None:
    """What sets two runs apart."""
    console = _console()
    recipe = Table("recipe", *difference["runs"], box=None, pad_edge=False)
    for key, sides in difference["recipe"].items():
        recipe.add_row(key, str(sides["a"]), str(sides["b"]))
    console.print(recipe if difference["recipe"] else "the recipes are the same")
    metrics = Table("result", *difference["runs"], "difference", box=None, pad_edge=False)
    for key, sides in difference["metrics"].items():
        metrics.add_row(key, f"{sides['a']:.6g}", f"{sides['b']:.6g}", f"{sides['delta']:+.4g}")
    console.print()
    console.print(metrics)


def doctor_table(found: Mapping[str, Any]) -> None:
    """What the machine can do, and what is missing."""
    console = _console()
    table = Table("this machine", "", box=None, pad_edge=False)
    for key, value in found["machine"].items():
        table.add_row(key, str(value))
    console.print(table)
    console.print()
    parts = Table("part", "state", "to install", box=None, pad_edge=False)
    for part in found["parts"]:
        parts.add_row(part["name"], part["state"], part["install"])
    console.print(parts)
    for problem in found["problems"]:
        console.print(f"problem: {problem}", highlight=False)


def _console() -> Console:
    """Names, paths and extras are printed as they are, brackets and all."""
    return Console(markup=False, highlight=False)


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
