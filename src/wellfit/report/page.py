"""The report of a run: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from wellfit import __version__
from wellfit.report import measures, words
from wellfit.report.charts import curve, learning_views, metric_charts, small_charts
from wellfit.report.outcomes import (
    Picture,
    calibration_picture,
    confusion_picture,
    scatter_picture,
)
from wellfit.report.provenance import Fact, audit, machine_facts, recipe_lines
from wellfit.store import Evaluation, Event, RunView, Sample, final_evaluation, flat_recipe
from wellfit.units import format_span

_EVIDENCE = 7  # numbers beside the verdict; the others wait behind a click
_SAMPLES = 6  # shown; the others wait behind a click
_OF_CLASS = ("precision", "recall", "f1")
_TILES = 6
_ROUTINE = ("evaluated", "saved")
_GRADES = {"stop": (0, "Stop", "stop"), "warn": (1, "Look at this", "warn"),
           "info": (2, "Noted", "plain")}  # fmt: skip
_SPLITS = ("train", "val", "test")


class Tile(NamedTuple):
    """One number of the run, with what it is and how sure it is."""

    name: str
    value: str
    note: str


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


class Seen(NamedTuple):
    """Where the model errs on a split: pictures, and examples to read."""

    split: str
    confusion: Picture | None
    classes: list[tuple[str, ...]]
    calibration: Picture | None
    scatter: Picture | None
    worst: list[dict[str, str]]
    writings: list[dict[str, str]]
    signatures: list[Fact]


def page(view: RunView) -> str:
    """The report as one self-contained HTML text.

    Works from a file, without network and without scripts; a policy in its head allows only
    its own style and its own script, by hash, so nothing in a run's text can do anything.
    """
    css, script = _asset("page.css") + _asset("chart.css"), _asset("page.js")
    summary, evaluations = view.summary(), view.evaluations()
    asked, defaults = recipe_lines(view.resolved())
    shown, folded = _picked(view.samples())
    final = [e for split in _SPLITS if (e := final_evaluation(evaluations, split))]
    loss = flat_recipe(view.resolved()).get("task.loss.kind")
    task, unit = summary["task"], measures.loss_unit(summary, loss)
    return _template().render(
        summary=summary,
        name=view.run.name,
        policy=_policy(css, script),
        css=Markup(css),
        script=Markup(script),
        header=_header(summary),
        tiles=_tiles(summary, unit),
        views=learning_views(view, unit),
        curve_rows=_curve_rows(evaluations),
        metric_charts=metric_charts(view, task),
        metrics=_metrics(summary),
        losses=_losses(summary, unit, final),
        counting=measures.BASELINES.get(task, measures.PAIRS),
        basis=_basis(final),
        seen=_seen(summary),
        small=small_charts(view, unit),
        samples=shown,
        more_samples=folded,
        findings=_findings(summary),
        audit=audit(view.data()),
        asked=asked,
        defaults=defaults,
        machine=machine_facts(view),
        events=[_event(e) for e in view.events()],
        notable=[_event(e) for e in view.events() if e.kind not in _ROUTINE],
        looks=words.times_text(summary["looks_at_test"]),
        version=__version__,
        path=str(view.run.path),
        show=f"wellfit runs show {shlex.quote(str(view.run.path))} --json",
    )


@cache
def _asset(name: str) -> str:
    return resources.files("wellfit.report").joinpath(name).read_text(encoding="utf-8")


@cache
def _template() -> Template:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(_asset("page.html.j2"))


def _policy(css: str, script: str) -> str:
    """A content security policy under which this page, and nothing smuggled into it, works."""

    def digest(text: str) -> str:
        return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    return (
        f"default-src 'none'; style-src 'sha256-{digest(css)}'; "
        f"script-src 'sha256-{digest(script)}'; base-uri 'none'; form-action 'none'"
    )


def _header(summary: Mapping[str, Any]) -> dict[str, Any]:
    verdict = summary["verdict"] or {}
    numbers = {k: v for k, v in (verdict.get("evidence") or {}).items() if words.is_number(v)}
    evidence = [*_confidence(verdict), *_evidence(numbers)]
    return {
        **words.headline(summary)._asdict(),
        "evidence": evidence[:_EVIDENCE],
        "more_evidence": evidence[_EVIDENCE:],
        "advice": words.sentence(verdict.get("advice") or ""),
        "change": _changes(verdict.get("change")),
        "status": words.title_text(summary["status"]),
        "began": (summary["began_at"] or "")[:16].replace("T", " "),
    }


def _evidence(found: Mapping[str, Any] | None) -> list[Fact]:
    return [Fact(*words.named(key, value)) for key, value in words.evidence(found).items()]


def _confidence(finding: Mapping[str, Any]) -> list[Fact]:
    share = finding.get("confidence")
    return [] if share is None else [Fact("confidence", words.confidence(share))]


def _tiles(summary: Mapping[str, Any], unit: str) -> list[Tile]:
    val, best, head = summary["val"], summary["best"], measures.headline(summary, "test")
    total, epochs, resumed = summary["steps_total"], summary["epochs"], summary["attempts"] - 1
    best_text = f"best at step {best['step']:,}" if best else "not measured yet"
    elapsed_s, name = summary["elapsed_s"], measures.headline_name(summary)
    pace = measures.pace(summary, unit)
    per = words.capital(pace.per)
    tiles = [
        Tile(
            f"Test, {name}",
            head.value if head else words.NOTHING,
            _between(head.interval) if head else "not looked at yet",
        ),
        *_linear_tile(summary),
        Tile(
            f"Val loss, {unit.split(' per ')[0]}",
            words.loss_text(summary["final"]["val_loss"]),
            _between(words.interval_text(val["ci95"]["loss"])) if val else best_text,
        ),
        Tile(
            f"{per}s seen",
            words.count_text(pace.seen),
            f"{epochs:.2f} epochs" if epochs is not None else "",
        ),
        Tile(
            "Training time",
            words.NOTHING if elapsed_s is None else format_span(elapsed_s),
            f"step {summary['step']:,}" + (f" of {total:,}" if total else ""),
        ),
        Tile(
            "Parameters",
            words.count_text(summary["parameters"]),
            f"resumed {words.times_text(resumed)}" if resumed > 0 else "",
        ),
        Tile(f"{per}s per second", words.count_text(pace.per_s), "over the whole run"),
    ]
    return tiles[:_TILES]


def _linear_tile(summary: Mapping[str, Any]) -> list[Tile]:
    """The linear baseline's share of the headline, beside which the model's has to stand."""
    head = measures.headline(summary, "test")
    theirs = measures.linear(summary).get(head.key) if head else None
    return [Tile("Linear baseline", theirs.value, _between(theirs.interval))] if theirs else []


def _between(interval: str) -> str:
    return f"95%: {interval}" if interval else ""


def _metrics(summary: Mapping[str, Any]) -> Table | None:
    """Every metric on every split, and the linear baseline's; all but the first behind a click.

    Without those that follow from the loss, which stand beside it.
    """
    task = summary["task"]
    found = {
        s: {t.key: t for t in measures.told(task, {"metrics": (summary[s] or {}).get("metrics")})}
        for s in _SPLITS
    }
    if not any(found.values()):
        return None
    split, _ = measures.seen(summary)
    columns = {s: found[s] for s in _SPLITS if found[s]}
    if linear := measures.linear(summary):
        columns[f"linear on {split}"] = linear
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


def _losses(summary: Mapping[str, Any], unit: str, final: list[Evaluation]) -> Table:
    """Losses of the splits and of the baselines, with what else follows from a loss."""
    more, per = measures.FROM_LOSS.get(summary["task"], ()), measures.per_of(unit)
    counted = [f"{per}s", "documents"][: 1 + bool(more)]
    columns = ["loss", *map(measures.name_of, more), *counted]
    rows = []
    for e in final:
        found = e.as_dict()
        cells = [
            (text(found[key]), words.interval_text(found["ci95"][key], text))
            for key, text in ((key, measures.text_of(key)) for key in ("loss", *more))
        ]
        counts = [
            (f"{n:,}", "") for n, _ in zip((e.n_tokens, e.n_documents), counted, strict=False)
        ]
        rows.append(Row(e.split, e.split, [*cells, *counts]))
    val = next((e for e in final if e.split == "val"), None)
    notes = [unit] + [""] * len(columns)
    names = [(words.capital(name), note) for name, note in zip(columns, notes, strict=False)]
    return Table(names, rows, apart=_baselines(summary, val, more))


def _baselines(
    summary: Mapping[str, Any], val: Evaluation | None, more: Sequence[str]
) -> list[Row]:
    """The baselines, best first, in the same units as the losses."""
    known = [(v, name) for name, v in (summary["baselines"] or {}).items() if v is not None]
    ratio = val.bits_per_byte / val.loss if val and val.loss else None
    rows = []
    for value, name in sorted(known):
        cells = {
            "perplexity": words.perplexity_text(words.perplexity(value)),
            "bits_per_byte": words.loss_text(None if ratio is None else value * ratio),
        }
        found = [words.loss_text(value), *(cells[key] for key in more), *[""] * (1 + bool(more))]
        rows.append(Row(name, "none", [(cell, "") for cell in found]))
    return rows


def _seen(summary: Mapping[str, Any]) -> Seen:
    split, found = measures.seen(summary)
    confusion, bins, points = (found.get(k) for k in ("confusion", "calibration", "scatter"))
    target = (found.get("targets") or ["target"])[0]
    classes = [
        (str(c.get("label", c.get("name"))), *(words.loss_text(c[k]) for k in _OF_CLASS),
         f"{c['n']:,}")
        for c in found.get("per_class") or []
    ]  # fmt: skip
    return Seen(
        split,
        confusion_picture(confusion) if confusion else None,
        classes,
        calibration_picture(bins) if bins else None,
        scatter_picture(points, target) if points else None,
        [{**w, "loss": words.loss_text(w["loss"])} for w in found.get("worst") or []],
        found.get("writings") or [],
        [Fact(measures.name_of(k), v) for k, v in (found.get("signatures") or {}).items()],
    )


def _basis(final: list[Evaluation]) -> str:
    if not final:
        return ""
    where = "the whole split" if final[-1].basis == "full split" else "a fixed part of each split"
    at = " and ".join(f"{step:,}" for step in sorted({e.checkpoint_step for e in final}))
    return f"Measured on {where}, with the weights of step {at}; the interval is 95%."


def _curve_rows(evaluations: list[Evaluation]) -> list[list[str]]:
    """The learning curves as numbers, for those who cannot or would not read a chart."""
    curves: dict[str, list[Evaluation]] = {s: curve(evaluations, s) for s in _SPLITS[:2]}
    by = {(split, e.step): e for split, found in curves.items() for e in found}
    rows = []
    for step in sorted({step for _, step in by}):
        cells = [f"{step:,}"]
        for split in curves:
            e = by.get((split, step))
            cells.append(words.loss_text(e.loss if e else None))
            cells.append(words.interval_text((e.loss_lo, e.loss_hi)) if e else "")
        rows.append(cells)
    return rows


def _picked(samples: list[Sample]) -> tuple[list[Sample], list[Sample]]:
    """The first, the last and some between, evenly; and the rest."""
    if len(samples) <= _SAMPLES:
        return samples, []
    kept = {round(i * (len(samples) - 1) / (_SAMPLES - 1)) for i in range(_SAMPLES)}
    folded = [s for i, s in enumerate(samples) if i not in kept]
    return [samples[i] for i in sorted(kept)], folded


def _findings(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What was found besides the verdict, which heads the page; the gravest first."""
    verdict = (summary["verdict"] or {}).get("code")
    found = [
        {
            "code": f.get("code", ""),
            "grade": _GRADES.get(f.get("severity", ""), (3, "Noted", "plain")),
            "claim": words.sentence(str(f.get("claim", ""))),
            "advice": words.sentence(str(f.get("advice", ""))),
            "change": _changes(f.get("change")),
            "source": f.get("source") or "",
            "evidence": [*_evidence(f.get("evidence")), *_confidence(f)],
        }
        for f in summary["findings"]
        if f.get("code") != verdict
    ]
    return sorted(found, key=lambda f: f["grade"][0])


def _changes(change: Mapping[str, Any] | None) -> list[str]:
    """Recipe changes as they are typed after ``wellfit train RECIPE``."""
    return [words.override_text(key, value) for key, value in (change or {}).items()]


def _event(event: Event) -> dict[str, str]:
    return {
        "kind": event.kind,
        "step": f"{event.step:,}",
        "at": event.at[:19].replace("T", " "),
        "facts": words.fact_text(event.facts) if event.facts else "",
    }
