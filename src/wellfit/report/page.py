"""The report of a run: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from wellfit import __version__
from wellfit.report import words
from wellfit.report.charts import curve, learning_views, small_charts
from wellfit.report.provenance import Fact, audit, machine_facts, recipe_lines
from wellfit.store import Evaluation, Event, RunView, Sample, final_evaluation
from wellfit.units import format_span

_EVIDENCE = 7  # numbers beside the verdict; the others wait behind a click
_SAMPLES = 6  # shown; the others wait behind a click
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
    """One line of the table of losses: a split, or a baseline of tone ``none``."""

    name: str
    tone: str
    cells: list[tuple[str, str]]  # loss, perplexity and bits per byte, each with its interval
    n_tokens: str = ""
    n_documents: str = ""


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
    return _template().render(
        summary=summary,
        name=view.run.name,
        policy=_policy(css, script),
        css=Markup(css),
        script=Markup(script),
        header=_header(summary),
        tiles=_tiles(summary),
        views=learning_views(view),
        curve_rows=_curve_rows(evaluations),
        rows=[_row(e) for e in final],
        baselines=_baselines(summary, final_evaluation(evaluations, "val")),
        basis=_basis(final),
        small=small_charts(view),
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


def _tiles(summary: Mapping[str, Any]) -> list[Tile]:
    test, val, best = summary["test"], summary["val"], summary["best"]
    total, epochs, resumed = summary["steps_total"], summary["epochs"], summary["attempts"] - 1
    best_text = f"best at step {best['step']:,}" if best else "not measured yet"
    elapsed_s = summary["elapsed_s"]
    return [
        Tile(
            "Test, bits per byte",
            words.loss_text(test["bits_per_byte"] if test else None),
            _between(test, "bits_per_byte") if test else "not looked at yet",
        ),
        Tile(
            "Val loss, nats",
            words.loss_text(summary["final"]["val_loss"]),
            _between(val, "loss") if val else best_text,
        ),
        Tile(
            "Tokens seen",
            words.count_text(summary["tokens_seen"]),
            f"{epochs:.2f} epochs" if epochs is not None else "",
        ),
        Tile(
            "Training time",
            words.NOTHING if elapsed_s is None else format_span(elapsed_s),
            f"step {summary['step']:,}" + (f" of {total:,}" if total else ""),
        ),
        Tile("Tokens per second", words.count_text(summary["tokens_per_s"]), "over the whole run"),
        Tile(
            "Parameters",
            words.count_text(summary["parameters"]),
            f"resumed {words.times_text(resumed)}" if resumed > 0 else "",
        ),
    ]


def _between(measured: Mapping[str, Any], name: str) -> str:
    text = words.interval_text(measured["ci95"][name])
    return f"95%: {text}" if text else ""


def _row(e: Evaluation) -> Row:
    found, cells = e.as_dict(), []
    for name, text in (
        ("loss", words.loss_text),
        ("perplexity", words.perplexity_text),
        ("bits_per_byte", words.loss_text),
    ):
        cells.append((text(found[name]), words.interval_text(found["ci95"][name], text)))
    return Row(e.split, e.split, cells, f"{e.n_tokens:,}", f"{e.n_documents:,}")


def _baselines(summary: Mapping[str, Any], val: Evaluation | None) -> list[Row]:
    """The baselines, best first, in the same units as the losses."""
    known = [(v, name) for name, v in (summary["baselines"] or {}).items() if v is not None]
    ratio = val.bits_per_byte / val.loss if val and val.loss else None
    rows = []
    for value, name in sorted(known):
        perplexity = words.perplexity_text(words.perplexity(value))
        bits = words.loss_text(None if ratio is None else value * ratio)
        rows.append(Row(name, "none", [(words.loss_text(value), ""), (perplexity, ""), (bits, "")]))
    return rows


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
