"""A run in numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from wellfit.store.evaluation import Evaluation
from wellfit.units import per_second

if TYPE_CHECKING:
    from wellfit.store.view import RunView, Sample


def summarize(view: RunView) -> dict[str, Any]:
    """What ``wellfit runs show --json`` prints; safe for every JSON reader (no NaN, no Inf: null).

    ``best`` is the val evaluation on fixed blocks that chose the checkpoint.  ``final`` is what
    the run ended with: the whole split where it was measured, else the last fixed blocks.
    """
    facts, evaluations, samples = view.facts(), view.evaluations(), view.samples()
    tokens, elapsed_s = _last(view, "tokens"), _last(view, "elapsed_s")
    epoch_tokens = facts.get("epoch_tokens")
    attempts, looks = view.attempts(), len(view.events("looked-at-test"))
    summary: dict[str, Any] = _json_safe(
        {
            "run": str(view.run.path),
            "name": view.run.name,
            "status": view.status,
            "began_at": attempts[0].began_at if attempts else None,
            "attempts": len(attempts),
            "step": _last_step(view),
            "steps_total": facts.get("steps_total"),
            "tokens_seen": None if tokens is None else int(tokens),
            "epochs": tokens / epoch_tokens if tokens is not None and epoch_tokens else None,
            "elapsed_s": elapsed_s,
            "tokens_per_s": per_second(tokens, elapsed_s) if tokens and elapsed_s else None,
            "best": _best(evaluations),
            "final": {
                "train_loss": _final_loss(evaluations, "train"),
                "val_loss": _final_loss(evaluations, "val"),
            },
            "train": _final_dict(evaluations, "train"),
            "val": _final_dict(evaluations, "val"),
            "test": _final_dict(evaluations, "test"),
            "looks_at_test": looks,
            "verdict": facts.get("verdict"),
            "baselines": facts.get("baselines"),
            "findings": view.findings(),
            "sample": _sample_of(samples, evaluations),
            "parameters": facts.get("parameters"),
            "budget": facts.get("budget"),
            "seed": facts.get("seed"),
            "machine": facts.get("machine") or view.environment().get("machine"),
            "paths": {
                "run": str(view.run.path),
                "model": str(view.run.model) if view.run.model.is_dir() else None,
                "report": str(view.run.report) if view.run.report.is_file() else None,
            },
        }
    )
    return summary


def final_evaluation(evaluations: list[Evaluation], split: str) -> Evaluation | None:
    """The number a run stands for on a split: its last full look, else its last look."""
    ours = [e for e in evaluations if e.split == split]
    full = [e for e in ours if e.basis == "full split"]
    found = full or ours
    return found[-1] if found else None


def best_evaluation(evaluations: list[Evaluation]) -> Evaluation | None:
    """The val evaluation with the lowest loss, first of equals; on fixed blocks where any are."""
    ours = [e for e in evaluations if e.split == "val" and not math.isnan(e.loss)]
    fixed = [e for e in ours if e.basis == "fixed blocks"]
    return min(fixed or ours, key=lambda e: e.loss, default=None)


def _last(view: RunView, name: str) -> float | None:
    values = view.series(name).values
    return float(values[-1]) if len(values) and math.isfinite(values[-1]) else None


def _last_step(view: RunView) -> int:
    attempts = view.attempts()
    steps = [
        int(view.series(name).steps[-1])
        for name in ("loss", "tokens")
        if len(view.series(name).steps)
    ]
    return max([*steps, attempts[-1].from_step if attempts else 0])


def _sample_of(samples: list[Sample], evaluations: list[Evaluation]) -> dict[str, Any] | None:
    """What the chosen weights wrote, where they were asked; else what was written last."""
    final = final_evaluation(evaluations, "test") or final_evaluation(evaluations, "val")
    chosen = [s for s in samples if final is not None and s.step == final.checkpoint_step]
    found = chosen or samples
    return found[-1]._asdict() if found else None


def _best(evaluations: list[Evaluation]) -> dict[str, Any] | None:
    best = best_evaluation(evaluations)
    return None if best is None else {"step": best.step, "val_loss": best.loss}


def _final_loss(evaluations: list[Evaluation], split: str) -> float | None:
    found = final_evaluation(evaluations, split)
    return None if found is None else found.loss


def _final_dict(evaluations: list[Evaluation], split: str) -> dict[str, Any] | None:
    found = final_evaluation(evaluations, split)
    return None if found is None else found.as_dict()


def _json_safe(value: Any) -> Any:
    match value:
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {str(key): _json_safe(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_json_safe(inner) for inner in value]
        case _:
            return value
