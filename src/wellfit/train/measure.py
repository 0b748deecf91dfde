"""What the loop measures: train and val on the same basis, and the best weights so far."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple, assert_never

import numpy as np
import torch
from torch import Tensor

from wellfit.checkpoint import Contents, commit, prune
from wellfit.config import Chat, Classify, Complete, LanguageModel, Recipe, Regress
from wellfit.data import Blocks, Prepared
from wellfit.errors import MissingExtra
from wellfit.evaluate import (
    Baseline,
    Measure,
    Scorer,
    baseline_of,
    class_scorer,
    number_scorer,
    token_scorer,
)
from wellfit.objectives import regression_losses
from wellfit.store import Evaluation
from wellfit.train import ranks as group
from wellfit.train.job import Job
from wellfit.train.learn import regression_options
from wellfit.train.outcomes import Written, write_and_compare
from wellfit.train.state import TrainState, trained_state


class Both(NamedTuple):
    """Train and val at one step, on the same basis."""

    train: Evaluation
    val: Evaluation


def measure_of(job: Job, state: TrainState) -> Measure:
    """How this job's model is measured; ranks share the work."""

    def summed(part: Tensor) -> Tensor:
        return group.summed(job.ranks, part.to(job.device))

    return Measure(
        scorer_of(job.recipe, job.data, state.model, device=job.device),
        job.data.tokenizer,
        unit=job.unit,
        metrics_of=job.judge.metrics if job.recipe.evaluate.metrics else None,
        part=(job.ranks.rank, job.ranks.world),
        summed=None if job.ranks.world == 1 else summed,
    )


def scorer_of(recipe: Recipe, data: Prepared, model: Any, *, device: str) -> Scorer:
    """How the task scores rows with a model."""
    match recipe.task:
        case LanguageModel() | Complete() | Chat():
            return token_scorer(model, device=device)
        case Classify(several=several):
            return class_scorer(model, several=several, device=device)
        case Regress():
            assert data.labels is not None, recipe.task
            options = regression_options(recipe.task)
            return number_scorer(model, data.labels, options, device=device)
        case never:
            assert_never(never)


def baseline_for(recipe: Recipe, data: Prepared) -> Baseline:
    """The task's baselines, learned from the train split."""
    options = regression_options(recipe.task) if isinstance(recipe.task, Regress) else {}

    def loss(predicted: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        both = torch.tensor(predicted), torch.tensor(wanted)
        return regression_losses(*both, **options).numpy()

    vocab = data.tokenizer.vocab_size
    return baseline_of(data.splits["train"], vocab=vocab, labels=data.labels, loss=loss)


def evaluate(job: Job, state: TrainState) -> Both:
    """Train subset and val on their fixed blocks, with the weights as they are now."""
    measure = measure_of(job, state)
    train = measure(job.train_blocks, "train", basis="fixed blocks", step=state.step)
    val = measure(job.val_blocks, "val", basis="fixed blocks", step=state.step)
    if not job.recipe.evaluate.metrics:
        return Both(train, val)
    found = written(job, state.model, job.val_blocks, job.recipe.evaluate.generate.examples)
    return Both(train, replace(val, metrics={**val.metrics, **found.metrics}))


def written(job: Job, model: Any, blocks: Blocks, most: int | None) -> Written:
    """What the model writes, compared, by rank 0; the others hear of the metrics."""
    found = Written({}, {})
    if job.ranks.leads:
        try:
            found = write_and_compare(job.judge, model, blocks, most=most)
        except MissingExtra as e:
            job.judge.missing = str(e)
    metrics = group.agreed(job.ranks, dict(found.metrics), device=job.device)
    return Written(metrics, found.outcomes)


def save_best(job: Job, state: TrainState) -> None:
    """Commit the weights that val likes best so far; the last such commit is the chosen model."""
    contents = Contents({"model": trained_state(state.model)}, {"step": state.step})
    commit(job.run.checkpoints, state.step, contents, kind="best")
    prune(job.run.checkpoints, keep=job.recipe.checkpoint.keep, best_step=state.step)
