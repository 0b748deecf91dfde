"""Dropout: unbiased, at the rate asked for, and a function of (seed, step, sample, site) alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from wellfit.model.dropout import DropSource, drop_pool, mix

T, D = 16, 32
SITES = 3


def source(rate: float = 0.25, *, seed: int = 1) -> DropSource:
    pool = drop_pool(rate, seed, T * D, torch.float32, "cpu")
    return DropSource(pool, seed, SITES)


def masks(drops: DropSource, step: int, samples: list[int], site: int = 0) -> torch.Tensor:
    ones = torch.ones(len(samples), T, D)
    return drops.draw(step, np.array(samples)).apply(ones, site)


@pytest.fixture(scope="module")
def quarter() -> DropSource:
    """A quarter is dropped."""
    return source(0.25)


def test_a_mask_does_not_depend_on_how_the_batch_was_cut(quarter):
    whole = masks(quarter, 5, [40, 41, 42, 43])
    parts = [masks(quarter, 5, [40]), masks(quarter, 5, [41, 42]), masks(quarter, 5, [43])]
    # a sample's mask is its own
    assert torch.equal(whole, torch.cat(parts))
    # nor on the order
    assert torch.equal(whole.flip(0), masks(quarter, 5, [43, 42, 41, 40]))


def test_a_new_source_of_the_same_seed_continues_alike(quarter):
    # nothing to save, nothing to restore
    assert torch.equal(masks(quarter, 9, [7]), masks(source(0.25), 9, [7]))


@pytest.mark.parametrize("other", [{"step": 6}, {"samples": [41]}, {"site": 1}])
def test_each_step_sample_and_site_has_its_own_mask(quarter, other):
    asked = {"step": 5, "samples": [40], "site": 0}
    # two masks that agree everywhere would be one
    assert not torch.equal(masks(quarter, **asked), masks(quarter, **{**asked, **other}))


def test_another_seed_gives_other_masks(quarter):
    # the seed counts too
    assert not torch.equal(masks(quarter, 5, [40]), masks(source(0.25, seed=2), 5, [40]))


@pytest.mark.parametrize("rate", [0.1, 0.25, 0.5])
def test_values_are_kept_at_the_rate_and_scaled_so_that_nothing_shifts(rate):
    drawn = masks(source(rate), 1, list(range(400)))
    n = drawn.numel()
    kept = float((drawn > 0).double().mean())
    # five standard errors of a fair coin of this rate
    assert abs(kept - (1 - rate)) < 5 * math.sqrt(rate * (1 - rate) / n)
    # what is kept makes up for what is not
    assert set(drawn.unique().tolist()) == {0.0, float(torch.tensor(1 / (1 - rate)))}
    # so the mean is 1, within five standard errors
    assert abs(float(drawn.double().mean()) - 1) < 5 * math.sqrt(rate / (1 - rate) / n)


def test_no_dropout_is_no_change(quarter):
    # rate 0 keeps everything as it is
    assert bool((masks(source(0.0), 1, [1, 2]) == 1).all())


def test_neighbouring_values_are_dropped_independently(quarter):
    kept = (masks(quarter, 2, list(range(400))) > 0).double().flatten(1)
    pairs = kept[:, 1:] * kept[:, :-1]
    n = pairs.numel()
    # both kept as often as two coins; ten standard errors, as neighbouring pairs share a coin
    assert abs(float(pairs.mean()) - 0.75**2) < 10 * math.sqrt(0.75**2 * (1 - 0.75**2) / n)


def test_the_gradient_passes_only_where_values_pass(quarter):
    x_BTD = torch.ones(2, T, D, requires_grad=True)
    dropped_BTD = quarter.draw(1, np.array([3, 4])).apply(x_BTD, 2)
    dropped_BTD.sum().backward()
    # dropout is a product with the mask, both ways
    assert torch.equal(x_BTD.grad, dropped_BTD.detach())


def test_the_hash_is_the_published_one():
    # splitmix64 started at 0, as its reference implementation prints it (Vigna, splitmix64.c)
    assert int(mix(0)) == 0xE220A8397B1DCDAF
    # keys count in their order
    assert int(mix(1, 2)) != int(mix(2, 1))
