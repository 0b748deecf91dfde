"""Dropout at every place, dropped blocks and noise: each where it belongs, and repeatable."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tests.tiny_models import SHAPES, random_decoder, random_tokens
from wellfit.config.train import Dropout, Regularize
from wellfit.model.dropout import Noise, NoiseSource, noise_source

SHAPE = SHAPES["gpt2"]
EACH = {place: Regularize(dropout=Dropout(**{place: 0.3})) for place in Dropout.model_fields}
EACH |= {
    "all places": Regularize(dropout=Dropout(**dict.fromkeys(Dropout.model_fields, 0.3))),
    "stochastic depth": Regularize(stochastic_depth=0.5),
    "neftune": Regularize(neftune=5.0),
}


def source(cfg: Regularize, name: str = "gpt2", *, seed: int = 1) -> NoiseSource:
    made = noise_source(cfg, SHAPES[name], seed=seed, dtype=torch.float32, device="cpu")
    assert made is not None
    return made


def drawn(cfg: Regularize, n: int, name: str = "gpt2") -> Noise:
    return source(cfg, name).draw(7, np.arange(n))


def test_nothing_asked_for_is_nothing_done():
    off = noise_source(Regularize(), SHAPE, seed=1, dtype=torch.float32, device="cpu")
    # not even a product with one
    assert off is None


def test_one_number_stands_for_the_usual_places():
    spread = Regularize(dropout=0.2).dropout
    # as in GPT-2
    assert spread == Dropout(embedding=0.2, attention=0.2, residual=0.2)


@pytest.mark.parametrize("long", [False, True], ids=["kept weights", "torch's operations"])
@pytest.mark.parametrize("name", ["gpt2", "nanochat", "llama, shared heads, tied, bias", "gemma2"])
@pytest.mark.parametrize("what", EACH)
def test_a_sample_is_disturbed_alike_whatever_the_micro_batch(what, name, long, monkeypatch):
    if long:
        monkeypatch.setattr("wellfit.model.fused.LONGEST", 0)
    decoder, noise = random_decoder(SHAPES[name]), source(EACH[what], name)
    tokens_BT, samples = random_tokens(4, 24), np.arange(4)
    with torch.no_grad():
        whole = decoder(tokens_BT, drop=noise.draw(7, samples))
        parts = [
            decoder(tokens_BT[part], drop=noise.draw(7, samples[part]))
            for part in (slice(0, 1), slice(1, 4))
        ]
        plain, later = decoder(tokens_BT), decoder(tokens_BT, drop=noise.draw(8, samples))
    # accumulation changes nothing but the order of sums
    torch.testing.assert_close(whole, torch.cat(parts), rtol=0, atol=1e-4)
    # guards the test itself: it did act, and otherwise at the next step
    assert float((whole - plain).abs().max()) > 0.01 < float((whole - later).abs().max())


@pytest.mark.parametrize("name", ["gpt2", "llama, shared heads, tied, bias"])
def test_dropped_attention_has_the_gradient_that_torch_finds(name, monkeypatch):
    decoder, tokens_BT = random_decoder(SHAPES[name]), random_tokens(3, 24)
    found = []
    for longest in (512, 0):  # our written-out passes, then torch's own derivatives
        monkeypatch.setattr("wellfit.model.fused.LONGEST", longest)
        decoder.zero_grad()
        decoder(tokens_BT, drop=drawn(EACH["attention"], 3, name)).square().mean().backward()
        found.append({n: p.grad.clone() for n, p in decoder.named_parameters()})
    for parameter, gradient in found[0].items():
        # float32 sums in another order
        torch.testing.assert_close(gradient, found[1][parameter], rtol=1e-3, atol=1e-5)


def test_attention_weights_are_dropped_and_no_others():
    pool_P, starts_N = drawn(EACH["attention"], 2).attention(1)
    # a mask for each sequence and head, all of them others
    assert len(starts_N) == 2 * SHAPE.heads == len(set(starts_N.tolist()))
    assert set(pool_P.unique().tolist()) == {0.0, float(torch.tensor(1 / 0.7))}
    y_BTD = torch.ones(2, 24, 32)
    # and nowhere else
    assert torch.equal(drawn(EACH["attention"], 2).residual(y_BTD, 1, 0), y_BTD)


def test_deep_blocks_are_skipped_by_the_share_asked_for_and_shallow_ones_by_less():
    gates_BL = drawn(EACH["stochastic depth"], 4000).gates_BL
    rates = (gates_BL == 0).double().mean(0)
    for layer, rate in enumerate((0.25, 0.5)):
        # evenly up to one half in the last of two; five standard errors
        assert abs(float(rates[layer]) - rate) < 5 * math.sqrt(rate * (1 - rate) / 4000)
        # who stays makes up for who does not
        assert gates_BL[:, layer].max() == pytest.approx(1 / (1 - rate))


def test_a_skipped_block_is_the_identity_for_its_sample():
    decoder, noise = random_decoder(SHAPE), drawn(EACH["stochastic depth"], 16)
    x_BTD, shapes = torch.randn(16, 24, 32), []
    decoder.blocks[0].register_forward_hook(lambda m, inputs, y: shapes.append((inputs[0], y)))
    decoder(random_tokens(16, 24), drop=noise)
    before_BTD, after_BTD = shapes[0]
    skipped_B = noise.gates_BL[:, 0] == 0
    # both attention and MLP, whole
    assert torch.equal(before_BTD[skipped_B], after_BTD[skipped_B])
    # guards the test itself: some are skipped, some are not
    assert 0 < int(skipped_B.sum()) < len(x_BTD)
    assert not torch.equal(before_BTD[~skipped_B], after_BTD[~skipped_B])


def test_noise_on_the_embedding_is_as_large_as_published():
    x_BTD = torch.zeros(200, 24, 32)
    noise_BTD = drawn(EACH["neftune"], 200).embedding(x_BTD)
    bound = 5 / math.sqrt(24 * 32)
    # uniform up to alpha / sqrt(T D), NEFTune's equation; its deviation is the bound / sqrt(3)
    assert 0.99 * bound < float(noise_BTD.abs().max()) <= bound
    assert float(noise_BTD.std()) == pytest.approx(bound / math.sqrt(3), rel=0.01)
    # around zero, within five standard errors
    assert abs(float(noise_BTD.mean())) < 5 * bound / math.sqrt(3 * noise_BTD.numel())
