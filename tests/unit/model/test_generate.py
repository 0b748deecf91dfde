"""Sampling: the cache changes nothing, every draw is a function of (seed, position)."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from tests.tiny_models import SHAPES, random_decoder, random_tokens
from wellfit.errors import ConfigError, WellfitError
from wellfit.model import generate
from wellfit.model.decoder import Cache
from wellfit.model.generate import draw, restrict

ALL = {"temperature": 0.9, "top_k": 20, "top_p": 0.9, "seed": 5}
CONTEXT = 24


def without_cache(decoder, prompt: list[int], n_tokens: int, **how) -> list[int]:
    """The same text by reading the whole window again for each token."""
    text = list(prompt)
    start = max(0, len(prompt) - CONTEXT)
    for _ in range(n_tokens):
        if len(text) - start == CONTEXT + 1:
            start += CONTEXT // 2 + 1
        with torch.no_grad():
            logits_V = decoder(torch.tensor([text[start:]]))[0, -1]
        kept = {"temperature": 1.0, "top_k": None, "top_p": None, **how}
        probs_V = restrict(logits_V.double(), **{k: kept[k] for k in kept if k != "seed"})
        text.append(draw(probs_V, seed=how.get("seed", 1), position=len(text)))
    return text[len(prompt) :]


@pytest.mark.parametrize("name", SHAPES)
def test_cached_logits_are_the_uncached_ones(name):
    decoder = random_decoder(SHAPES[name])
    tokens_BT = random_tokens(2, CONTEXT)
    cache = Cache(decoder.shape, 2, CONTEXT, torch.empty(0))
    with torch.no_grad():
        whole = decoder(tokens_BT)
        # a prompt, a piece of several tokens, and one by one
        cuts = [(0, 5), (5, 9), *((i, i + 1) for i in range(9, CONTEXT))]
        parts = [decoder(tokens_BT[:, a:b], cache=cache) for a, b in cuts]
    # the same function in float32; sums in another order, on logits of a few units
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=0, atol=2e-5)


@pytest.mark.parametrize(("n_prompt", "how"), [(1, {"temperature": 0}), (7, {}), (40, ALL)])
@pytest.mark.parametrize("name", SHAPES)
def test_cached_text_is_the_uncached_one_past_the_end_of_the_context(name, how, n_prompt):
    decoder = random_decoder(SHAPES[name])
    prompt = random_tokens(n_prompt, seed=2).tolist()
    # around the window, with prompts shorter and longer than it
    assert list(generate(decoder, prompt, n_tokens=40, **how)) == without_cache(
        decoder, prompt, 40, **how
    )


def test_when_the_context_is_full_the_window_restarts_from_its_last_half():
    decoder = random_decoder(SHAPES["llama"])
    lengths = []
    hook = decoder.embed.register_forward_hook(lambda m, i, o: lengths.append(i[0].shape[1]))
    prompt = random_tokens(20).tolist()
    list(generate(decoder, prompt, n_tokens=20))
    hook.remove()
    # the prompt, 4 single tokens fill the 24, half of them are read again, and on singly
    assert lengths == [20, 1, 1, 1, 1, 12, *[1] * 12, 12, 1]


def test_one_token_asks_for_no_mask(monkeypatch):
    decoder = random_decoder(SHAPES["llama"])
    masks = []
    attend = torch.nn.functional.scaled_dot_product_attention

    def watched(*args, attn_mask, **more):
        masks.append(attn_mask)
        return attend(*args, attn_mask=attn_mask, **more)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", watched)
    list(generate(decoder, random_tokens(5).tolist(), n_tokens=10))
    # the cost of a token does not grow by a square of what came before: the prompt, which is
    # causal without one, then 9 tokens, each through 2 blocks
    assert masks == [None] * 20


def test_a_text_cut_and_continued_goes_on_as_if_uncut():
    decoder = random_decoder(SHAPES["qwen3"])
    prompt = random_tokens(4).tolist()
    whole = list(generate(decoder, prompt, n_tokens=16, **ALL))
    first = list(generate(decoder, prompt, n_tokens=6, **ALL))
    # draws depend on the position in the text, not on where generating began
    assert first + list(generate(decoder, prompt + first, n_tokens=10, **ALL)) == whole


def test_seeds_differ_and_repeat():
    decoder = random_decoder(SHAPES["llama"])
    texts = [list(generate(decoder, [1], n_tokens=20, seed=s)) for s in (1, 1, 2)]
    # the same seed, the same text; another seed, another
    assert texts[0] == texts[1] != texts[2]


def test_text_ends_before_the_stop_token():
    decoder = random_decoder(SHAPES["llama"])
    whole = list(generate(decoder, [1], n_tokens=20))
    stop_id = whole[6]
    # the stop token itself is not part of the text
    assert (
        list(generate(decoder, [1], n_tokens=20, stop_id=stop_id)) == whole[: whole.index(stop_id)]
    )


def test_a_context_of_one_token_still_writes():
    one = random_decoder(dataclasses.replace(SHAPES["gpt2"], context=1))
    # each token from the one before alone
    assert len(list(generate(one, [1, 2, 3], n_tokens=5))) == 5


def test_nothing_is_drawn_before_it_is_asked_for_and_gradients_stay_on():
    decoder = random_decoder(SHAPES["llama"])
    texts = generate(decoder, [1], n_tokens=3)
    next(texts)
    # between tokens the caller's mode is untouched
    assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
    assert len(list(texts)) == 2


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ({"prompt_ids": []}, "holds no token"),
        ({"prompt_ids": [1, 37]}, "token 37, and the vocabulary is 0 to 36"),
        ({"temperature": -0.1}, "temperature -0.1"),
        ({"temperature": math.nan}, "temperature nan"),
        ({"top_k": 0}, "top_k 0"),
        ({"top_p": 0.0}, "top_p 0.0"),
        ({"top_p": 1.1}, "top_p 1.1"),
        ({"n_tokens": -1}, "cannot generate -1"),
    ],
)
def test_what_cannot_be_is_refused_at_once(how, text):
    decoder = random_decoder(SHAPES["llama"])
    asked = {"prompt_ids": [1], "n_tokens": 3, **how}
    # when it is called, not when the first token is taken
    with pytest.raises(ConfigError, match=text):
        generate(decoder, asked.pop("prompt_ids"), **asked)


def test_a_spoilt_model_is_named_as_such():
    decoder = random_decoder(SHAPES["llama"])
    with torch.no_grad():
        decoder.head.weight[3, 3] = math.nan
    # an error that says what to do, not a nonsense token
    with pytest.raises(WellfitError, match="not finite after 1 tokens"):
        list(generate(decoder, [1], n_tokens=3))


def logits(seed: int, n: int = 37) -> torch.Tensor:
    draws = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(n, generator=draws, dtype=torch.float64)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
@pytest.mark.parametrize(("top_k", "top_p"), [(None, None), (5, None), (None, 0.8), (9, 0.6)])
def test_what_is_kept_is_what_transformers_keeps(temperature, top_k, top_p):
    warpers = pytest.importorskip("transformers.generation.logits_process")
    for seed in range(20):
        logits_V = logits(seed)
        scores = warpers.TemperatureLogitsWarper(temperature)(None, logits_V[None])
        if top_k is not None:
            scores = warpers.TopKLogitsWarper(top_k)(None, scores)
        if top_p is not None:
            scores = warpers.TopPLogitsWarper(top_p)(None, scores)
        probs_V = restrict(logits_V, temperature=temperature, top_k=top_k, top_p=top_p)
        # the same distribution, by code that we did not write
        torch.testing.assert_close(probs_V / probs_V.sum(), scores[0].softmax(-1))


def test_top_p_keeps_the_fewest_that_reach_it():
    logits_V = torch.tensor([0.5, 0.25, 0.125, 0.125], dtype=torch.float64).log()
    kept = {
        p: int((restrict(logits_V, temperature=1.0, top_k=None, top_p=p) > 0).sum())
        for p in (0.1, 0.5, 0.6, 0.75, 0.8, 1.0)
    }
    # by hand: running sums are 0.5, 0.75, 0.875, 1; the likeliest always stays
    assert kept == {0.1: 1, 0.5: 1, 0.6: 2, 0.75: 2, 0.8: 3, 1.0: 4}


def test_greedy_and_nearly_zero_temperature_agree():
    for seed in range(10):
        logits_V = logits(seed)
        cold_V = restrict(logits_V, temperature=1e-12, top_k=None, top_p=None)
        # the limit is the likeliest token, and is reached without overflow
        assert torch.equal(cold_V, restrict(logits_V, temperature=0, top_k=3, top_p=0.5))


def test_draws_follow_the_probabilities():
    probs_V = torch.tensor([0.0, 0.1, 0.0, 0.6, 0.3, 0.0], dtype=torch.float64)
    n = 4000
    tokens = [draw(probs_V, seed=11, position=i) for i in range(n)]
    counts = torch.bincount(torch.tensor(tokens), minlength=6)
    # never a token of probability 0
    assert not counts[probs_V == 0].any()
    # chi-squared of 2 degrees of freedom exceeds 13.8 once in a thousand seeds
    expected = n * probs_V[probs_V > 0]
    assert float(((counts[probs_V > 0] - expected) ** 2 / expected).sum()) < 13.8
