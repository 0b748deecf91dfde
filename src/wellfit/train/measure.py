"""What the loop measures: train and val on the same basis, and the best weights so far."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from wellfit.checkpoint import Contents, commit, prune
from wellfit.evaluate import Measure
from wellfit.store import Evaluation
from wellfit.train import ranks as group
from wellfit.train.job import Job
from wellfit.train.state import TrainState, trained_state


class Both(NamedTuple):
    """Train and val at one step, on the same basis."""

    train: Evaluation
    val: Evaluation


def measure_of(job: Job, state: TrainState) -> Measure:
    """How this job's model is measured; ranks share the work."""
    alone = job.ranks.world == 1
    return Measure(
        state.model,
        job.data.tokenizer,
        device=job.device,
        part=(job.ranks.rank, job.ranks.world),
        summed=None if alone else partial(group.summed, job.ranks),
    )


def evaluate(job: Job, state: TrainState) -> Both:
    """Train subset and val on their fixed blocks, with the weights as they are now."""
    measure = measure_of(job, state)
    train = measure(job.train_blocks, "train", basis="fixed blocks", step=state.step)
    return Both(train, measure(job.val_blocks, "val", basis="fixed blocks", step=state.step))


def save_best(job: Job, state: TrainState) -> None:
    """Commit the weights that val likes best so far; the last such commit is the chosen model."""
    contents = Contents({"model": trained_state(state.model)}, {"step": state.step})
    commit(job.run.checkpoints, state.step, contents, kind="best")
    prune(job.run.checkpoints, keep=job.recipe.checkpoint.keep, best_step=state.step)
