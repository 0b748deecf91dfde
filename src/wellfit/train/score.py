"""Models measured after training, on their own splits or on text they may never have seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from wellfit.config import recipe_from_dict
from wellfit.data import Blocks, eval_blocks, prepare_for_eval
from wellfit.errors import RunError
from wellfit.evaluate.losses import score_blocks
from wellfit.store import Record, RunDir, RunLock, Split
from wellfit.train.again import open_again, open_model
from wellfit.train.outcomes import Judge, write_and_compare


def score_run(path: Path, split: Split) -> dict[str, Any]:
    """Measure a run's chosen model on a split of its own data, whole, in float32.

    A look at the test split is written into the run's record before it happens.
    """
    if not (path / "run.db").is_file() and (path / "config.json").is_file():
        raise RunError(f"{path} is a model and has no splits of its own; add --data PATH")
    recipe, data, model, step = open_again(path)
    if split not in data.splits:
        raise RunError(
            f"{path} has no {split} split (data.split.{split} is 0 or null); it has "
            f"{', '.join(sorted(data.splits))}"
        )
    if split == "test":
        _write_down_look(path, step)
    judge, context = Judge(recipe, data), model.shape.context
    blocks = eval_blocks(data.splits[split], context=context, long=recipe.data.long)
    found = _measured(judge, model, blocks, step=step)
    return {**found, "run": str(path), "baselines": dict(judge.baseline(blocks).losses)}


def score_text(target: Path, text: Path) -> dict[str, Any]:
    """Measure a model on data that it may never have seen; there is no train split to count.

    A run reads it as it read its own; a model directory as plain text.
    """
    opened = open_model(target)
    plain = recipe_from_dict({"data.path": str(text), "train.budget": "1 step"})
    recipe, context = opened.recipe or plain, opened.model.shape.context
    asked = recipe.data.model_copy(update={"path": str(text)})
    data = prepare_for_eval(asked, opened.tokenizer, task=recipe.task, labels=opened.labels)
    blocks = eval_blocks(data.splits["test"], context=context, long=recipe.data.long)
    found = _measured(Judge(recipe, data), opened.model, blocks, step=opened.step)
    return {**found, "run": str(target), "split": str(text), "baselines": None}


def _measured(judge: Judge, model: Any, blocks: Blocks, *, step: int) -> dict[str, Any]:
    """Loss and metrics; where the task writes, what it writes for every example."""
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    scores = score_blocks(judge.scorer(model), blocks)
    written = write_and_compare(judge, model, blocks, most=None).metrics
    metrics = {**judge.metrics(blocks, scores), **written}
    found = judge.evaluation(blocks, scores, basis="full split", step=step, metrics=metrics)
    return {**found.as_dict(), "task": judge.recipe.task.kind}


def _write_down_look(path: Path, step: int) -> None:
    run = RunDir.open(path)
    with RunLock(run):
        record = Record.open(run, from_step=None)
        record.event("looked-at-test", step, checkpoint_step=step, by="wellfit eval")
        record.close()
