"""Fresh weights: a function of seed and name, with the spread each family wants."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from tests.tiny_models import SHAPES, random_tokens
from wellfit.model import build_decoder
from wellfit.model.init import initial_value

LARGE = {
    name: dataclasses.replace(SHAPES[name], width=128, head_dim=32, mlp_width=256)
    for name in ("nanochat", "llama", "qwen3", "gpt2")
}


@pytest.mark.parametrize("name", LARGE)
def test_the_same_seed_gives_the_same_weights_and_another_does_not(name):
    first, again = build_decoder(LARGE[name], seed=3), build_decoder(LARGE[name], seed=3)
    other = build_decoder(LARGE[name], seed=4).state_dict()
    # a pure function of the seed
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in first.state_dict().items())
    # that depends on it
    assert not torch.equal(first.embed.weight, other["embed.weight"])


def test_a_weight_does_not_depend_on_what_else_the_model_holds():
    shallow = build_decoder(LARGE["llama"], seed=3).state_dict()
    deep = build_decoder(dataclasses.replace(LARGE["llama"], depth=5, tied=True), seed=3)
    same = {"embed.weight", "blocks.1.attention.q.weight", "blocks.0.mlp.gate.weight"}
    # only (seed, name) count: not the order, not the number of the others
    assert all(torch.equal(shallow[name], deep.state_dict()[name]) for name in same)


def test_building_leaves_the_global_generator_alone():
    torch.manual_seed(7)
    before = torch.get_rng_state()
    build_decoder(SHAPES["gpt2"], seed=1)
    # a draw elsewhere must not depend on whether a model was built
    assert torch.equal(before, torch.get_rng_state())


def test_weights_of_different_names_are_unrelated():
    weights = build_decoder(LARGE["llama"], seed=1).state_dict()
    q, k = (weights[f"blocks.0.attention.{name}.weight"] for name in "qk")
    correlation = float((q * k).mean() / (q.std() * k.std()))
    # five standard errors of the correlation of independent draws
    assert abs(correlation) < 5 / math.sqrt(q.numel())


def test_nanochat_starts_as_the_identity_with_uniform_predictions():
    decoder = build_decoder(SHAPES["nanochat"], seed=1)
    # zero logits are a uniform distribution
    assert not decoder(random_tokens(2, 9)).any()
    for block in decoder.blocks:
        # nothing is added to the residual stream
        assert not block.attention.o.weight.any() and not block.mlp.down.weight.any()


def test_nanochat_matrices_are_uniform_with_variance_one_over_fan_in():
    up = build_decoder(LARGE["nanochat"], seed=1).state_dict()["blocks.0.mlp.up.weight"]
    bound = math.sqrt(3 / 128)
    # uniform on the interval, reaching nearly to both ends
    assert float(up.abs().max()) <= bound and float(up.max()) > 0.99 * bound
    assert float(up.min()) < -0.99 * bound
    # a uniform's deviation is its bound over the root of 3; within 2%, 32768 draws
    assert float(up.std()) == pytest.approx(1 / math.sqrt(128), rel=0.02)


@pytest.mark.parametrize("name", ["llama", "qwen3", "gpt2"])
def test_other_families_are_normal_and_narrower_where_blocks_add(name):
    weights = build_decoder(LARGE[name], seed=1).state_dict()
    stds = {n: float(p.std()) for n, p in weights.items() if p.ndim == 2}
    for weight, std in stds.items():
        added = weight.endswith(("attention.o.weight", "mlp.down.weight"))
        # 0.02, over the root of twice the depth of 2 where it adds; within 5%, 3000 draws or more
        assert std == pytest.approx(0.02 / (2 if added else 1), rel=0.05), weight


@pytest.mark.parametrize("name", LARGE)
def test_gains_start_at_one_and_biases_at_zero(name):
    for parameter, value in build_decoder(LARGE[name], seed=1).named_parameters():
        if value.ndim == 1:
            # a norm that does nothing yet, and no shift
            assert bool((value == (0 if parameter.endswith("bias") else 1)).all()), parameter


def test_a_draw_is_pinned():
    value = initial_value(SHAPES["llama"], "embed.weight", (2, 2), seed=1)
    # written down on the day it was made: a change here changes every run that is repeated
    expected = [[-0.00566162169, -0.0226515923], [0.00745418668, 0.0188681297]]
    torch.testing.assert_close(value, torch.tensor(expected), rtol=1e-6, atol=0)
