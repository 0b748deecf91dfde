"""Many prompts at once: the same texts as one at a time, and as transformers' beam search."""

from __future__ import annotations

import math
import warnings

import pytest
import torch

from tests.tiny_models import SHAPES, finished_run, random_decoder, random_tokens, tiny_tokenizer
from wellfit.errors import ConfigError, WellfitError
from wellfit.model import generate, generate_batch, read_published
from wellfit.model.decoder import Cache

LENGTHS = (3, 7, 3, 1, 7, 3, 12, 3, 7, 30)  # the last is longer than the context of 24


def prompts() -> list[list[int]]:
    return [random_tokens(n, seed=i).tolist() for i, n in enumerate(LENGTHS)]


def one_by_one(decoder, stop_id: int | None, n_tokens: int) -> list[list[int]]:
    how = {"n_tokens": n_tokens, "temperature": 0, "stop_id": stop_id}
    return [list(generate(decoder, prompt, **how)) for prompt in prompts()]


def frequent_token(decoder) -> int:
    """A token that ends some of the texts, some of them early."""
    texts = one_by_one(decoder, None, 12)
    counts = [sum(token in text for text in texts) for token in range(37)]
    return max(range(37), key=lambda token: min(counts[token], 6))


@pytest.mark.parametrize("at_once", [1, 100, 1 << 14])
@pytest.mark.parametrize("name", SHAPES)
def test_many_at_once_are_each_alone(name, at_once):
    decoder = random_decoder(SHAPES[name])
    stop_id = frequent_token(decoder)
    for stop in (None, stop_id):
        # in the order asked, whatever shares a batch, also where the window has to move
        found = generate_batch(decoder, prompts(), n_tokens=30, stop_id=stop, at_once=at_once)
        assert found == one_by_one(decoder, stop, 30)
    # and the stop did end some of them, at different places
    assert len({len(text) for text in found}) > 2


def test_rows_that_ended_are_not_read_on():
    decoder = random_decoder(SHAPES["llama"])
    stop_id = frequent_token(decoder)
    rows = []
    hook = decoder.embed.register_forward_hook(lambda m, i, o: rows.append(i[0].shape[0]))
    same_length = [random_tokens(5, seed=i).tolist() for i in range(20)]
    texts = generate_batch(decoder, same_length, n_tokens=18, stop_id=stop_id)
    hook.remove()
    # fewer and fewer, and no more steps than the longest text needs
    assert rows == sorted(rows, reverse=True) and rows[-1] < 20
    assert len(rows) == min(18, max(map(len, texts)) + 1)


def test_prompts_of_one_length_are_read_together():
    decoder = random_decoder(SHAPES["llama"])
    shapes = []
    hook = decoder.embed.register_forward_hook(lambda m, i, o: shapes.append(tuple(i[0].shape)))
    generate_batch(decoder, [[1, 2], [3], [4, 5], [6, 7]], n_tokens=2, stop_id=None)
    hook.remove()
    # one pass over each prompt, then a token at a time, with nothing padded
    assert shapes == [(3, 2), (3, 1), (1, 1), (1, 1)]


@pytest.mark.parametrize("length_penalty", [1.0, 0.0, 2.0])
@pytest.mark.parametrize("name", ["nanochat", "llama, shared heads, tied, bias", "gpt2"])
def test_beams_are_those_of_transformers(name, length_penalty, run_path):
    transformers = pytest.importorskip("transformers")
    folder = finished_run(run_path, name, tiny_tokenizer(separate=True)) / "model"
    decoder = read_published(folder)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    stop_id, short = frequent_token(decoder), [p for p in prompts() if len(p) <= 12]
    lengths = set()
    for beams in (2, 3, 5):
        how = {"n_tokens": 10, "stop_id": stop_id, "length_penalty": length_penalty}
        found = generate_batch(decoder, short, beams=beams, **how)
        for prompt, ours in zip(short, found, strict=True):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that the model's own settings are other ones
                text = theirs.generate(
                    torch.tensor([prompt]),
                    num_beams=beams,
                    do_sample=False,
                    max_new_tokens=10,
                    length_penalty=length_penalty,
                    eos_token_id=stop_id,
                    pad_token_id=stop_id,
                )[0, len(prompt) :].tolist()
            text = text[: text.index(stop_id)] if stop_id in text else text
            # token for token
            assert ours == text
            lengths.add(len(ours))
    # some ended by their stop, and not all at the same place
    assert len(lengths) > 1


def test_one_beam_more_finds_no_less_likely_texts():
    decoder = random_decoder(SHAPES["qwen3"])

    def nats(text: list[int]) -> float:
        with torch.no_grad():
            logp_TV = decoder(torch.tensor([[5, *text]]))[0, :-1].log_softmax(-1)
        return float(logp_TV.gather(1, torch.tensor(text)[:, None]).sum())

    greedy, wide = (
        generate_batch(decoder, [[5]], n_tokens=8, stop_id=None, beams=k)[0] for k in (1, 16)
    )
    # what beam search is for
    assert nats(wide) > nats(greedy)


def test_a_cache_goes_on_with_the_rows_that_are_selected():
    decoder = random_decoder(SHAPES["qwen3"])
    tokens_BT = random_tokens(3, 9)
    rows = torch.tensor([2, 0, 0])
    with torch.no_grad():
        cache = Cache(decoder.shape, 3, 9, torch.empty(0))
        decoder(tokens_BT[:, :8], cache=cache)
        cache.select(rows)
        last = decoder(tokens_BT[rows, 8:], cache=cache)
        # as if they had been read so from the start
        torch.testing.assert_close(last, decoder(tokens_BT[rows])[:, 8:], rtol=0, atol=2e-5)


def test_nothing_asked_is_nothing_written():
    decoder = random_decoder(SHAPES["llama"])
    assert generate_batch(decoder, [], n_tokens=3, stop_id=None) == []
    assert generate_batch(decoder, [[1]], n_tokens=0, stop_id=None) == [[]]
    assert generate_batch(decoder, [[1]], n_tokens=0, stop_id=None, beams=2) == [[]]


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"prompts": [[1], []]}, "prompt 1 holds no token"),
        ({"prompts": [[1, 37]]}, "token 37, and the vocabulary is 0 to 36"),
        ({"n_tokens": -1}, "cannot generate -1"),
        ({"beams": 0}, "beams 0"),
    ],
)
def test_what_cannot_be_is_refused(asked, text):
    decoder = random_decoder(SHAPES["llama"])
    with pytest.raises(ConfigError, match=text):
        generate_batch(decoder, **{"prompts": [[1]], "n_tokens": 3, "stop_id": None, **asked})


@pytest.mark.parametrize("beams", [1, 2])
def test_a_spoilt_model_is_named_as_such(beams):
    decoder = random_decoder(SHAPES["llama"])
    with torch.no_grad():
        decoder.head.weight[3, 3] = math.nan
    # an error that says what to do, not a nonsense token
    with pytest.raises(WellfitError, match="not finite after 1 tokens"):
        generate_batch(decoder, [[1]], n_tokens=3, stop_id=None, beams=beams)
