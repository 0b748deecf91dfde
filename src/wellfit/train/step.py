"""One optimizer step.

Dims: B sequences of a micro-batch, T time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from wellfit.objectives import Tally
from wellfit.optim import clip_by_norm
from wellfit.train import ranks as group
from wellfit.train.learn import LossOf, MicroBatch
from wellfit.train.ranks import Ranks
from wellfit.train.state import TrainState


class StepRecord(NamedTuple):
    """What one step reports."""

    step: int
    loss: Tally  # of the whole batch, all ranks: the very sum that was differentiated
    n_targets: int  # in the batch, all ranks
    grad_norm: Tensor  # () before clipping
    lr_scale: float


class NonFinite(Exception):
    """The loss or the gradient of a step is not finite; the weights are those before the step."""

    def __init__(self, step: int, loss: float, grad_norm: float) -> None:
        super().__init__(f"step {step}: loss {loss}, gradient norm {grad_norm}")
        self.step, self.loss, self.grad_norm = step, loss, grad_norm


def train_step(
    state: TrainState,
    micro_batches: Sequence[MicroBatch],
    loss_of: LossOf,
    *,
    lr_scale: float,
    clip: float | None,
    ranks: Ranks,
) -> StepRecord:
    """One optimizer step on the gradient of the mean loss of counted targets.

    The divisor is the weight of the whole batch over all ranks, known before backward, so the
    result does not depend on how the batch was cut.

    Raises ``NonFinite`` before the weights change, and ``ValueError`` when no target counts.
    """
    device = next(state.model.parameters()).device
    own = [sum(m.n_targets for m in micro_batches), sum(m.weight for m in micro_batches)]
    sums = torch.tensor(own, dtype=torch.float64, device=device)
    # Before backward: the divisor of it all.
    n_targets, weight = group.summed(ranks, sums).tolist()
    if n_targets == 0:
        raise ValueError("every target in this batch is ignored; there is nothing to learn from")
    total = torch.zeros((), device=device)
    for micro in micro_batches:
        part = loss_of(micro.to(device))
        (part.total / weight).backward()
        total += part.total.detach()
    params = [p for p in state.model.parameters() if p.requires_grad]
    group.sum_gradients(ranks, params)
    loss = Tally(group.summed(ranks, total), torch.tensor(weight))
    grad_norm = clip_by_norm(params, clip)
    # One sync a step buys the guard: nothing non-finite ever reaches the weights.
    if not bool(torch.isfinite(loss.total + grad_norm)):
        state.optimizers.zero_grad()
        raise NonFinite(state.step + 1, loss.mean(), float(grad_norm))
    state.optimizers.step(lr_scale)
    state.optimizers.zero_grad()
    state.step += 1
    state.tokens_seen += int(n_targets)
    return StepRecord(state.step, loss, int(n_targets), grad_norm, lr_scale)
