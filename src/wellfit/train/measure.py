"""What the loop measures: train and val on the same basis, and the best weights so far."""

from __future__ import annotations

from typing import Any, assert_never

import numpy as np
import torch

from wellfit.checkpoint import Contents, commit, prune
from wellfit.config import Chat, Classify, Complete, LanguageModel, Recipe, Regress
from wellfit.data import Blocks, Prepared
from wellfit.errors import MissingExtra
from wellfit.evaluate import losses
from wellfit.evaluate.baselines import Baseline, baseline_of
from wellfit.evaluate.losses import BlockScores, Scorer, Watch
from wellfit.store import Evaluation
from wellfit.train import ranks as group
from wellfit.train.job import Job
from wellfit.train.learn import regression_options
from wellfit.train.outcomes import Written, write_and_compare
from wellfit.train.state import TrainState, trained_state


def scorer_of(recipe: Recipe, data: Prepared, model: Any) -> Scorer:
    """How the task scores rows with a model."""
    match recipe.task:
        case LanguageModel() | Complete() | Chat():
            return losses.token_scorer(model)
        case Classify(several=several):
            return losses.class_scorer(model, several=several)
        case Regress():
            assert data.labels is not None, recipe.task
            return losses.number_scorer(model, data.labels, regression_options(recipe.task))
        case never:
            assert_never(never)


def baseline_for(recipe: Recipe, data: Prepared) -> Baseline:
    """The task's baselines, learned from the train split."""
    options = regression_options(recipe.task) if isinstance(recipe.task, Regress) else {}
    vocab = data.tokenizer.vocab_size
    return baseline_of(data.splits["train"], vocab=vocab, labels=data.labels, options=options)


def scored(job: Job, model: Any, blocks: Blocks, watch: Watch | None = None) -> BlockScores:
    """Loss and outputs of every block; ranks share the work."""
    scorer = scorer_of(job.recipe, job.data, model)
    part = job.ranks.rank, job.ranks.world
    found = losses.score_blocks(scorer, blocks, part=part, watch=watch)

    def summed(part: np.ndarray) -> np.ndarray:
        return group.summed(job.ranks, torch.from_numpy(part)).cpu().numpy()

    outputs_NO = found.outputs_NO
    return BlockScores(summed(found.nats_N), None if outputs_NO is None else summed(outputs_NO))


def evaluate(job: Job, state: TrainState) -> tuple[Evaluation, Evaluation]:
    """Train subset and val on their fixed blocks, with the weights as they are now."""

    def look(blocks: Blocks) -> Evaluation:
        scores = scored(job, state.model, blocks)
        metrics: dict[str, Any] = {}
        if job.recipe.evaluate.metrics:
            metrics |= job.judge.metrics(blocks, scores)
            if blocks is job.val_blocks:
                metrics |= written(job, state.model, blocks, examples).metrics
        return job.judge.evaluation(
            blocks, scores, basis="fixed blocks", step=state.step, metrics=metrics
        )

    examples = job.recipe.evaluate.generate.examples
    return look(job.train_blocks), look(job.val_blocks)


def written(job: Job, model: Any, blocks: Blocks, most: int | None) -> Written:
    """What the model writes, compared, by rank 0; the others hear of the metrics."""
    found = Written({}, {})
    if job.ranks.leads:
        try:
            found = write_and_compare(job.judge, model, blocks, most=most)
        except MissingExtra as e:
            job.judge.missing = str(e)
    return Written(group.agreed(job.ranks, dict(found.metrics)), found.outcomes)


def save_best(job: Job, state: TrainState) -> None:
    """Commit the weights that val likes best so far; the last such commit is the chosen model."""
    contents = Contents({"model": trained_state(state.model)}, {"step": state.step})
    commit(job.run.checkpoints, state.step, contents, kind="best")
    prune(job.run.checkpoints, keep=job.recipe.checkpoint.keep, best_step=state.step)
