"""The report of a run: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from wellfit import __version__
from wellfit.report import measures, words
from wellfit.report.charts import curve, learning_views, metric_charts, small_charts
from wellfit.report.outcomes import calibration_picture, confusion_picture, scatter_picture
from wellfit.report.provenance import Fact, audit, machine_facts, recipe_lines
from wellfit.report.svg import Picture
from wellfit.report.templates import asset, page_template, picture
from wellfit.store import Evaluation, RunView, flat_recipe
from wellfit.store.evaluation import perplexity

_SAMPLES = 6  # shown; the others wait behind a click
_GRADES = {"stop": (0, "Stop", "stop"), "warn": (1, "Look at this", "warn"),
           "info": (2, "Noted", "plain")}  # fmt: skip
_SPLITS = ("train", "val", "test")


class Row(NamedTuple):
    """One line of a table of numbers: a split, a metric, or a baseline of tone ``none``."""

    name: str
    tone: str
    cells: list[tuple[str, str]]  # each with its interval


class Table(NamedTuple):
    """Numbers in columns; ``apart`` stands below the others, ``folded`` behind a click."""

    columns: list[tuple[str, str]]  # a name, and what else is to be said of it
    rows: list[Row]
    apart: Sequence[Row] = ()
    folded: Sequence[Row] = ()


def page(view: RunView) -> str:
    """The report as one self-contained HTML text.

    Works from a file, without network and without scripts; a policy in its head allows only
    its own style and its own script, by hash, so nothing in a run's text can do anything.
    """
    css, script = asset("page.css") + asset("chart.css"), asset("page.js")
    summary, resolved, samples = view.summary(), view.resolved(), view.samples()
    task, verdict = summary["task"], summary["verdict"] or {}
    unit = measures.loss_unit(summary, flat_recipe(resolved).get("task.loss.kind"))
    numbers = {k: v for k, v in words.evidence(verdict).items() if words.is_number(v)}
    head, (seen_split, seen) = measures.headline(summary, "test"), measures.seen(summary)
    asked, defaults = recipe_lines(resolved)
    shown, profile = _shown(len(samples)), view.profile()
    return page_template().render(
        summary=summary,
        policy=_policy(css, script),
        css=Markup(css),
        script=Markup(script),
        headline=words.headline(summary),
        evidence=[*_confidence(verdict), *_facts(numbers)],
        unit=unit,
        head=head,
        head_name=measures.headline_name(summary),
        linear=measures.linear(summary).get(head.key) if head else None,
        pace=measures.pace(summary, unit),
        views=learning_views(view, unit),
        curve_rows=_curve_rows(view.evaluations()),
        metric_charts=metric_charts(view, task),
        metrics=_metrics(summary),
        losses=_losses(summary, unit),
        counting=measures.BASELINES.get(task, measures.PAIRS),
        seen_split=seen_split,
        seen=seen,
        pictures=_pictures(seen),
        small=small_charts(view, unit),
        profile=profile,
        bars=[picture("bars", profile, width) for width in (1040, 322)] if profile else [],
        samples=[s for i, s in enumerate(samples) if i in shown],
        more_samples=[s for i, s in enumerate(samples) if i not in shown],
        findings=_findings(summary),
        audit=audit(view.data()),
        asked=asked,
        defaults=defaults,
        machine=machine_facts(view),
        events=view.events(),
        version=__version__,
        show=f"wellfit runs show {shlex.quote(str(view.run.path))} --json",
    )


def _policy(css: str, script: str) -> str:
    """A content security policy under which this page, and nothing smuggled into it, works."""

    def digest(text: str) -> str:
        return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    return (
        f"default-src 'none'; style-src 'sha256-{digest(css)}'; "
        f"script-src 'sha256-{digest(script)}'; base-uri 'none'; form-action 'none'"
    )


def _facts(found: Mapping[str, Any]) -> list[Fact]:
    return [Fact(*words.named(key, value)) for key, value in found.items()]


def _confidence(finding: Mapping[str, Any]) -> list[Fact]:
    share = finding.get("confidence")
    return [] if share is None else [Fact("confidence", words.confidence(share))]


def _metrics(summary: Mapping[str, Any]) -> Table | None:
    """Every metric on every split, and the linear baseline's; all but the first behind a click.

    Without those that follow from the loss, which stand beside it.
    """
    task = summary["task"]
    measured = {s: {"metrics": summary[s]["metrics"]} for s in _SPLITS if summary[s]}
    found = {split: measures.told(task, metrics) for split, metrics in measured.items()}
    if not any(found.values()):
        return None
    found[f"linear on {measures.seen(summary)[0]}"] = measures.linear(summary)
    columns = {name: told for name, told in found.items() if told}
    keys = list(dict.fromkeys(key for told in columns.values() for key in told))
    first = measures.most_telling(task, keys)
    rows = {
        key: Row(measures.name_of(key), "none", [_cell(told.get(key)) for told in columns.values()])
        for key in keys
    }
    folded = [rows[key] for key in keys if key not in first]
    names = [(name, next(iter(told.values())).n) for name, told in columns.items()]
    return Table(names, [rows[key] for key in first], folded=folded)


def _cell(told: measures.Told | None) -> tuple[str, str]:
    return (told.value, told.interval) if told else ("", "")


def _losses(summary: Mapping[str, Any], unit: str) -> Table:
    """Losses of the splits and of the baselines, with what else follows from a loss."""
    more = measures.FROM_LOSS.get(summary["task"], ())
    counts = {f"{measures.per_of(unit)}s": "n_tokens"}
    counts |= {"documents": "n_documents"} if more else {}
    rows = []
    for split in _SPLITS:
        if found := summary[split]:
            told = measures.told(summary["task"], found)
            loss = words.loss_text(found["loss"]), words.interval_text(found["ci95"]["loss"])
            counted = [(f"{found[key]:,}", "") for key in counts.values()]
            rows.append(Row(split, split, [loss, *(_cell(told[key]) for key in more), *counted]))
    others = [*map(measures.name_of, more), *counts]
    columns = [("Loss", unit), *((words.capital(name), "") for name in others)]
    return Table(columns, rows, apart=_baselines(summary, more, blank=len(counts)))


def _baselines(summary: Mapping[str, Any], more: Sequence[str], *, blank: int) -> list[Row]:
    """The baselines, best first, in the same units as the losses."""
    known = [(v, name) for name, v in (summary["baselines"] or {}).items() if v is not None]
    val = summary["val"] or {}
    ratio = val["bits_per_byte"] / val["loss"] if val.get("loss") and "bits_per_byte" in more else 0
    rows = []
    for value, name in sorted(known):
        cells = {
            "perplexity": words.perplexity_text(perplexity(value)),
            "bits_per_byte": words.loss_text(value * ratio if ratio else None),
        }
        found = [words.loss_text(value), *(cells[key] for key in more), *[""] * blank]
        rows.append(Row(name, "none", [(cell, "") for cell in found]))
    return rows


def _pictures(seen: Mapping[str, Any]) -> dict[str, Picture]:
    """Where the model errs, as far as it can be drawn."""
    found = {}
    if matrix := seen.get("confusion"):
        found["confusion"] = confusion_picture(matrix)
    if bins := seen.get("calibration"):
        found["calibration"] = calibration_picture(bins)
    if points := seen.get("scatter"):
        found["scatter"] = scatter_picture(points, (seen.get("targets") or ["target"])[0])
    return found


def _curve_rows(evaluations: list[Evaluation]) -> list[tuple[int, list[Evaluation | None]]]:
    """The learning curves as numbers: what train and val were at each step.

    For those who cannot or would not read a chart.
    """
    train, val = ({e.step: e for e in curve(evaluations, split)} for split in ("train", "val"))
    return [(step, [train.get(step), val.get(step)]) for step in sorted({*train, *val})]


def _shown(n: int) -> set[int]:
    """Which of n samples are shown: the first, the last and some between, evenly."""
    few = min(n, _SAMPLES)
    return {round(i * (n - 1) / max(1, few - 1)) for i in range(few)}


def _findings(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What was found besides the verdict, which heads the page; the gravest first."""
    verdict = (summary["verdict"] or {}).get("code")
    found = [
        {
            **finding,
            "grade": _GRADES.get(finding["severity"], (3, "Noted", "plain")),
            "facts": [*_facts(words.evidence(finding)), *_confidence(finding)],
        }
        for finding in summary["findings"]
        if finding["code"] != verdict
    ]
    return sorted(found, key=lambda finding: finding["grade"][0])
