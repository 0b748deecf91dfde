"""The report of a run: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from wellfit import __version__
from wellfit.report import words
from wellfit.report.charts import learning_views, small_charts
from wellfit.report.provenance import Fact, audit, machine_facts, recipe_lines
from wellfit.store import Evaluation, Event, RunView, Sample, final_evaluation

_EVIDENCE = 7  # numbers beside the verdict; the others wait behind a click
_SAMPLES = 6  # shown; the others wait behind a click
_ROUTINE = ("evaluated", "saved")
_SPLITS = ("train", "val", "test")


class Tile(NamedTuple):
    """One number of the run, with what it is and how sure it is."""

    name: str
    value: str
    note: str


class Row(NamedTuple):
    """One line of the table of losses.  ``intervals`` are texts, empty where there is none."""

    name: str
    tone: str
    values: tuple[str, str, str]  # loss, perplexity, bits per byte
    intervals: tuple[str, str, str]
    n_tokens: str
    n_documents: str


def page(view: RunView) -> str:
    """The report as one self-contained HTML text.

    Works from a file, without network and without scripts; a policy in its head allows only
    its own style and its own script, by hash, so nothing in a run's text can do anything.
    """
    css, script = _asset("page.css") + _asset("chart.css"), _asset("page.js")
    summary, evaluations = view.summary(), view.evaluations()
    asked, defaults = recipe_lines(view.resolved())
    shown, folded = _picked(view.samples())
    findings = _findings(summary)
    template = _environment().from_string(_asset("page.html.j2"))
    return template.render(
        summary=summary,
        name=view.run.name,
        policy=_policy(css, script),
        css=Markup(css),
        script=Markup(script),
        header=_header(summary),
        tiles=_tiles(summary),
        views=[(v.name, Markup(v.wide), Markup(v.narrow)) for v in learning_views(view)],
        curve_rows=_curve_rows(evaluations),
        rows=[_row(e) for e in (final_evaluation(evaluations, s) for s in _SPLITS) if e],
        baselines=_baselines(summary, final_evaluation(evaluations, "val")),
        basis=_basis(evaluations),
        small=[(c.title, c.note, Markup(c.svg)) for c in small_charts(view)],
        samples=shown,
        more_samples=folded,
        findings=findings,
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
        w=words,
    )


@cache
def _asset(name: str) -> str:
    return resources.files("wellfit.report").joinpath(name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    return Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


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
    confidence = verdict.get("confidence")
    evidence = [
        Fact(*words.named(key, value))
        for key, value in (verdict.get("evidence") or {}).items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]
    if confidence is not None:
        evidence.insert(0, Fact("confidence", words.percent_text(confidence)))
    return {
        "title": words.verdict_title(summary),
        "claim": words.verdict_claim(summary),
        "meaning": words.MEANINGS.get(verdict.get("code", ""), ""),
        "tone": words.verdict_tone(summary),
        "evidence": evidence[:_EVIDENCE],
        "more_evidence": evidence[_EVIDENCE:],
        "advice": verdict.get("advice") or "",
        "change": _changes(verdict.get("change")),
        "status": words.STATUSES.get(summary["status"], summary["status"]),
        "began": (summary["began_at"] or "")[:16].replace("T", " "),
    }


def _tiles(summary: Mapping[str, Any]) -> list[Tile]:
    test, val, best = summary["test"], summary["val"], summary["best"]
    total, epochs = summary["steps_total"], summary["epochs"]
    first = (
        Tile("Test, bits per byte", words.loss_text(test["bits_per_byte"]),
             _between(test["ci95"]["bits_per_byte"]))
        if test
        else Tile("Test, bits per byte", words.NOTHING, "not looked at yet")
    )  # fmt: skip
    return [
        first,
        Tile(
            "Val loss, nats",
            words.loss_text(summary["final"]["val_loss"]),
            _between(val["ci95"]["loss"])
            if val
            else (f"best at step {best['step']:,}" if best else "not measured yet"),
        ),
        Tile(
            "Tokens seen",
            words.count_text(summary["tokens_seen"]),
            f"{epochs:.2f} epochs" if epochs is not None else "",
        ),
        Tile(
            "Training time",
            words.span_text(summary["elapsed_s"]),
            f"step {summary['step']:,} of {total:,}" if total else f"step {summary['step']:,}",
        ),
        Tile("Tokens per second", words.count_text(summary["tokens_per_s"]), "over the whole run"),
        Tile("Parameters", words.count_text(summary["parameters"]), _attempts(summary)),
    ]


def _between(interval: list[float | None]) -> str:
    text = words.interval_text(interval)
    return f"95%: {text}" if text else ""


def _attempts(summary: Mapping[str, Any]) -> str:
    resumed = summary["attempts"] - 1
    return f"resumed {words.times_text(resumed)}" if resumed > 0 else ""


def _row(e: Evaluation) -> Row:
    return Row(
        e.split,
        e.split,
        (
            words.loss_text(e.loss),
            words.perplexity_text(e.perplexity),
            words.loss_text(e.bits_per_byte),
        ),
        (
            words.interval_text((e.loss_lo, e.loss_hi)),
            words.interval_text((e.perplexity_lo, e.perplexity_hi), words.perplexity_text),
            words.interval_text((e.bits_per_byte_lo, e.bits_per_byte_hi)),
        ),
        f"{e.n_tokens:,}",
        f"{e.n_documents:,}",
    )


def _baselines(summary: Mapping[str, Any], val: Evaluation | None) -> list[Row]:
    """The baselines, best first, in the same units as the losses."""
    found = sorted((summary["baselines"] or {}).items(), key=lambda item: item[1] or 0.0)
    ratio = val.bits_per_byte / val.loss if val and val.loss else None
    return [
        Row(
            name,
            "none",
            (
                words.loss_text(value),
                words.perplexity_text(words.perplexity(value)),
                words.loss_text(value * ratio if ratio is not None else None),
            ),
            ("", "", ""),
            "",
            "",
        )
        for name, value in found
        if value is not None
    ]


def _basis(evaluations: list[Evaluation]) -> str:
    found = [e for s in _SPLITS if (e := final_evaluation(evaluations, s))]
    if not found:
        return ""
    steps = sorted({e.checkpoint_step for e in found})
    where = "the whole split" if found[-1].basis == "full split" else "a fixed part of each split"
    at = " and ".join(f"{step:,}" for step in steps)
    return f"Measured on {where}, with the weights of step {at}; the interval is 95%."


def _curve_rows(evaluations: list[Evaluation]) -> list[tuple[str, str, str, str, str]]:
    """The learning curves as numbers, for those who cannot or would not read a chart."""
    fixed = [e for e in evaluations if e.basis == "fixed blocks"] or evaluations
    steps = sorted({e.step for e in fixed if e.split in ("train", "val")})
    by = {(e.step, e.split): e for e in fixed}
    rows = []
    for step in steps:
        cells = []
        for split in ("train", "val"):
            e = by.get((step, split))
            cells += [
                words.loss_text(e.loss) if e else words.NOTHING,
                words.interval_text((e.loss_lo, e.loss_hi)) if e else "",
            ]
        rows.append((f"{step:,}", *cells))
    return rows  # type: ignore[return-value]


def _picked(samples: list[Sample]) -> tuple[list[Sample], list[Sample]]:
    """The first, the last and some between, evenly; and the rest."""
    if len(samples) <= _SAMPLES:
        return samples, []
    last = len(samples) - 1
    kept = {round(i * last / (_SAMPLES - 1)) for i in range(_SAMPLES)}
    return (
        [s for i, s in enumerate(samples) if i in kept],
        [s for i, s in enumerate(samples) if i not in kept],
    )


def _findings(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What was found besides the verdict, which heads the page."""
    verdict = (summary["verdict"] or {}).get("code")
    grades = {
        "stop": ("Stop", "stop"),
        "warn": ("Look at this", "warn"),
        "info": ("Noted", "plain"),
    }
    order = list(grades)
    found = [f for f in summary["findings"] if f.get("code") != verdict]
    found.sort(key=lambda f: order.index(f["severity"]) if f.get("severity") in order else 9)
    return [
        {
            "code": f.get("code", ""),
            "grade": grades.get(f.get("severity", ""), ("Noted", "plain")),
            "claim": words.sentence(str(f.get("claim", ""))),
            "advice": words.sentence(str(f.get("advice", ""))),
            "change": _changes(f.get("change")),
            "source": f.get("source") or "",
            "evidence": [
                Fact(*words.named(key, value)) for key, value in (f.get("evidence") or {}).items()
            ]
            + (
                [Fact("confidence", words.percent_text(f["confidence"]))]
                if f.get("confidence") is not None
                else []
            ),
        }
        for f in found
    ]


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
