"""Likelihoods against plain loops, and against the strided recipe of transformers' own pages."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.tiny_models import (
    SHAPES,
    finished_run,
    random_decoder,
    random_tokens,
    tiny_tokenizer,
)
from wellfit.evaluate.likelihood import (
    Question,
    Reader,
    continuations,
    last_words,
    minimal_pairs,
    multiple_choice,
    perplexity,
    strided_nats,
)
from wellfit.model import generate_batch

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
            logp_V = model.logits_of(torch.tensor([ids[max(0, i - CONTEXT) : i]]))[0, -1]
        out.append(-float(logp_V.log_softmax(-1)[ids[i]]))
    return out


@pytest.mark.parametrize("stride", [1, 5, 12, 24])
@pytest.mark.parametrize("n", [2, 24, 25, 26, 100])
def test_each_token_is_scored_once_with_enough_before_it(n: int, stride: int) -> None:
    model, tokens = reader(), random_tokens(n).numpy()
    nats = strided_nats(model, tokens, stride=stride)
    assert nats.shape == (n - 1,)
    for i in range(1, n):
        turn = max(0, -(-(i - CONTEXT) // stride))  # the first window that reaches token i
        before = tokens[turn * stride : i]
        assert len(before) >= min(i, CONTEXT - stride + 1)
        with torch.no_grad():
            logp_V = model.logits_of(torch.from_numpy(before)[None])[0, -1].log_softmax(-1)
        assert nats[i - 1] == pytest.approx(-float(logp_V[tokens[i]]), abs=1e-4)


def test_a_stride_of_the_context_gives_the_losses_of_blocks_side_by_side() -> None:
    model, tokens_T = reader(), random_tokens(103)
    wanted = []
    for start in range(0, 102, CONTEXT):
        block = tokens_T[start : start + CONTEXT + 1]
        with torch.no_grad():
            logits_TV = model.logits_of(block[None, :-1])[0]
        wanted += torch.nn.functional.cross_entropy(logits_TV, block[1:], reduction="none").tolist()
    np.testing.assert_allclose(
        strided_nats(model, tokens_T.numpy(), stride=CONTEXT), wanted, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("stride", [4, 11, 22])
def test_perplexity_is_that_of_transformers_recipe(stride: int, run_path) -> None:
    transformers = pytest.importorskip("transformers")
    folder = finished_run(run_path, "llama") / "model"
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokens_BT = random_tokens(1, 101)
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
    ours = Reader(random_decoder(SHAPES["llama"]), tiny_tokenizer(separate=True), window - 1)
    nats = strided_nats(ours, tokens_BT[0].numpy(), stride=stride)
    assert (len(nats), nats.mean()) == (n, pytest.approx(total / n, rel=1e-5))


def test_perplexity_by_token_word_and_byte() -> None:
    model, rng = reader(), np.random.default_rng(1)
    texts = [words(rng, n) + " \u00e9" for n in (1, 3, 5, 11)]
    end = model.tokenizer.eos_id
    nats = [plain_nats(model, [end, *model.tokenizer.encode(text).tolist()], 1) for text in texts]
    total, n = sum(map(sum, nats)), sum(map(len, nats))
    found = perplexity(model, texts, stride=1)
    # a stride of 1 is the plain loop
    assert found["perplexity"].value == pytest.approx(np.exp(total / n), rel=1e-4)
    assert found["word_perplexity"].value == pytest.approx(np.exp(total / 24), rel=1e-4)
    n_bytes = sum(len(text.encode()) for text in texts)
    assert found["byte_perplexity"].value == pytest.approx(np.exp(total / n_bytes), rel=1e-4)
    # two bytes for one character
    assert n_bytes == n + 4
    assert [metric.n for metric in found.values()] == [n, 24, n_bytes]
    for metric in found.values():
        assert metric.ci95[0] < metric.value < metric.ci95[1]


def test_without_an_end_of_text_the_first_token_is_not_scored() -> None:
    alone = reader(separate=False)
    assert perplexity(alone, ["abcde", "fab"])["perplexity"].n == 6
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
    texts = generate_batch(model.logits_of, prompts, n_tokens=3, stop_id=end)
    prompt, written = next((p, t) for p, t in zip(prompts, texts, strict=True) if len(t) == 3)
    others = [[*written[:2], i] for i in range(5) if i != written[2]]
    pairs = [
        (model.tokenizer.decode(prompt), model.tokenizer.decode(t)) for t in (written, *others)
    ]
    found = continuations(model, pairs)
    assert found.greedy.tolist() == [True] + [False] * len(others)
    assert found.nats.argmin() == 0


def certain(favourite: str) -> Reader:
    """A model that expects one character always, e times as much as any other."""
    tokenizer = tiny_tokenizer(separate=True)
    (liked,) = tokenizer.encode(favourite)

    def logits_of(tokens_BT: torch.Tensor) -> torch.Tensor:
        return torch.eye(37)[int(liked)].expand(*tokens_BT.shape, 37)

    return Reader(logits_of, tokenizer, context=CONTEXT)


def test_choices_by_hand() -> None:
    model = certain("a")
    questions = [
        # the shortest is the likeliest as a whole, "aaaa" by character
        Question("b", ["aaaa", "b"], 0),
        Question("b", ["aaaa", "b"], 1),
        Question("b", ["ab", "aa", "bb"], 1),
    ]
    found = multiple_choice(model, questions)
    assert found["accuracy"].value == pytest.approx(2 / 3)
    assert found["accuracy_norm"].value == pytest.approx(2 / 3)
    only = multiple_choice(model, questions[:1])
    assert (only["accuracy"].value, only["accuracy_norm"].value) == (0, 1)
    assert found["accuracy"].n == 3


def test_minimal_pairs_by_hand() -> None:
    pairs = [("aab", "abb"), ("aaa", "bbb"), ("bbb", "aaa"), ("aab", "aba")]
    found = minimal_pairs(certain("a"), pairs, ["x", "x", "y", "y"])
    # of two equally likely sentences the good one is taken, as by the harness
    assert {name: (m.value, m.n) for name, m in found.items()} == {
        "accuracy": (0.75, 4),
        "accuracy_x": (1.0, 2),
        "accuracy_y": (0.5, 2),
    }


def test_last_words_by_hand() -> None:
    model = certain(" ")
    found = last_words(model, ["ab ab", "ab  "])
    # the words are " ab" and, as spaces at the end of a context go to the word, "  "
    assert (found["accuracy"].value, found["accuracy"].n) == (0.5, 2)
    liked = np.log(np.e / (np.e + 36))
    mean = ((liked + 2 * (liked - 1)) + 2 * liked) / 2
    assert found["perplexity"].value == pytest.approx(np.exp(-mean))


def test_rows_of_one_length_are_read_together_and_none_is_padded() -> None:
    tiny, seen = reader(), []

    def logits_of(tokens_BT: torch.Tensor) -> torch.Tensor:
        seen.append(tuple(tokens_BT.shape))
        return tiny.logits_of(tokens_BT)

    model = Reader(logits_of, tiny.tokenizer, context=CONTEXT)
    continuations(model, [("ab", "c"), ("a", "bcd"), ("abc", "d"), ("c", "de")])
    assert sorted(seen) == [(2, 2), (2, 3)]


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="stride 25: write 1 to the context, 24"):
        perplexity(reader(), ["abc"], stride=25)
    with pytest.raises(ValueError, match="nothing to measure"):
        perplexity(reader(), [])
