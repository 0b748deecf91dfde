"""Character ids and the tail split equal those of nanoGPT's own preparation, worked by hand here.

nanoGPT's data/shakespeare_char: sort the distinct characters, number them, take the first 90% of
the text for train and the rest for val, store uint16.
"""

from __future__ import annotations

import numpy as np

from tests.corpora import prepared, write
from wellfit import config
from wellfit.data import StreamFeed


def by_hand(text):
    """The steps of nanoGPT, on text as Python's text mode reads it."""
    numbers = {character: i for i, character in enumerate(sorted(set(text)))}
    cut = int(len(text) * 0.9)
    return [
        np.array([numbers[character] for character in part], dtype=np.uint16)
        for part in (text[:cut], text[cut:])
    ]


def check_equal(path, cache):
    made = prepared(path, cache, config.CharTokenizer(), split={"kind": "tail", "val": "10%"})
    with path.open(encoding="utf-8") as file:
        text = file.read()
    for name, expected in zip(("train", "val"), by_hand(text), strict=True):
        # the same ids in the same order, in the same type, and nothing between or after
        assert made.splits[name].tokens.dtype == expected.dtype
        assert np.array_equal(made.splits[name].tokens, expected)
        assert made.splits[name].doc_starts.tolist() == [0]
    return made


def test_tiny_shakespeare_is_the_same_data(shared_data, tmp_path):
    made = check_equal(shared_data / "tinyshakespeare" / "input.txt", tmp_path)
    # 65 characters, as nanoGPT's README says
    assert made.tokenizer.vocab_size == 65
    # and it prints these two counts
    assert [split.n_tokens for split in made.splits.values()] == [1003854, 111540]


def test_any_text_is_the_same_data(tmp_path):
    text = "Caf\u00e9 \U0001f600\r\nand a\rlone one, " * 7001 + "odd"
    check_equal(write(tmp_path / "a.txt", text), tmp_path / "cache")


def test_a_row_is_nanogpts_x_and_y(tmp_path):
    path = write(tmp_path / "a.txt", "abcdefgh" * 500)
    split = check_equal(path, tmp_path / "cache").splits["train"]
    rows = StreamFeed(split, context=16).step(0, batch=4, seed=1)
    for x, y in zip(rows.inputs, rows.targets, strict=True):
        # get_batch: x = data[i : i + block_size], y = data[i + 1 : i + 1 + block_size]
        starts = np.flatnonzero(np.asarray(split.tokens) == x[0])
        found = [i for i in starts if np.array_equal(split.tokens[i : i + 16], x)]
        assert any(np.array_equal(split.tokens[i + 1 : i + 17], y) for i in found)
