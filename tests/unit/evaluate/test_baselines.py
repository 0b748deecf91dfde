"""Counting baselines against hand-worked cases and a direct count."""

from __future__ import annotations

import math

import numpy as np
import pytest

from wellfit.data import Split, eval_blocks
from wellfit.evaluate.baselines import count_train, score


def _split(tokens: list[int], name: str = "train") -> Split:
    ids = np.array(tokens, dtype=np.uint16)
    return Split(name, ids, np.array([0]), n_bytes=len(ids), fingerprint="0" * 64)


def test_unigram_is_the_share_of_each_token_with_one_added() -> None:
    counts = count_train(_split([0, 0, 0, 1] * 10), vocab=3)
    # 29, 10 and 0 of 39 targets (the first token is none), one added to each
    shares = counts.unigram_probability(np.array([0, 1, 2]))
    np.testing.assert_allclose(shares, [30 / 42, 11 / 42, 1 / 42])


def test_probabilities_sum_to_one_after_every_token(rng: np.random.Generator) -> None:
    counts = count_train(_split(rng.integers(0, 7, 500).tolist()), vocab=9)
    tokens = np.arange(9)
    assert counts.unigram_probability(tokens).sum() == pytest.approx(1)
    for before in range(9):
        shares = counts.bigram_probability(np.full(9, before), tokens)
        assert shares.sum() == pytest.approx(1), before


def test_bigram_knows_a_text_in_which_each_token_decides_the_next() -> None:
    text = [0, 1, 2, 3] * 100
    baselines = score(count_train(_split(text), vocab=4), eval_blocks(_split(text), context=8))
    assert baselines.losses["uniform"] == pytest.approx(math.log(4))
    assert baselines.losses["unigram"] == pytest.approx(math.log(4), abs=0.01)
    assert baselines.losses["bigram"] < 0.05


def test_pairs_are_counted_as_a_plain_loop_counts_them(rng: np.random.Generator) -> None:
    tokens = rng.integers(0, 5, 300).tolist()
    counts = count_train(_split(tokens), vocab=5)
    for first in range(5):
        for second in range(5):
            plain = sum(
                a == first and b == second for a, b in zip(tokens, tokens[1:], strict=False)
            )
            at = np.flatnonzero(counts.pair_keys == first * 5 + second)
            assert (int(counts.pair_counts[at[0]]) if len(at) else 0) == plain


def test_block_sums_add_up_to_the_loss_and_skip_padding(rng: np.random.Generator) -> None:
    train, val = (_split(rng.integers(0, 6, n).tolist()) for n in (400, 53))
    blocks = eval_blocks(val, context=8)
    baselines = score(count_train(train, vocab=6), blocks)
    assert blocks.counts.sum() == 52
    assert baselines.mark_losses.sum() / 52 == pytest.approx(baselines.losses["bigram"])
