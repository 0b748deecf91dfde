"""From a run's record to what the verdict rests on."""

from __future__ import annotations

import numpy as np

from wellfit.diagnose.fit import Trajectory
from wellfit.report.measures import loss_unit
from wellfit.store import Evaluation, RunView, flat_recipe


def trajectory(view: RunView) -> Trajectory:
    """The evaluations on fixed blocks, and what else the verdict needs, out of the record."""
    by_split = {split: _fixed(view, split) for split in ("train", "val")}
    steps = sorted(by_split["train"].keys() & by_split["val"].keys())
    facts = view.facts()
    diverged = view.events("diverged")
    recipe = flat_recipe(view.resolved())
    whole = [e for e in view.evaluations("val") if e.basis == "full split"]
    return Trajectory(
        steps=np.array(steps, dtype=np.int64),
        train_nats=_nats(by_split["train"], steps),
        train_counts=_counts(by_split["train"], steps),
        val_nats=_nats(by_split["val"], steps),
        val_counts=_counts(by_split["val"], steps),
        mark=str(facts["mark"]),
        mark_losses=np.array(facts["mark_losses"], dtype=np.float64),
        unit=loss_unit(facts, recipe.get("task.loss.kind")).split(" per ")[0],
        chosen_step=whole[-1].checkpoint_step if whole else None,
        linear=facts.get("outcomes", {}).get("val", {}).get("linear"),
        steps_total=int(facts["steps_total"]),
        early_stopped=bool(view.events("early-stop")),
        diverged_at=diverged[-1].step if diverged else None,
        epochs=_epochs(view, facts.get("epoch_tokens")),
        recipe=recipe,
    )


def _epochs(view: RunView, epoch_tokens: float | None) -> float:
    tokens = view.series("tokens").values
    return float(tokens[-1]) / epoch_tokens if len(tokens) and epoch_tokens else 0.0


def _fixed(view: RunView, split: str) -> dict[int, Evaluation]:
    found = view.evaluations(split)
    return {e.step: e for e in found if e.basis == "fixed blocks"}  # the latest of a step counts


def _nats(evaluations: dict[int, Evaluation], steps: list[int]) -> np.ndarray:
    return np.stack([evaluations[step].nats for step in steps]) if steps else np.empty((0, 0))


def _counts(evaluations: dict[int, Evaluation], steps: list[int]) -> np.ndarray:
    return evaluations[steps[-1]].counts if steps else np.empty(0, dtype=np.int64)
