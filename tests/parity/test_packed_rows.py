"""Several texts in a row are computed as if each stood alone."""

from __future__ import annotations

import pytest
import torch

from tests.tiny_models import SHAPES, random_decoder, random_tokens

LENGTHS = ((9, 4, 8), (1, 20), (24,))  # the first two rows end in padding
TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}  # float32 sums in another order


def _packed() -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Segments of each place in three rows of 24, and where each text lies in them."""
    segments_BT = torch.full((3, 24), -1)
    texts = []
    for row, lengths in enumerate(LENGTHS):
        start = 0
        for number, n in enumerate(lengths):
            segments_BT[row, start : start + n] = number
            texts.append((row, slice(start, start + n)))
            start += n
    return segments_BT, texts


def _loss(logits: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(
        logits.flatten(0, -2), tokens.flatten(), reduction="sum"
    )


@pytest.mark.parametrize("long", [False, True], ids=["kept weights", "torch's attention"])
@pytest.mark.parametrize("name", SHAPES)
def test_packed_texts_have_the_logits_and_gradients_of_each_alone(name, long, monkeypatch):
    if long:  # as on a GPU, and for long rows
        monkeypatch.setattr("wellfit.model.fused.LONGEST", 0)
    decoder, (segments_BT, texts) = random_decoder(SHAPES[name]), _packed()
    tokens_BT, targets_BT = random_tokens(3, 24), random_tokens(3, 24, seed=2)
    logits_BTV = decoder(tokens_BT, segments_BT=segments_BT)
    alone = [decoder(tokens_BT[row, span][None])[0] for row, span in texts]
    for (row, span), logits_TV in zip(texts, alone, strict=True):
        # the same predictions, positions and all
        torch.testing.assert_close(logits_BTV[row, span], logits_TV, **TOLERANCE)
    real = segments_BT >= 0
    _loss(logits_BTV[real], targets_BT[real]).backward()
    packed = {n: p.grad.clone() for n, p in decoder.named_parameters()}
    decoder.zero_grad()
    sum(
        _loss(logits, targets_BT[row, span])
        for (row, span), logits in zip(texts, alone, strict=True)
    ).backward()
    for parameter, gradient in packed.items():
        found = dict(decoder.named_parameters())[parameter].grad
        # and the same step
        atol = 1e-5 * max(1.0, float(found.abs().max()))
        torch.testing.assert_close(gradient, found, rtol=1e-4, atol=atol)


@pytest.mark.parametrize("name", SHAPES)
def test_no_gradient_crosses_from_one_text_to_another(name):
    decoder, (segments_BT, texts) = random_decoder(SHAPES[name]), _packed()
    embedded = []

    def watch(module: torch.nn.Module, inputs: object, x: torch.Tensor) -> torch.Tensor:
        embedded.append(x.detach().requires_grad_())
        return embedded[-1]

    decoder.embed.register_forward_hook(watch)
    row, span = texts[1]
    logits_BTV = decoder(random_tokens(3, 24), segments_BT=segments_BT)
    logits_BTV[row, span].square().sum().backward()
    moved_BT = embedded[-1].grad.abs().amax(dim=-1)
    # guards the test itself: a text depends on itself
    assert moved_BT[row, span].all()
    moved_BT[row, span] = 0
    # exactly zero everywhere else: a tiny leak is a leak
    assert not moved_BT.any()


def test_padding_is_finite_and_harms_nobody():
    decoder = random_decoder(SHAPES["llama"])
    segments_BT = torch.full((2, 8), -1)  # not one text in it
    logits_BTV = decoder(random_tokens(2, 8), segments_BT=segments_BT)
    logits_BTV.sum().backward()
    # no row of scores is without a place to look at
    assert logits_BTV.isfinite().all()
    assert all(p.grad.isfinite().all() for p in decoder.parameters())


def test_shared_heads_are_copied_where_that_is_faster():
    decoder, plain = (random_decoder(SHAPES["llama, other base"]) for _ in range(2))
    decoder.compute = torch.bfloat16
    tokens_BT = random_tokens(3, 24)
    # bfloat16 has three digits
    torch.testing.assert_close(decoder(tokens_BT).float(), plain(tokens_BT), rtol=0.05, atol=0.1)
