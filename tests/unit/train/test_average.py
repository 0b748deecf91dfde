"""Averages of the weights: what they are, and that measuring them leaves training alone."""

from __future__ import annotations

import pytest
import torch
from torch.optim import swa_utils

from tests.tiny_models import SHAPES, random_decoder
from wellfit.config.optim import ScheduleFreeAdamW, Sgd
from wellfit.config.train import EmaAverage, MeanAverage
from wellfit.optim import build_optimizers
from wellfit.train.average import measured_weights, take_average
from wellfit.train.state import TrainState
from wellfit.units import Duration


def _state(optim=None) -> TrainState:
    model = random_decoder(SHAPES["nanochat"])
    optim = optim or Sgd(lr=0.1)
    return TrainState(model, build_optimizers(optim, model, weight_decay=0.0))


def _step(state: TrainState) -> None:
    draw = torch.Generator().manual_seed(state.step)
    for p in state.model.parameters():
        p.grad = torch.randn(p.shape, generator=draw)
    state.optimizers.step(1.0)
    state.step += 1


def test_an_ema_is_the_one_of_torch_with_its_warm_up() -> None:
    def share(averaged, current, n):
        kept = min(0.6, (1 + float(n)) / (10 + float(n)))
        return kept * averaged + (1 - kept) * current

    state = _state()
    theirs = swa_utils.AveragedModel(state.model, avg_fn=share)
    for _ in range(30):
        _step(state)
        take_average(state, EmaAverage(decay=0.6), total=30)
        theirs.update_parameters(state.model)
    assert state.average.count == 30
    for name, p in theirs.module.named_parameters():
        torch.testing.assert_close(state.average.weights[name], p, rtol=1e-5, atol=1e-5)


def test_a_mean_is_that_of_the_weights_at_its_steps() -> None:
    state, taken = _state(), []
    cfg = MeanAverage(over=0.5, every=Duration(2.0, "steps"))
    for _ in range(12):
        _step(state)
        take_average(state, cfg, total=12)
        if state.step in (8, 10, 12):  # of the last six, every second, the last among them
            taken.append({n: p.detach().clone() for n, p in state.model.named_parameters()})
    assert state.average.count == 3
    for name, mean in state.average.weights.items():
        wanted = torch.stack([weights[name] for weights in taken]).mean(0)
        torch.testing.assert_close(mean, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("optim", [Sgd(lr=0.1), ScheduleFreeAdamW(lr=0.01)])
def test_measuring_puts_the_average_in_and_brings_the_weights_back(optim) -> None:
    state = _state(optim)
    for _ in range(5):
        _step(state)
        if isinstance(optim, Sgd):
            take_average(state, EmaAverage(), total=5)
    raw = {n: p.detach().clone() for n, p in state.model.named_parameters()}
    at = {n: p.data_ptr() for n, p in state.model.named_parameters()}
    wanted = dict(state.average.weights)
    if not wanted:
        wanted = {state.optimizers.name_of[p]: x for p, x in state.optimizers.averages().items()}
    with pytest.raises(InterruptedError), measured_weights(state):
        # also what would be saved is the average
        inside = state.model.state_dict()
        assert all(torch.equal(inside[name], w) for name, w in wanted.items())
        assert any(not torch.equal(inside[name], raw[name]) for name in raw)
        raise InterruptedError
    for name, p in state.model.named_parameters():
        assert torch.equal(p, raw[name]), name
        assert p.data_ptr() == at[name]


def test_without_an_average_what_is_measured_is_what_is_trained() -> None:
    state = _state()
    _step(state)
    at = {n: p.data_ptr() for n, p in state.model.named_parameters()}
    with measured_weights(state):
        assert {n: p.data_ptr() for n, p in state.model.named_parameters()} == at


# noisy gradients of |w|^2 / 2 around the minimum at 0: what is measured against what is trained
@pytest.mark.parametrize(
    ("optim", "cfg", "nearer"),
    [
        (Sgd(lr=0.3, momentum=0.0), EmaAverage(decay=0.97), 0.5),
        (Sgd(lr=0.3, momentum=0.0), MeanAverage(over=0.5, every=Duration(1.0, "steps")), 0.5),
        # trained at nine parts of the average and one of the noisy point
        (ScheduleFreeAdamW(lr=0.05), None, 0.95),
    ],
)
def test_an_average_is_nearer_to_the_minimum_than_noisy_weights(optim, cfg, nearer) -> None:
    state = _state(optim)
    for _ in range(300):
        draw = torch.Generator().manual_seed(state.step)
        for p in state.model.parameters():
            p.grad = p.detach() + torch.randn(p.shape, generator=draw)
        state.optimizers.step(1.0)
        state.step += 1
        if cfg is not None:
            take_average(state, cfg, total=300)

    def distance() -> float:
        return sum(float(p.detach().square().sum()) for p in state.model.parameters())

    trained = distance()
    with measured_weights(state):
        assert distance() < nearer * trained
