"""One run, decided: what the loop reads and never changes.

Dims: B sequences of a micro-batch, T time, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from wellfit.config import Explained, Recipe, known
from wellfit.data import Blocks, Prepared, blocks_per_epoch, train_rows
from wellfit.evaluate import Baselines, Counts
from wellfit.model import Decoder, Drop, DropSource, Shape, build_decoder
from wellfit.objectives import Tally, next_token_nats
from wellfit.optim import build_optimizers
from wellfit.plan import Machine
from wellfit.store import RunDir
from wellfit.train.ranks import Ranks
from wellfit.train.state import TrainState
from wellfit.train.step import MicroBatch, NatsOf


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
    counts: Counts
    baselines: Baselines  # on val_blocks

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
    def epoch_tokens(self) -> int:
        """Targets of one pass over the train split."""
        context = self.shape.context
        return blocks_per_epoch(self.data.splits["train"], context=context) * context

    @property
    def compute(self) -> torch.dtype:
        """The dtype of activations and matrix products while training."""
        return torch.bfloat16 if self.recipe.train.precision == "bf16" else torch.float32


def new_state(job: Job) -> TrainState:
    """Model and optimizers before step 0, drawn from the seed."""
    model = build_decoder(job.shape, seed=job.recipe.train.seed).to(job.device)
    model.compute = job.compute
    decay = known(job.recipe.regularize.weight_decay)
    return TrainState(model, build_optimizers(job.recipe.optim, model, weight_decay=decay))


def nats_of(model: Decoder, *, compiled: bool) -> NatsOf:
    """The loss of a micro-batch as a function of its tensors."""

    def sums(tokens_BT: Tensor, targets_BT: Tensor, drop: Drop | None) -> tuple[Tensor, Tensor]:
        logits_BTV = model(tokens_BT, drop=drop)
        tally = next_token_nats(logits_BTV.flatten(0, 1), targets_BT.flatten())
        return tally.total, tally.count

    run = torch.compile(sums, dynamic=False) if compiled else sums

    def nats(tokens_BT: Tensor, targets_BT: Tensor, drop: Drop | None) -> Tally:
        return Tally(*run(tokens_BT, targets_BT, drop))

    return nats


def batch_stream(job: Job) -> Callable[[int], Iterator[MicroBatch]]:
    """This rank's micro-batches of any step, each a pure function of (data, seed, step)."""
    recipe, shape = job.recipe, job.shape
    batch, micro = known(recipe.train.batch), known(recipe.train.micro_batch)
    split, seed = job.data.splits["train"], recipe.train.seed
    source = None
    if recipe.regularize.dropout:
        source = DropSource(
            recipe.regularize.dropout,
            seed=seed,
            sites=1 + 2 * shape.depth,
            window=shape.context * shape.width,
            dtype=job.compute,
            device=job.device,
        )

    def micro_batches(step: int) -> Iterator[MicroBatch]:
        rows = train_rows(split, seed=seed, step=step, batch=batch, context=shape.context)
        rows = rows.rows_for_rank(job.ranks.rank, job.ranks.world)
        for start in range(0, len(rows.samples), micro):
            ids = rows.tokens[start : start + micro].astype(np.int64)
            tokens_BT = torch.from_numpy(ids)
            drop = source.draw(step, rows.samples[start : start + micro]) if source else None
            yield MicroBatch(tokens_BT[:, :-1], tokens_BT[:, 1:], drop)

    return micro_batches
