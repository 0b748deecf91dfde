"""What the loop measures: train and val on the same basis, and the best weights so far.

Dims: N blocks, O outputs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from wellfit.checkpoint import Contents, commit, prune
from wellfit.data import Blocks
from wellfit.errors import MissingExtra
from wellfit.evaluate.losses import BlockScores, Watch, score_blocks
from wellfit.store import Evaluation
from wellfit.train import ranks as group
from wellfit.train.job import Job
from wellfit.train.outcomes import Written, write_and_compare
from wellfit.train.state import TrainState, trained_state


def scored(job: Job, model: Any, blocks: Blocks, watch: Watch | None = None) -> BlockScores:
    """Loss and outputs of every block; ranks share the work."""
    part = job.ranks.rank, job.ranks.world
    found = score_blocks(job.judge.scorer(model), blocks, part=part, watch=watch)

    def summed(own: np.ndarray) -> np.ndarray:
        return group.summed(job.ranks, torch.from_numpy(own)).cpu().numpy()

    outputs_NO = found.outputs_NO
    return BlockScores(summed(found.nats_N), None if outputs_NO is None else summed(outputs_NO))


def evaluate(job: Job, state: TrainState) -> tuple[Evaluation, Evaluation]:
    """Train subset and val on their fixed blocks, with the weights as they are now."""
    cfg = job.recipe.evaluate

    def look(blocks: Blocks) -> Evaluation:
        scores = scored(job, state.model, blocks)
        metrics = dict(job.judge.metrics(blocks, scores)) if cfg.metrics else {}
        if cfg.metrics and blocks is job.val_blocks:
            metrics |= written(job, state.model, blocks, cfg.generate.examples).metrics
        return job.judge.evaluation(
            blocks, scores, basis="fixed blocks", step=state.step, metrics=metrics
        )

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
