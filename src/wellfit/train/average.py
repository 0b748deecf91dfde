"""Averages of the weights: kept beside training, and put in their place to be measured."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, assert_never

import torch
from torch import Tensor, nn

from wellfit.config.train import EmaAverage, MeanAverage
from wellfit.optim import steps_of

if TYPE_CHECKING:
    from wellfit.train.state import TrainState


@dataclass
class Average:
    """An average of ``count`` states of the trained weights, by name; none while it is 0."""

    count: int = 0
    weights: dict[str, Tensor] = field(default_factory=dict)


@torch.no_grad()
def take_average(state: TrainState, cfg: EmaAverage | MeanAverage, *, total: int) -> None:
    """Let the weights after a step join the average, where ``cfg`` has it so at this step."""
    average, n = state.average, state.average.count
    match cfg:
        case EmaAverage():
            # TensorFlow's ExponentialMovingAverage with num_updates: without it, a short run
            # would be measured by the weights it started from
            share = 1 - min(cfg.decay, (1 + n) / (10 + n))
        case MeanAverage(over=over, every=every):
            left = total - state.step
            if left >= over * total or left % max(1, steps_of(every, total=total)):
                return
            share = 1 / (n + 1)
        case never:
            assert_never(never)
    named = state.optimizers.name_of
    average.count += 1
    if n == 0:
        average.weights = {name: p.detach().clone() for p, name in named.items()}
    else:
        kept = [average.weights[name] for name in named.values()]
        torch._foreach_lerp_(kept, [p.detach() for p in named], share)


def weights_to_measure(state: TrainState) -> dict[nn.Parameter, Tensor]:
    """What to put in the place of parameters wherever the model is measured; mostly nothing."""
    if not state.average.count:
        return state.optimizers.averages()
    named = dict(state.model.named_parameters())
    return {named[name]: w for name, w in state.average.weights.items()}


@contextmanager
def measured_weights(state: TrainState) -> Iterator[None]:
    """The model with the weights that are measured and published, for as long as this lasts.

    Storage is exchanged and not copied, so what comes back is the same to the bit.
    """
    exchanged = weights_to_measure(state)
    raw = {p: p.data for p in exchanged}
    try:
        for p, w in exchanged.items():
            p.data = w
        yield
    finally:
        for p, w in raw.items():
            p.data = w
