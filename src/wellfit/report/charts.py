"""The charts of a run: what is drawn, over which range, with which words."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from wellfit.report import measures
from wellfit.report.scale import padded
from wellfit.report.svg import Frame, Level, Line, Mark, Moment, line_chart, part, reach
from wellfit.report.words import capital, count_text
from wellfit.store import Evaluation, RunView, Series, best_evaluation


class View(NamedTuple):
    """One way to look at the learning curves, drawn for a wide and for a narrow page."""

    name: str
    wide: Markup
    narrow: Markup


class SmallChart(NamedTuple):
    """A chart of one series, with the number that sums it up."""

    title: str
    note: str
    svg: Markup


class _Curves(NamedTuple):
    lines: list[Line]
    levels: list[Level]
    marks: list[Mark]
    moments: list[Moment]


def learning_views(view: RunView, unit: str) -> list[View]:
    """Train and val over the whole run, over its later part, and over powers of ten of steps."""
    evaluations, baselines = view.evaluations(), view.facts().get("baselines") or {}
    curves = _curves(view, evaluations, baselines)
    if not any(len(line.values) for line in curves.lines):
        return []
    last = max(int(line.steps[-1]) for line in curves.lines if len(line.steps))
    frame = Frame(
        title="Train and val loss over steps, beside the baselines",
        y_label=f"loss, {unit}",
        x_label=_step_label(view.series("tokens"), unit),
        x_range=(0, max(1, last)),
        y_range=_whole_range(curves, baselines),
    )
    views = [_view("Whole run", curves, frame)]
    if close := _close_frame(curves, frame, last):
        views.append(_view("Close up", curves, close))
    if last >= 100:
        # the first steps are a third of a logarithmic axis, and nothing was measured there
        views.append(_view("Log steps", curves, replace(frame, x_log=True, x_range=(1, last))))
    return views


def small_charts(view: RunView, unit: str) -> list[SmallChart]:
    """Learning rate, gradient norm and speed; ``unit`` is that of the losses."""
    asked = [
        ("Learning rate", "lr", "peak times schedule", "peak", 1.0, 5),
        ("Gradient norm", "grad_norm", "before clipping", "median", 0.5, 3),
        ("Speed", "tokens_per_s", f"{measures.per_of(unit)}s per second", "median", 0.5, 0),
    ]
    found = []
    for title, name, unit, what, quantile, digits in asked:
        steps, values = view.series(name)
        finite = values[np.isfinite(values)]
        if not len(finite):
            continue
        # the first gradients are far larger than all others, and would flatten them
        top = float(np.quantile(finite, 0.995 if name == "grad_norm" else 1.0)) * 1.08
        frame = Frame(
            f"{title} over steps",
            unit,
            width=360,
            height=230,
            labels=False,
            x_range=(0, max(1, int(steps[-1]))),
            y_range=(0.0, top or 1.0),
        )
        chart = line_chart([Line(title.lower(), steps, values, digits=digits)], frame)
        note = f"{what} {count_text(float(np.quantile(finite, quantile)))}"
        found.append(SmallChart(title, note, Markup(chart)))
    return found


def metric_charts(view: RunView, task: str) -> list[SmallChart]:
    """The most telling metrics of val over steps, where they were recorded: at most three."""
    found: list[SmallChart] = []
    known = [name[4:] for name in view.series_names() if name.startswith("val/")]
    for key in measures.most_telling(task, known):
        name = measures.name_of(key)
        steps, values = view.series(f"val/{key}")
        if np.isfinite(values).sum() < 2 or len(found) == 3:
            continue
        frame = Frame(
            f"{name} of val over steps",
            "on val",
            width=360,
            height=230,
            labels=False,
            x_range=(0, max(1, int(steps[-1]))),
            y_range=padded(*(reach([values]) or (0.0, 1.0))),
        )
        chart = line_chart([Line(name, steps, values, tone="val", dots=True)], frame)
        last = measures.text_of(key)(float(values[-1]))
        found.append(SmallChart(capital(name), f"last {last}", Markup(chart)))
    return found


def _curves(view: RunView, evaluations: list[Evaluation], baselines: dict[str, float]) -> _Curves:
    steps, losses = view.series("loss")
    lines = [Line("batch loss", steps, losses, tone="step", faint=True)]
    for split in ("train", "val"):
        if ours := curve(evaluations, split):
            lines.append(
                Line(
                    split,
                    np.array([e.step for e in ours], dtype=np.int64),
                    np.array([e.loss for e in ours]),
                    tone=split,
                    lo=np.array([e.loss_lo for e in ours]),
                    hi=np.array([e.loss_hi for e in ours]),
                    dots=True,
                )
            )
    best = best_evaluation(evaluations)
    marks = [] if best is None else [Mark(best.step, best.loss, f"best, step {best.step:,}")]
    levels = [Level(name, value) for name, value in baselines.items() if math.isfinite(value)]
    words = {"resumed": "resumed", "early-stop": "stopped early", "stopped": "stopped"}
    moments = [Moment(e.step, words[e.kind]) for e in view.events() if e.kind in words]
    return _Curves(lines, levels, marks, moments)


def curve(evaluations: list[Evaluation], split: str) -> list[Evaluation]:
    """The evaluations of a split that make one curve: on fixed blocks, where there are any."""
    ours = [e for e in evaluations if e.split == split]
    return [e for e in ours if e.basis == "fixed blocks"] or ours


def _whole_range(curves: _Curves, baselines: dict[str, float]) -> tuple[float, float]:
    levels = [level.value for level in curves.levels]
    lo, hi = reach([line.values for line in curves.lines]) or (min(levels, default=0.0), 1.0)
    # a baseline that is still to be passed lies under the curves, and is to be seen
    lo, top = min([lo, *levels]), max([hi, *levels])
    if uniform := baselines.get("uniform"):
        # a run that blew up may reach any number; its crash is told by where it leaves the page
        top = min(top, 1.35 * uniform)
    return padded(min(lo, top), top, 0.04)


def _close_frame(curves: _Curves, frame: Frame, last: int) -> Frame | None:
    """The run without its steep beginning, fitted to the evaluations; None for too few."""
    start = last // 4
    late = [part(line, line.steps >= start) for line in curves.lines if not line.faint]
    if min((np.isfinite(line.values).sum() for line in late), default=0) < 3:
        return None
    lo, hi = reach([end for line in late for end in line.extent]) or (0.0, 1.0)
    return replace(frame, x_range=(start, last), y_range=padded(lo, hi, 0.08))


def _view(name: str, curves: _Curves, frame: Frame) -> View:
    papers = frame, replace(frame, width=360, height=300)
    wide, narrow = (Markup(line_chart(frame=paper, **curves._asdict())) for paper in papers)
    return View(name, wide, narrow)


def _step_label(tokens: Series, unit: str) -> str:
    """Steps, and how many tokens or texts each took, where that is one number."""
    if len(tokens.steps) and tokens.steps[-1]:
        each = tokens.values[-1] / tokens.steps[-1]
        if float(each).is_integer():
            return f"step, {int(each):,} {measures.per_of(unit)}s each"
    return "step"
