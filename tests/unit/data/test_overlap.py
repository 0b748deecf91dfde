"""Windows of val that stand in train."""

from __future__ import annotations

import numpy as np
import pytest

from tests.corpora import stream
from wellfit.data import Split
from wellfit.data.overlap import overlap


def text_split(tokens, bytes_per_token=5):
    ids = np.asarray(tokens, dtype=np.uint16)
    return Split("x", ids, np.zeros(1, dtype=np.int64), len(ids) * bytes_per_token, "a" * 64)


def by_hand(split, train, width):
    """Windows as tuples in a set."""
    windows = {tuple(train[i : i + width]) for i in range(len(train) - width + 1)}
    return sum(tuple(split[i : i + width]) in windows for i in range(len(split) - width + 1))


def test_windows_are_found_wherever_they_stand(rng):
    train = rng.integers(0, 1000, 5000).tolist()
    val = [*rng.integers(0, 1000, 200), *train[3000:3100], *rng.integers(0, 1000, 200), *train[:40]]
    found = overlap(text_split(val), text_split(train))
    # 75 bytes at 5 bytes a token are 15 tokens: 86 windows of the first copy, 26 of the second
    assert (found.window_tokens, found.windows) == (15, len(val) - 14)
    assert found.found == by_hand(val, train, 15) == 86 + 26


def test_every_window_is_hashed_alike_across_blocks(rng, monkeypatch):
    train = rng.integers(0, 50, 3000)
    whole = overlap(text_split(train), text_split(train))
    monkeypatch.setattr("wellfit.data.overlap._TOKENS_AT_ONCE", 64)
    # read in one block or in many, everything stands in itself
    assert whole == overlap(text_split(train), text_split(train))
    assert whole.found == whole.windows == 2986


def test_a_sample_of_a_large_split_gives_about_the_same_share(rng, monkeypatch):
    train = rng.integers(0, 1000, 40_000)
    val = np.concatenate([train[5000:15_000], rng.integers(0, 1000, 10_000)])
    whole = overlap(text_split(val), text_split(train))
    monkeypatch.setattr("wellfit.data.overlap._SAMPLE", 2000)
    sample = overlap(text_split(val), text_split(train))
    # about 2000 of 20,000 windows; one standard deviation of the share is 0.011
    assert 1500 < sample.windows < 2500
    assert sample.found / sample.windows == pytest.approx(whole.found / whole.windows, abs=0.05)


def test_a_window_spans_about_thirteen_words_whatever_the_tokens():
    # characters: 75 of them
    assert overlap(text_split(range(100), 1), text_split(range(100), 1)).window_tokens == 75
    # very long tokens: at least 8, for fewer would be found by chance
    assert overlap(text_split(range(100), 50), text_split(range(100), 50)).window_tokens == 8


def test_a_split_shorter_than_a_window_has_nothing_to_look_at():
    # no share is told of nothing
    assert overlap(stream([1, 2, 3]), text_split(range(100)))[:2] == (0, 0)
    # and a short train holds nothing
    assert overlap(text_split(range(100)), text_split([1, 2]))[1] == 0
