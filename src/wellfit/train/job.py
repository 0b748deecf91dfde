"""One run, decided: what the loop reads and never changes.

Dims: C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from wellfit.config import Explained, Pretrained, Recipe, known
from wellfit.config.optim import Lbfgs
from wellfit.data import Blocks, Feed, Prepared, eval_blocks, fit_counts, train_feed
from wellfit.evaluate.baselines import Baselines
from wellfit.model import Decoder, Ngrams, Shape, build_model, lora_drop_source, noise_source
from wellfit.model.fp8 import in_fp8
from wellfit.optim import build_optimizers
from wellfit.plan import Decision, Machine
from wellfit.report import Screen
from wellfit.store import RunDir
from wellfit.train.learn import How, LossOf, MicroBatch, class_weights, loss_of, micro_batch
from wellfit.train.outcomes import Judge
from wellfit.train.ranks import Ranks
from wellfit.train.state import TrainState

Batches = Callable[[int], list[MicroBatch]]
"""The micro-batches of any step."""


class Here(NamedTuple):
    """Where a run runs: the machine, the place of this process among the ranks, who watches."""

    machine: Machine
    ranks: Ranks
    screen: Screen
    profile: bool = False


@dataclass(frozen=True)
class Job:
    """One run, decided: recipe without autos, data, shape, machine, and who this process is."""

    recipe: Recipe
    explained: tuple[Explained, ...]
    run: RunDir
    data: Prepared
    shape: Shape
    machine: Machine
    ranks: Ranks
    train_blocks: Blocks  # of the train split, as much text as val_blocks
    val_blocks: Blocks
    feed: Feed
    fitted: Mapping[str, Mapping[str, int]]  # by split: how many examples lose what
    weights_C: np.ndarray | None  # of the classes in the loss, where they differ
    baselines: Baselines  # on val_blocks
    judge: Judge

    @property
    def device(self) -> str:
        """Where the model is."""
        return self.recipe.train.device

    @property
    def steps_total(self) -> int:
        """The horizon: what schedules and the end of the run are measured by."""
        budget = self.recipe.train.budget
        assert budget.unit == "steps", f"undecided budget {budget}"
        return int(budget.amount)

    @property
    def compute(self) -> torch.dtype:
        """The dtype of activations and matrix products while training."""
        return torch.float32 if self.recipe.train.precision == "fp32" else torch.bfloat16


def make_job(decision: Decision, data: Prepared, shape: Shape, run: RunDir, here: Here) -> Job:
    """The job of a decided recipe, with its evaluation blocks and baselines."""
    recipe, context, train = decision.recipe, shape.context, data.splits["train"]
    most, long, judge = known(recipe.evaluate.tokens), recipe.data.long, Judge(recipe, data)
    fitted = fit_counts(data.splits, context=context, long=long)  # test too, before a step
    train_blocks, val_blocks = (
        eval_blocks(split, context=context, max_targets=most, long=long)
        for split in (train, data.splits["val"])
    )
    return Job(
        recipe=recipe,
        explained=decision.explained,
        run=run,
        data=data,
        shape=shape,
        machine=here.machine,
        ranks=here.ranks,
        train_blocks=train_blocks,
        val_blocks=val_blocks,
        feed=train_feed(train, context=context, long=long, packed=recipe.data.pack),
        fitted=fitted,
        weights_C=class_weights(recipe.task, data.labels, train),
        baselines=judge.baseline(val_blocks),
        judge=judge,
    )


def new_state(job: Job, *, weights: bool = True) -> TrainState:
    """Model and optimizers before step 0: drawn from the seed, or as published.

    Without ``weights`` those of a published model are left to a checkpoint.
    """
    model = build_model(job.recipe.model, job.shape, seed=job.recipe.train.seed, weights=weights)
    if isinstance(model, Ngrams) and weights:
        train, long = job.data.splits["train"], job.recipe.data.long
        blocks = eval_blocks(train, context=job.shape.context, long=long)
        model.count(blocks.batches(1 << 14), job.data.tokenizer.starts_of_words())
    model = model.to(job.device)
    model.compute = job.compute
    model.checkpointed = known(job.recipe.train.checkpoint_activations)
    decay = known(job.recipe.regularize.weight_decay)
    return TrainState(model, build_optimizers(job.recipe.optim, model, weight_decay=decay))


def job_loss(job: Job, model: nn.Module, *, compiled: How) -> LossOf:
    """The loss that the job trains its model by."""
    task, labels = job.recipe.task, job.data.labels
    if job.recipe.train.precision == "fp8":
        assert isinstance(model, Decoder), "plan.gpu refuses fp8 for others"
        model = in_fp8(model)
    return loss_of(model, task, labels, job.weights_C, compiled=compiled)


def batches(job: Job) -> Batches:
    """This rank's micro-batches of any step, each a pure function of (data, seed, step).

    Where the device works by itself they are gathered while the step before runs.
    """
    recipe, shape = job.recipe, job.shape
    batch, micro = known(recipe.train.batch), known(recipe.train.micro_batch)
    seed = recipe.train.seed
    source = noise_source(recipe.regularize, shape, seed=seed, dtype=job.compute, device=job.device)
    asked, lora = recipe.model, None
    if isinstance(asked, Pretrained) and asked.lora is not None:
        lora = lora_drop_source(shape, asked.lora, seed=seed, dtype=job.compute, device=job.device)

    def gathered(step: int) -> list[MicroBatch]:
        rows = job.feed.step(step, batch=batch, seed=seed)
        rows = rows.rows_for_rank(job.ranks.rank, job.ranks.world)
        found = []
        for start in range(0, len(rows.samples), micro):
            part = rows.part(start, start + micro)
            drop = source.draw(step, part.samples) if source else None
            small = lora.draw(step, part.samples) if lora else None
            found.append(micro_batch(part, drop, weights_C=job.weights_C)._replace(lora_drop=small))
        return found

    foresees = job.device == "cuda" and not isinstance(recipe.optim, Lbfgs)  # always the same rows
    return ahead(gathered, job.device) if foresees else gathered


def ahead(gather: Batches, device: str) -> Batches:
    """``gather`` with one step of foresight: the same batches, already on the device.

    A thread gathers them into pinned memory and copies them on a stream of its own, so that
    neither holds up the step that runs.  Asked for another step than the next, it begins there.
    """
    pool, found = ThreadPoolExecutor(1), dict[int, Future[list[MicroBatch]]]()
    own = torch.cuda.Stream() if device == "cuda" else None

    def fetch(step: int) -> list[MicroBatch]:
        if own is None:
            return gather(step)
        with torch.cuda.stream(own):
            moved = [m.pinned().to(device) for m in gather(step)]
        own.synchronize()  # holds up this thread alone
        return moved

    def foreseen(step: int) -> list[MicroBatch]:
        wanted = found.pop(step, None) or pool.submit(fetch, step)
        found.clear()
        # What the caller got before is dropped when its step is over, and so after the guard has
        # waited for the device: its memory may be written to on the other stream.
        found[step + 1] = pool.submit(fetch, step + 1)
        return wanted.result()

    return foreseen
