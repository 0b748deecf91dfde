"""Models measured after training, on their own splits or on text they may never have seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from wellfit.config import Recipe, recipe_from_dict
from wellfit.data import Blocks, Prepared, Split, eval_blocks, prepare
from wellfit.errors import RunError
from wellfit.evaluate import Measure
from wellfit.store import Evaluation, Record, RunDir, RunLock
from wellfit.store import Split as SplitName
from wellfit.train.again import open_again, open_model
from wellfit.train.learn import loss_unit_of, unit_of
from wellfit.train.measure import baseline_for, scorer_of
from wellfit.train.outcomes import Judge, write_and_compare


def score_run(path: Path, split: SplitName) -> dict[str, Any]:
    """Measure a run's chosen model on a split of its own data, whole, in float32.

    A look at the test split is written into the run's record before it happens.
    """
    if not (path / "run.db").is_file() and (path / "config.json").is_file():
        raise RunError(f"{path} is a model and has no splits of its own; add --data PATH")
    again = open_again(path)
    if split not in again.data.splits:
        raise RunError(
            f"{path} has no {split} split (data.split.{split} is 0 or null); it has "
            f"{', '.join(sorted(again.data.splits))}"
        )
    if split == "test":
        _write_down_look(path, again.step)
    blocks = _blocks(again.recipe, again.data.splits[split], again.model)
    evaluation = _measured(again.recipe, again.data, again.model, blocks, split, again.step)
    baselines = dict(baseline_for(again.recipe, again.data)(blocks).losses)
    return _as_result(str(path), evaluation, split, again.recipe, baselines)


def score_text(target: Path, text: Path) -> dict[str, Any]:
    """Measure a model on data that it may never have seen; there is no train split to count.

    A run reads it as it read its own; a model directory as plain text.
    """
    opened = open_model(target)
    plain = recipe_from_dict({"data.path": str(text), "train.budget": "1 step"})
    recipe = opened.recipe or plain
    data = recipe.data.model_copy(update={"path": str(text)})
    found = prepare(data, opened.tokenizer, task=recipe.task, labels=opened.labels)
    blocks = _blocks(recipe, found.splits["test"], opened.model)
    evaluation = _measured(recipe, found, opened.model, blocks, "test", opened.step or 0)
    return _as_result(str(target), evaluation, str(text), recipe, None)


def _measured(
    recipe: Recipe, data: Prepared, model: Any, blocks: Blocks, split: SplitName, step: int
) -> Evaluation:
    """Loss and metrics; where the task writes, what it writes for every example."""
    device, judge = "cuda" if torch.cuda.is_available() else "cpu", Judge(recipe, data)
    model.to(device)
    measure = Measure(
        scorer_of(recipe, data, model, device=device),
        data.tokenizer,
        unit=unit_of(recipe.task),
        metrics_of=judge.metrics,
    )
    found = measure(blocks, split, basis="full split", step=step)
    written = write_and_compare(judge, model, blocks, most=None)
    return replace(found, metrics={**found.metrics, **written.metrics})


def _blocks(recipe: Recipe, split: Split, model: Any) -> Blocks:
    return eval_blocks(split, context=model.shape.context, long=recipe.data.long)


def _write_down_look(path: Path, step: int) -> None:
    run = RunDir.open(path)
    with RunLock(run):
        record = Record.open(run, from_step=None)
        record.event("looked-at-test", step, checkpoint_step=step, by="wellfit eval")
        record.close()


def _as_result(
    name: str,
    evaluation: Evaluation,
    split: str,
    recipe: Recipe,
    baselines: dict[str, float] | None,
) -> dict[str, Any]:
    kept = evaluation.as_dict()
    named = {"run": name, "split": split, "task": recipe.task.kind, "baselines": baselines}
    named["loss_unit"] = loss_unit_of(recipe.task)
    return {**kept, **named}
