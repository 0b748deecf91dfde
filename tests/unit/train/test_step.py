"""One step: the laws about tallies, cutting and guarding."""

import numpy as np
import pytest
import torch

from tests.tiny_models import SHAPES, random_decoder
from wellfit.config import LanguageModel, Regularize, recipe_from_dict
from wellfit.config.train import NormClip
from wellfit.data import Rows
from wellfit.model import noise_source
from wellfit.objectives import IGNORE
from wellfit.optim import build_optimizers
from wellfit.train.learn import LossOf, MicroBatch, loss_of, micro_batch
from wellfit.train.ranks import Ranks
from wellfit.train.state import TrainState
from wellfit.train.step import NonFinite, train_step

ALONE = Ranks()
T, B = 12, 6


def _state(kind: str = "adamw") -> TrainState:
    optim = {"kind": kind, "lr": 0.01} | ({"adam_lr": 0.01} if kind == "muon" else {})
    recipe = recipe_from_dict({"data.path": "x", "train.budget": "1 step", "optim": optim})
    model = random_decoder(SHAPES["nanochat"])
    return TrainState(model, build_optimizers(recipe.optim, model, weight_decay=0.1))


def _rows() -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.randint(0, 11, (B, T + 1), generator=torch.Generator().manual_seed(3))
    targets = ids[:, 1:].clone()
    targets[0, 4:] = IGNORE  # rows with unequal numbers of counted targets
    targets[5, 1:] = IGNORE
    return ids[:, :-1], targets


def _cut(sizes: list[int], *, rate: float = 0.0) -> list[MicroBatch]:
    tokens, targets = _rows()
    source = None
    if rate:
        asked = Regularize(dropout=rate, stochastic_depth=rate, neftune=5.0)
        shape = SHAPES["nanochat"]
        source = noise_source(asked, shape, seed=1, dtype=torch.float32, device="cpu")
    out, start = [], 0
    for size in sizes:
        part = slice(start, start + size)
        drop = source.draw(7, np.arange(B)[part]) if source else None
        out.append(_micro(tokens[part], targets[part], drop))
        start += size
    return out


def _micro(tokens, targets, drop=None) -> MicroBatch:
    rows = Rows(tokens.numpy(), targets.numpy(), np.arange(len(tokens)))
    return micro_batch(rows, drop, weights_C=None)


def _loss(model) -> LossOf:
    return loss_of(model, LanguageModel(), None, None, compiled=False)


def _step(state: TrainState, parts: list[MicroBatch], **how):
    loss, how = _loss(state.model), Regularize(**how)
    return train_step(state, parts, loss, lr_scale=1.0, how=how, seed=1, ranks=ALONE)


@pytest.mark.parametrize("rate", [0.0, 0.3])
@pytest.mark.parametrize("sizes", [[3, 3], [1, 5], [2, 2, 2], [1] * 6])
def test_cutting_a_batch_differently_changes_nothing(sizes: list[int], rate: float) -> None:
    whole, parts = _state(), _state()
    a = _step(whole, _cut([B], rate=rate))
    b = _step(parts, _cut(sizes, rate=rate))
    assert int(a.loss.count) == int(b.loss.count) == (T * 4) + 4 + 1
    torch.testing.assert_close(a.loss.total, b.loss.total, rtol=1e-6, atol=0)
    torch.testing.assert_close(a.grad_norm, b.grad_norm, rtol=1e-5, atol=0)
    # AdamW's first step is lr * sign(gradient), so only a gradient of zero may flip
    for p, q in zip(whole.model.parameters(), parts.model.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=2e-4)


def test_the_mean_of_micro_batch_means_would_be_another_loss() -> None:
    model = _state().model
    loss = _loss(model)
    parts = [loss(m) for m in _cut([1, 5])]
    means = sum(p.mean() for p in parts) / 2
    joined = parts[0].joined(parts[1]).mean()
    # the reason a loss is a sum with its count
    assert abs(means - joined) > 1e-3


def test_the_logged_loss_is_the_one_that_was_differentiated() -> None:
    state = _state()
    tokens, targets = _rows()
    logits = state.model(tokens).flatten(0, 1)
    wanted = torch.nn.functional.cross_entropy(logits, targets.flatten(), ignore_index=IGNORE)
    assert _step(state, _cut([B])).loss.mean() == pytest.approx(wanted.item(), rel=1e-6)


def test_a_batch_without_targets_is_refused_before_the_weights_change() -> None:
    state = _state()
    before = [p.clone() for p in state.model.parameters()]
    tokens, targets = _rows()
    with pytest.raises(ValueError, match="nothing to learn from"):
        _step(state, [_micro(tokens, torch.full_like(targets, IGNORE))])
    assert all(torch.equal(p, q) for p, q in zip(state.model.parameters(), before, strict=True))


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_a_non_finite_loss_is_caught_before_the_weights_change(kind: str) -> None:
    state = _state(kind)
    with torch.no_grad():
        state.model.head.weight[3] = float("nan")
    before = [p.clone() for p in state.model.parameters()]
    with pytest.raises(NonFinite, match="step 1"):
        _step(state, _cut([3, 3]))
    for p, q in zip(state.model.parameters(), before, strict=True):
        assert torch.equal(p.nan_to_num(9.0), q.nan_to_num(9.0))
    # nothing of the spoilt step is left to be added to the next
    assert all(p.grad is None for p in state.model.parameters())
    assert state.step == 0


def test_a_step_counts_itself_and_its_targets() -> None:
    state = _state()
    record = _step(state, _cut([2, 4]))
    assert (state.step, record.step, state.tokens_seen) == (1, 1, 53)


def test_clipping_bounds_the_gradient_and_reports_its_norm_before() -> None:
    loose, tight = _state(), _state()
    a = _step(loose, _cut([B]), clip=None)
    b = _step(tight, _cut([B]), clip=NormClip(max=1e-3))
    torch.testing.assert_close(a.grad_norm, b.grad_norm)
    assert float(a.grad_norm) > 1e-3
