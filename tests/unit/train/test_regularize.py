"""Penalties and noise: the gradient they add, and what they do to the weights."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn.linear_model import ElasticNet
from torch import nn

from tests.tiny_models import SHAPES, random_decoder, random_tokens
from wellfit.config import LanguageModel, Regularize, recipe_from_dict
from wellfit.config.train import GradientNoise
from wellfit.data import Rows
from wellfit.optim import build_optimizers
from wellfit.train.learn import MicroBatch, loss_of, micro_batch
from wellfit.train.ranks import Ranks
from wellfit.train.state import TrainState
from wellfit.train.step import NonFinite, add_noise, add_penalties, half_squares, train_step

SHAPE = SHAPES["llama"]
B, T = 4, 12


def test_the_gradient_of_the_penalties_is_autograd_s() -> None:
    draw = torch.Generator().manual_seed(1)
    w = nn.Parameter(torch.randn(4, 3, generator=draw))
    (w.sin().sum() + 0.2 * w.abs().sum() + 0.5 * 0.3 * w.square().sum()).backward()
    wanted, w.grad = w.grad, None
    w.sin().sum().backward()
    add_penalties([w], l1=0.2, l2=0.3)
    torch.testing.assert_close(w.grad, wanted)
    assert half_squares([w], l2=0.3) == pytest.approx(0.15 * float(w.detach().square().sum()))


def test_l1_and_l2_together_are_the_elastic_net_of_scikit_learn() -> None:
    draw = torch.Generator().manual_seed(2)
    x, w = torch.randn(60, 5, generator=draw), nn.Parameter(torch.zeros(1, 5))
    y = x @ torch.tensor([2.0, 0.0, -1.0, 0.3, 0.0]) + 0.1 * torch.randn(60, generator=draw)
    l1, l2 = 0.2, 0.1
    for step in range(3000):  # a falling rate, as the sign jumps at 0
        w.grad = torch.autograd.grad(0.5 * (x @ w[0] - y).square().mean(), w)[0]
        add_penalties([w], l1=l1, l2=l2)
        with torch.no_grad():
            w.sub_(w.grad, alpha=0.3 / (1 + 0.05 * step))
    theirs = ElasticNet(alpha=l1 + l2, l1_ratio=l1 / (l1 + l2), fit_intercept=False)
    wanted = torch.tensor(theirs.fit(x.numpy(), y.numpy()).coef_)
    torch.testing.assert_close(w[0].detach(), wanted, rtol=0, atol=5e-3)


def _batch() -> MicroBatch:
    ids = random_tokens(B, T + 1, seed=4)
    rows = Rows(ids[:, :-1].numpy(), ids[:, 1:].numpy(), torch.arange(B).numpy())
    return micro_batch(rows, None, weights_C=None)


def _trained(steps: int, optim: dict | None = None, seed: int = 1, **how) -> TrainState:
    optim = optim or {"kind": "sgd", "lr": 0.05}
    recipe = recipe_from_dict({"data.path": "x", "train.budget": "1 step", "optim": optim})
    model = random_decoder(SHAPE)
    decay = how.pop("weight_decay", 0.0)
    state = TrainState(model, build_optimizers(recipe.optim, model, weight_decay=decay))
    loss, regularize = loss_of(model, LanguageModel(), None, None, compiled=False), how
    for _ in range(steps):
        train_step(
            state, [_batch()], loss, lr_scale=1.0, how=Regularize(**regularize), seed=seed,
            ranks=Ranks(),
        )  # fmt: skip
    return state


def _matrices(state: TrainState) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in state.optimizers.matrices])


@pytest.mark.parametrize("kind", ["sgd", "adam", "rmsprop", "adagrad"])
def test_each_pull_makes_matrices_smaller_and_leaves_gains_alone(kind: str) -> None:
    optim = {"kind": kind, "lr": 0.005}
    free = _matrices(_trained(12, optim))
    for pull in ({"l2": 0.5}, {"l1": 0.2}, {"weight_decay": 5.0}):
        held = _trained(12, optim, **pull)
        assert _matrices(held).norm() < free.norm(), pull
    # of one step, so that nothing has come back through the loss
    for pull in ({"l2": 0.5}, {"l1": 0.2}, {"weight_decay": 5.0}):
        one, other = _trained(1, optim, clip=None), _trained(1, optim, clip=None, **pull)
        pairs = zip(one.model.named_parameters(), other.model.parameters(), strict=True)
        same = {name for (name, p), q in pairs if torch.equal(p, q)}
        free_of_it = {"embed.weight", "norm.weight", "blocks.0.norm_mlp.weight"}
        assert free_of_it <= same
        assert not same & {"head.weight", "blocks.0.mlp.up.weight"}


def test_l1_leaves_more_of_the_weights_near_zero_than_l2() -> None:
    l1, l2 = _trained(150, l1=0.01), _trained(150, l2=0.05)
    near = [float((_matrices(s).abs() < 0.01).float().mean()) for s in (l1, l2)]
    assert near[0] > near[1] + 0.05


def test_a_penalty_is_not_in_the_loss_that_is_shown() -> None:
    loss = loss_of(random_decoder(SHAPE), LanguageModel(), None, None, compiled=False)(_batch())
    state = _trained(0)
    record = train_step(
        state, [_batch()], loss_of(state.model, LanguageModel(), None, None, compiled=False),
        lr_scale=1.0, how=Regularize(l1=3.0, l2=3.0), seed=1, ranks=Ranks(),
    )  # fmt: skip
    assert record.loss.mean() == pytest.approx(loss.mean(), rel=1e-6)


def test_noise_has_the_variance_of_its_paper_and_hangs_on_seed_step_and_name() -> None:
    def drawn(seed: int, step: int, name: str) -> torch.Tensor:
        w = nn.Parameter(torch.zeros(200, 200))
        w.grad = torch.zeros(200, 200)
        add_noise({w: name}, GradientNoise(eta=0.3, gamma=0.55), seed=seed, step=step)
        return w.grad

    for step in (0, 99):
        # 40,000 draws: the deviation of their variance is 0.7% of it
        wanted = 0.3 / (1 + step) ** 0.55
        assert float(drawn(1, step, "w").var()) == pytest.approx(wanted, rel=0.03)
        assert abs(float(drawn(1, step, "w").mean())) < 5 * math.sqrt(wanted / 40_000)
    first = drawn(1, 3, "w")
    assert torch.equal(first, drawn(1, 3, "w"))
    for other in (drawn(2, 3, "w"), drawn(1, 4, "w"), drawn(1, 3, "v")):
        assert (
            abs(float(torch.corrcoef(torch.stack([first.flatten(), other.flatten()]))[0, 1])) < 0.03
        )


def test_noise_moves_the_weights_by_the_seed() -> None:
    noise = {"gradient_noise": GradientNoise(eta=0.1), "clip": None}
    a, b, c = (_matrices(_trained(2, seed=seed, **noise)) for seed in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_lbfgs_lowers_the_loss_further_than_the_steps_of_sgd() -> None:
    optim = {"kind": "lbfgs", "lr": 1.0}
    recipe = {"schedule": {"kind": "constant", "warmup": 0}, "regularize.clip": None}
    cfg = recipe_from_dict({"data.path": "x", "train.budget": "1 step", "optim": optim, **recipe})
    model = random_decoder(SHAPE)
    state = TrainState(model, build_optimizers(cfg.optim, model, weight_decay=0.0))
    losses, loss = [], loss_of(model, LanguageModel(), None, None, compiled=False)
    for _ in range(12):
        how = Regularize(clip=None, l2=1e-3)
        record = train_step(state, [_batch()], loss, lr_scale=1.0, how=how, seed=1, ranks=Ranks())
        losses.append(record.loss.mean())
    assert losses[-1] < loss(_batch()).mean() + 1 < losses[0]
    sgd = _trained(12, {"kind": "sgd", "lr": 0.05})
    theirs = loss_of(sgd.model, LanguageModel(), None, None, compiled=False)(_batch()).mean()
    assert losses[-1] < theirs


def test_a_search_that_meets_a_loss_that_is_not_finite_leaves_all_as_it_was() -> None:
    model = random_decoder(SHAPE)
    cfg = recipe_from_dict(
        {"data.path": "x", "train.budget": "1 step", "optim": {"kind": "lbfgs", "lr": 1.0},
         "schedule": {"kind": "constant", "warmup": 0}, "regularize.clip": None}
    )  # fmt: skip
    state = TrainState(model, build_optimizers(cfg.optim, model, weight_decay=0.0))
    plain, calls = loss_of(model, LanguageModel(), None, None, compiled=False), 0

    def spoilt(micro: MicroBatch):
        nonlocal calls
        calls += 1
        tally = plain(micro)
        return type(tally)(tally.total * math.nan, tally.count) if calls == 5 else tally

    def step() -> None:
        how = Regularize(clip=None)
        train_step(state, [_batch()], spoilt, lr_scale=1.0, how=how, seed=1, ranks=Ranks())

    before = {}
    with pytest.raises(NonFinite):
        for _ in range(5):
            before = {n: p.detach().clone() for n, p in model.named_parameters()}
            steps = state.step
            step()
    assert state.step == steps
    assert calls == 5
    assert all(torch.equal(p, before[n]) for n, p in model.named_parameters())
    assert all(p.grad is None for p in model.parameters())
