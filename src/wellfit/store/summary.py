"""A run in numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

from wellfit.store.evaluation import Evaluation
from wellfit.units import per_second

if TYPE_CHECKING:
    from wellfit.store.view import RunView, Sample

_FACTS = ("steps_total", "verdict", "baselines", "parameters", "budget", "seed")


def summarize(view: RunView) -> dict[str, Any]:
    """What ``wellfit runs show --json`` prints; safe for every JSON reader (no NaN, no Inf: null).

    ``best`` is the val evaluation on fixed blocks that chose the checkpoint.  ``final`` is what
    the run ended with: the whole split where it was measured, else the last fixed blocks.
    """
    facts, evaluations, attempts = view.facts(), view.evaluations(), view.attempts()
    tokens, elapsed_s = _last(view, "tokens"), _last(view, "elapsed_s")
    epoch_tokens, best = facts.get("epoch_tokens"), best_evaluation(evaluations)
    final = {split: final_evaluation(evaluations, split) for split in ("train", "val", "test")}
    run, counted = view.run, counted_by(facts.get("task"))
    summary = json.dumps(
        {
            "run": str(run.path),
            "name": run.name,
            "status": view.status,
            "began_at": attempts[0].began_at if attempts else None,
            "attempts": len(attempts),
            "step": _last_step(view),
            **dict.fromkeys(("tokens_seen", "tokens_per_s", "texts_seen", "texts_per_s")),
            f"{counted}_seen": None if tokens is None else int(tokens),
            f"{counted}_per_s": per_second(tokens, elapsed_s) if tokens and elapsed_s else None,
            "mfu": _mfu(view, facts),
            "epochs": tokens / epoch_tokens if tokens is not None and epoch_tokens else None,
            "elapsed_s": elapsed_s,
            "best": best and {"step": best.step, "val_loss": best.loss},
            "final": {f"{s}_loss": e and e.loss for s, e in final.items() if s != "test"},
            **{split: e and e.as_dict() for split, e in final.items()},
            "looks_at_test": len(view.events("looked-at-test")),
            **{key: facts.get(key) for key in _FACTS},
            "task": facts.get("task", "language-model"),
            "unit": facts.get("unit", "nats"),
            "outcomes": facts.get("outcomes", {}),
            "findings": view.findings(),
            "sample": _sample(view.samples(), final["test"] or final["val"]),
            "profile": {k: v for k, v in view.profile().items() if k != "operations"} or None,
            "machine": facts.get("machine") or view.environment().get("machine"),
            "paths": {
                "run": str(run.path),
                "model": str(run.model) if run.model.is_dir() else None,
                "report": str(run.report) if run.report.is_file() else None,
                "trace": str(run.trace) if run.trace.is_file() else None,
            },
        }
    )
    found: dict[str, Any] = json.loads(summary, parse_constant=lambda not_finite: None)
    return found


def counted_by(task: str | None) -> Literal["tokens", "texts"]:
    """What a task's loss counts: tokens, or whole texts where they have labels."""
    return "texts" if task in ("classify", "regress") else "tokens"


def final_evaluation(evaluations: list[Evaluation], split: str) -> Evaluation | None:
    """The number a run stands for on a split: its last full look, else its last look."""
    ours = [e for e in evaluations if e.split == split]
    full = [e for e in ours if e.basis == "full split"]
    return next(reversed(full or ours), None)


def best_evaluation(evaluations: list[Evaluation]) -> Evaluation | None:
    """The val evaluation with the lowest loss, first of equals; on fixed blocks where any are."""
    ours = [e for e in evaluations if e.split == "val" and not math.isnan(e.loss)]
    fixed = [e for e in ours if e.basis == "fixed blocks"]
    return min(fixed or ours, key=lambda e: e.loss, default=None)


def _last(view: RunView, name: str) -> float | None:
    values = view.series(name).values
    return float(values[-1]) if len(values) and math.isfinite(values[-1]) else None


def _mfu(view: RunView, facts: Mapping[str, Any]) -> float | None:
    """Model FLOPs utilisation: the share of the GPU's bf16 peak at the usual speed of training.

    None where either is not known: on a CPU, of other GPUs, of tasks that do not train on all
    tokens.  Of fp8 it is still the share of the bf16 peak.
    """
    flops, peak = facts.get("flops_per_token"), facts.get("peak_flops_per_s")
    rates = view.series("tokens_per_s").values
    return flops * float(median(rates)) / peak if flops and peak and len(rates) else None


def _last_step(view: RunView) -> int:
    begun = [attempt.from_step for attempt in view.attempts()[-1:]]
    steps = [int(step) for name in ("loss", "tokens") for step in view.series(name).steps[-1:]]
    return max(steps + begun, default=0)


def _sample(samples: list[Sample], final: Evaluation | None) -> dict[str, Any] | None:
    """What the chosen weights wrote, where they were asked; else what was written last."""
    chosen = [s for s in samples if final is not None and s.step == final.checkpoint_step]
    found = chosen or samples
    return found[-1]._asdict() if found else None
