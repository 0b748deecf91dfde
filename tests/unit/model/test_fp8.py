"""Training in float8: the same weights, products nearby; on a processor torchao emulates it."""

from __future__ import annotations

import pytest
import torch

from tests.tiny_models import random_decoder, random_tokens
from wellfit.config import Decoder as DecoderRecipe
from wellfit.errors import ConfigError
from wellfit.model import Decoder, Shape, explain_shape
from wellfit.model.decoder import Linear
from wellfit.model.fp8 import in_fp8

pytest.importorskip("torchao.float8")

ASKED = {"family": "llama", "depth": 2, "width": 64, "heads": 4, "context": 32, "mlp_width": 96}
SHAPE: Shape = explain_shape(DecoderRecipe(**ASKED), vocab=48).shape
TOKENS = random_tokens(2, 20, vocab=48)  # 40 rows, no multiple of 16


def _twin(decoder: Decoder, *, smallest: int = 64 * 96) -> Decoder:
    decoder.compute = torch.bfloat16
    return in_fp8(decoder, smallest=smallest, emulate=True)


def _kinds(decoder: Decoder) -> dict[str, str]:
    return {name: type(m).__name__ for name, m in decoder.blocks[1].named_modules()}


def test_large_layers_of_blocks_multiply_in_float8_and_no_others() -> None:
    kinds = _kinds(_twin(random_decoder(SHAPE)))
    # attention's are 64 by 64 here, and too small
    assert {kinds[f"mlp.{name}"] for name in ("up", "gate", "down")} == {"Float8Linear"}
    assert {kinds[f"attention.{name}"] for name in "qkvo"} == {"Linear"}
    odd = explain_shape(DecoderRecipe(**{**ASKED, "mlp_width": 100}), vocab=48).shape
    assert _kinds(_twin(random_decoder(odd), smallest=1))["mlp.up"] == "Linear"
    twin = _twin(random_decoder(SHAPE), smallest=1)
    # what turns hidden states into logits stays as it is
    assert type(twin.head) is Linear


def test_the_weights_are_those_of_the_decoder_itself() -> None:
    decoder = random_decoder(SHAPE)
    names = list(decoder.state_dict())
    twin = _twin(decoder, smallest=1)
    own = dict(decoder.named_parameters())
    # an optimizer of one trains the other; a checkpoint of one is a checkpoint of the other
    assert all(p is own[name] for name, p in twin.named_parameters())
    assert list(twin.state_dict()) == names
    # what is measured and published multiplies as ever
    assert _kinds(decoder)["mlp.up"] == "Linear"


def test_loss_and_gradients_are_near_those_of_bf16() -> None:
    found = []
    for low in (False, True):
        decoder = random_decoder(SHAPE)
        decoder.compute = torch.bfloat16
        model = _twin(decoder, smallest=1) if low else decoder
        logits = model(TOKENS[:, :-1]).float().flatten(0, 1)
        loss = torch.nn.functional.cross_entropy(logits, TOKENS[:, 1:].flatten())
        loss.backward()
        grads = torch.cat([p.grad.flatten() for p in decoder.parameters()])
        assert all(p.grad.dtype == torch.float32 for p in decoder.parameters())
        found.append((loss.item(), grads))
    (wanted, exact), (low, rough) = found
    # e4m3 has 3 bits of mantissa, and gradients' e5m2 has 2: up to 6% and 12% off for each number,
    # which adds up over the seven layers of two blocks and takes no side
    assert low != wanted and abs(low - wanted) < 0.05 * wanted
    assert float(torch.nn.functional.cosine_similarity(exact, rough, dim=0)) > 0.9


def test_a_model_of_small_layers_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"no layer has 1,048,576 weights .*; write bf16"):
        in_fp8(random_decoder(SHAPE))
