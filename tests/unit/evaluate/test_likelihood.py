"""Likelihoods against plain loops, perplexity against the recipe of transformers' own pages."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
import tokenizers
import torch

from tests.tiny_models import (
    SHAPES,
    finished_run,
    random_decoder,
    random_tokens,
    tiny_tokenizer,
)
from wellfit.evaluate import likelihood
from wellfit.evaluate.likelihood import Reader, continuations, perplexities, strided
from wellfit.model import generate_batch
from wellfit.tokenizer import bpe_tokenizer, load_tokenizer

CONTEXT = 24


def reader(*, separate: bool = True, name: str = "llama") -> Reader:
    decoder = random_decoder(SHAPES[name])
    return Reader(decoder, tiny_tokenizer(separate=separate), context=CONTEXT)


def words(rng: np.random.Generator, n: int) -> str:
    return " ".join("".join(rng.choice(list("abcdef"), 3)) for _ in range(n))


def plain_nats(model: Reader, ids: list[int], first: int) -> list[float]:
    """One token at a time, each from all that stands before it."""
    out = []
    for i in range(first, len(ids)):
        with torch.no_grad():
            logp_V = model.model(torch.tensor([ids[max(0, i - CONTEXT) : i]]))[0, -1]
        out.append(-float(logp_V.log_softmax(-1)[ids[i]]))
    return out


@pytest.mark.parametrize("stride", [1, 5, 12, 24])
@pytest.mark.parametrize("n", [2, 24, 25, 26, 100])
def test_each_token_is_scored_once_with_enough_before_it(n: int, stride: int) -> None:
    model, tokens = reader(separate=False), random_tokens(n).numpy()
    windows = strided(model, [tokens], stride=stride)
    assert windows.counts.sum() == n - 1
    wanted, done = np.zeros(len(windows.nats)), 1
    for window, count in enumerate(windows.counts.tolist()):
        end = done + count
        for i in range(done, end):
            before = tokens[max(0, end - CONTEXT - 1) : i]
            assert len(before) >= min(i, CONTEXT - stride + 1)
            with torch.no_grad():
                logp_V = model.model(torch.from_numpy(before)[None])[0, -1].log_softmax(-1)
            wanted[window] -= float(logp_V[tokens[i]])
        done = end
    np.testing.assert_allclose(windows.nats, wanted, rtol=1e-4)


def test_a_stride_of_the_context_gives_the_losses_of_blocks_side_by_side() -> None:
    model, tokens_T = reader(separate=False), random_tokens(97)
    wanted = []
    for start in range(0, 96, CONTEXT):
        block = tokens_T[start : start + CONTEXT + 1]
        with torch.no_grad():
            logits_TV = model.model(block[None, :-1])[0]
        wanted.append(
            float(torch.nn.functional.cross_entropy(logits_TV, block[1:]) * (len(block) - 1))
        )
    found = strided(model, [tokens_T.numpy()], stride=CONTEXT)
    np.testing.assert_allclose(found.nats, wanted, rtol=1e-5)


@pytest.mark.parametrize("stride", [4, 11, 22])
def test_perplexity_is_that_of_transformers_recipe(stride: int, run_path) -> None:
    transformers = pytest.importorskip("transformers")
    folder = finished_run(run_path, "llama") / "model"
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    # as many as fill the last window, which the recipe else cuts short
    tokens_BT = random_tokens(1, 1 + 22 + 2 * 44)
    # https://huggingface.co/docs/transformers/perplexity, which counts the token to be told
    # among those of the window
    window, before, total, n = CONTEXT - 1, 0, 0.0, 0
    for start in range(0, tokens_BT.shape[1], stride):
        end = min(start + window, tokens_BT.shape[1])
        ids = tokens_BT[:, start:end]
        wanted = ids.clone()
        wanted[:, : -(end - before)] = -100
        with torch.no_grad():
            loss = theirs(ids, labels=wanted).loss
        scored = int((wanted != -100).sum()) - int(wanted[0, 0] != -100)
        total, n, before = total + float(loss) * scored, n + scored, end
        if end == tokens_BT.shape[1]:
            break
    ours = Reader(random_decoder(SHAPES["llama"]), tiny_tokenizer(separate=False), window - 1)
    found = strided(ours, [tokens_BT[0].numpy()], stride=stride)
    assert found.counts.sum() == n
    assert found.nats.sum() == pytest.approx(total, rel=1e-5)


def test_perplexity_by_token_word_and_byte() -> None:
    model, rng = reader(), np.random.default_rng(1)
    texts = [words(rng, n) + " \u00e9" for n in (1, 3, 5, 11)]
    end = model.tokenizer.eos_id
    nats = [plain_nats(model, [end, *model.tokenizer.encode(text).tolist()], 1) for text in texts]
    total, n = sum(map(sum, nats)), sum(map(len, nats))
    windows = strided(model, model.tokenizer.encode_batch(texts), stride=1)
    n_bytes = sum(len(text.encode()) for text in texts)
    found = perplexities(windows, token=n, word=24, byte=n_bytes)
    # a stride of 1 is the plain loop
    for name, size in {"token": n, "word": 24, "byte": n_bytes}.items():
        metric = found[f"{name}_perplexity"]
        assert metric.value == pytest.approx(np.exp(total / size), rel=1e-4)
        assert metric.n == size
        assert metric.ci95[0] < metric.value < metric.ci95[1]
    # two bytes for one character
    assert n_bytes == n + 4


def test_without_an_end_of_text_the_first_token_is_not_scored() -> None:
    alone = reader(separate=False)
    texts = alone.tokenizer.encode_batch(["abcde", "fab"])
    assert strided(alone, texts, stride=4).counts.tolist() == [4, 2]
    found = continuations(alone, [("", "abc")])
    ids = alone.tokenizer.encode("abc").tolist()
    assert found.nats[0] == pytest.approx(sum(plain_nats(alone, ids, 1)), rel=1e-5)


def test_continuations_are_scored_after_their_context() -> None:
    model, rng = reader(), np.random.default_rng(2)
    pairs = [(words(rng, n), " " + words(rng, m)) for n, m in rng.integers(1, 5, (30, 2))]
    pairs += [("", "abc"), ("ab ", "cd"), ("abc", "d")]
    found = continuations(model, pairs)
    end = model.tokenizer.eos_id
    for i, (context, text) in enumerate(pairs):
        ids, first = model.tokenizer.encode(context + text).tolist(), len(context.rstrip())
        if not context:
            ids, first = [end, *ids], 1
        dropped = max(0, len(ids) - CONTEXT - 1)
        nats = plain_nats(model, ids[dropped:], first - dropped)
        assert found.nats[i] == pytest.approx(sum(nats), rel=1e-5)
    assert not found.greedy.all()


def test_what_the_model_would_write_is_greedy() -> None:
    model, end = reader(), 36
    prompts = [[i, j, 5] for i in range(2, 8) for j in range(2, 8)]
    texts = generate_batch(model.model, prompts, n_tokens=3, stop_id=end)
    prompt, written = next((p, t) for p, t in zip(prompts, texts, strict=True) if len(t) == 3)
    others = [[*written[:2], i] for i in range(5) if i != written[2]]
    pairs = [
        (model.tokenizer.decode(prompt), model.tokenizer.decode(t)) for t in (written, *others)
    ]
    found = continuations(model, pairs)
    assert found.greedy.tolist() == [True] + [False] * len(others)
    assert found.nats.argmin() == 0


def test_what_does_not_fit_is_cut_in_front_and_said() -> None:
    model, long = reader(), "abcdef" * 5
    pairs = [("ab", "c"), (long, "c"), (long, long), ("", long), ("ab", long), ("", long[:24])]
    found = continuations(model, pairs)
    assert found.cut.tolist() == [False, True, True, True, True, False]
    # the second loses context alone; each of the next three a part of what is scored
    assert found.partial.tolist() == [False, False, True, True, True, False]
    ids = model.tokenizer.encode(long + "c").tolist()
    assert found.nats[1] == pytest.approx(sum(plain_nats(model, ids[-25:], 24)), rel=1e-5)


def test_a_text_begins_as_the_published_tokenizer_says(tmp_path) -> None:
    bpe_tokenizer(["ab cd"] * 9, vocab=300, separate=True).save(tmp_path)
    (tmp_path / "wellfit_tokenizer.json").unlink()  # now it is anyone's
    plain = load_tokenizer(tmp_path)
    end, ids = plain.eos_id, plain.encode("ab cd").tolist()
    library = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    library.add_special_tokens(["<bos>"])
    begin, seen = library.token_to_id("<bos>"), []

    def texts_of(named: str | None) -> list[list[int]]:
        """The rows that are read for a text without context, and for one with."""
        library.save(str(tmp_path / "tokenizer.json"))
        settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
        settings["bos_token"] = named
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
        seen.clear()
        shape = dataclasses.replace(SHAPES["llama"], vocab=library.get_vocab_size())
        decoder = Watched(random_decoder(shape), seen)
        continuations(Reader(decoder, load_tokenizer(tmp_path), CONTEXT), [("", "ab cd")])
        continuations(Reader(decoder, load_tokenizer(tmp_path), CONTEXT), [("ab", " cd")])
        return [rows[0] for rows in seen]

    assert texts_of(None) == [[end, *ids[:-1]], ids[:-1]]
    # named, and put before nothing: it stands for a context where there is none
    assert texts_of("<bos>") == [[begin, *ids[:-1]], ids[:-1]]
    template = tokenizers.processors.TemplateProcessing("<bos> $A", None, [("<bos>", begin)])
    library.post_processor = template
    assert texts_of("<bos>") == [[begin, *ids[:-1]]] * 2


class Watched:
    """A decoder that writes down what it reads, and of how many places it gives logits."""

    def __init__(self, decoder: Any, seen: list[Any], places: list[int] | None = None) -> None:
        self.decoder, self.seen, self.places = decoder, seen, places

    def hidden(self, tokens_BT: torch.Tensor) -> torch.Tensor:
        self.seen.append(tokens_BT.tolist())
        return self.decoder.hidden(tokens_BT)

    def logits(self, hidden_CD: torch.Tensor) -> torch.Tensor:
        if self.places is not None:
            self.places.append(len(hidden_CD))
        return self.decoder.logits(hidden_CD)


def test_rows_of_one_length_are_read_together_and_none_is_padded() -> None:
    tiny, seen, places = reader(), [], []
    model = Reader(Watched(tiny.model, seen, places), tiny.tokenizer, context=CONTEXT)
    continuations(model, [("ab", "c"), ("a", "bcd"), ("abc", "d"), ("c", "de")])
    assert sorted((len(rows), len(rows[0])) for rows in seen) == [(2, 2), (2, 3)]
    # logits only of the places that are scored: 1 + 2 and 1 + 3
    assert sorted(places) == [3, 4]


def test_logits_are_bounded_however_long_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny, places = reader(), []
    whole = strided(tiny, [random_tokens(200).numpy()], stride=8)
    monkeypatch.setattr(likelihood, "_LOGITS_AT_ONCE", 37 * 5)
    model = Reader(Watched(tiny.model, [], places), tiny.tokenizer, context=CONTEXT)
    np.testing.assert_allclose(
        strided(model, [random_tokens(200).numpy()], stride=8).nats, whole.nats, rtol=1e-6
    )
    assert max(places) == 5
