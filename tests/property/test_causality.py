"""A prediction depends on what came before it and on nothing after, by its gradient."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tiny_models import SHAPES, random_decoder, random_tokens

DECODERS = {name: random_decoder(shape) for name, shape in SHAPES.items()}


def influence(decoder: torch.nn.Module, tokens_BT: torch.Tensor, position: int) -> torch.Tensor:
    """How strongly the embedding of each token (B, T) moves the first text's logits there."""
    seen = []

    def watch(module: torch.nn.Module, inputs: object, embedded_BTD: torch.Tensor) -> torch.Tensor:
        seen.append(embedded_BTD.detach().requires_grad_())
        return seen[0]

    hook = decoder.embed.register_forward_hook(watch)
    try:
        # squares, because a softmax-like sum of logits can have a gradient of zero
        decoder(tokens_BT)[0, position].square().sum().backward()
    finally:
        hook.remove()
    return seen[0].grad.abs().amax(dim=-1)


@settings(max_examples=25)
@given(st.sampled_from(sorted(SHAPES)), st.integers(2, 24), st.data())
def test_nothing_after_a_position_and_no_other_text_moves_it(name, n_tokens, data):
    position = data.draw(st.integers(0, n_tokens - 1))
    moved_BT = influence(DECODERS[name], random_tokens(2, n_tokens, seed=n_tokens), position)
    # exactly zero: a tiny leak is a leak
    assert not moved_BT[0, position + 1 :].any()
    # texts of a batch do not see each other
    assert not moved_BT[1].any()
    # guards the test itself: all that came before does matter
    assert moved_BT[0, : position + 1].all()


@pytest.mark.parametrize("name", SHAPES)
def test_what_follows_does_not_change_a_prediction(name):
    tokens_BT = random_tokens(2, 24)
    other_BT = tokens_BT.clone()
    other_BT[:, 12:] = random_tokens(2, 12, seed=9)
    with torch.no_grad():
        first, second = DECODERS[name](tokens_BT), DECODERS[name](other_BT)
    # the same up to there
    assert torch.equal(first[:, :12], second[:, :12])
    # guards the test itself: and different from there
    assert not torch.equal(first[:, 12:], second[:, 12:])
