"""One optimizer step."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from wellfit.config.train import GradientNoise, Regularize
from wellfit.model import dropping
from wellfit.objectives import Tally
from wellfit.optim import clip_gradients, gradient_norm
from wellfit.probe.timing import during
from wellfit.train import ranks as group
from wellfit.train.learn import LossOf, MicroBatch
from wellfit.train.ranks import Ranks
from wellfit.train.state import TrainState


class StepRecord(NamedTuple):
    """What one step reports."""

    step: int
    loss: Tally  # of the whole batch, all ranks: the very sum that was differentiated
    n_targets: int  # in the batch, all ranks
    grad_norm: Tensor  # () with penalties and noise, before clipping
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
    how: Regularize,
    seed: int,
    ranks: Ranks,
) -> StepRecord:
    """One optimizer step on the gradient of the mean loss of counted targets.

    The divisor is the weight of the whole batch over all ranks, known before backward, so the
    result does not depend on how the batch was cut.

    Raises ``NonFinite`` before the weights change, and ``ValueError`` when no target counts.
    """
    own = [sum(m.n_targets for m in micro_batches), sum(m.weight for m in micro_batches)]
    sums = torch.tensor(own, dtype=torch.float64)  # on the host, so that one rank waits for nothing
    # Before backward: the divisor of it all.
    n_targets, weight = group.summed(ranks, sums).tolist()
    if n_targets == 0:
        raise ValueError("every target in this batch is ignored; there is nothing to learn from")
    params = list(state.optimizers.name_of)

    def differentiate() -> StepRecord:
        """Everything up to the guard: the gradient at the weights as they are, put in place."""
        total = _backward(state.model, micro_batches, loss_of, weight)
        with during("gradients"):
            group.sum_gradients(ranks, params)
            total = group.summed(ranks, total)
            add_penalties(state.optimizers.matrices, l1=how.l1, l2=how.l2)
            if how.gradient_noise is not None:
                add_noise(state.optimizers.name_of, how.gradient_noise, seed=seed, step=state.step)
            norm = gradient_norm(params)
            # One sync a step buys the guard: nothing non-finite ever reaches the weights.  What is
            # recorded comes to the host with it, for reading it later would wait for the update.
            seen = torch.stack((total, norm)).cpu()
            if not bool(torch.isfinite(seen.sum())):
                state.optimizers.zero_grad()
                raise NonFinite(state.step + 1, float(seen[0]) / weight, float(seen[1]))
        loss = Tally(seen[0], torch.tensor(weight))
        return StepRecord(state.step + 1, loss, int(n_targets), seen[1], lr_scale)

    record = differentiate()
    known = [record]  # what a search asks for first was just computed

    def again() -> Tensor:
        if not known:
            state.optimizers.zero_grad()
        loss = (known.pop() if known else differentiate()).loss
        return loss.total / weight + half_squares(state.optimizers.matrices, l2=how.l2)

    if how.clip is not None:
        with during("gradients"):
            clip_gradients(params, record.grad_norm, how.clip, state.norms)
    with during("optimizer"):
        state.optimizers.step(lr_scale, again)
        state.optimizers.zero_grad()
    state.step += 1
    state.tokens_seen += record.n_targets
    return record


def _backward(
    model: Any, micro_batches: Sequence[MicroBatch], loss_of: LossOf, weight: float
) -> Tensor:
    """Gradients of the summed losses over ``weight``, added to those there are; the sum itself."""
    device = next(model.parameters()).device
    total = torch.zeros((), device=device)
    for micro in micro_batches:
        with dropping(model, micro.lora_drop):
            with during("forward"):
                part = loss_of(micro.to(device))
            with during("backward"):
                (part.total / weight).backward()
        total += part.total.detach()
    return total


@torch.no_grad()
def add_penalties(matrices: Sequence[nn.Parameter], *, l1: float, l2: float) -> None:
    """Add the gradient of ``l1`` sum |w| + ``l2`` / 2 sum w**2 to that of each matrix."""
    moved = [p.detach() for p in matrices if p.grad is not None] if l1 or l2 else []
    grads = [p.grad for p in matrices if p.grad is not None]
    if l2:
        torch._foreach_add_(grads, moved, alpha=l2)
    if l1:
        torch._foreach_add_(grads, torch._foreach_sign(moved), alpha=l1)


@torch.no_grad()
def half_squares(matrices: Sequence[nn.Parameter], *, l2: float) -> float:
    """``l2`` / 2 times the sum of squares: the part of an objective that ``l2`` is."""
    return 0.5 * l2 * float(sum(p.square().sum() for p in matrices)) if l2 else 0.0


@torch.no_grad()
def add_noise(
    name_of: Mapping[nn.Parameter, str], noise: GradientNoise, *, seed: int, step: int
) -> None:
    """Add Gaussian noise of variance eta / (1 + step) ** gamma to every gradient.

    A function of (seed, step, name of the parameter), so every rank draws the same.
    """
    deviation = (noise.eta / (1 + step) ** noise.gamma) ** 0.5
    for p, name in name_of.items():
        if p.grad is not None:
            key = hashlib.blake2b(f"noise {seed} {step} {name}".encode(), digest_size=7).digest()
            draw = torch.Generator(p.device).manual_seed(int.from_bytes(key, "little"))
            shape, dtype = p.grad.shape, p.grad.dtype
            drawn = torch.randn(shape, generator=draw, device=p.device, dtype=dtype)
            p.grad.add_(drawn, alpha=deviation)
