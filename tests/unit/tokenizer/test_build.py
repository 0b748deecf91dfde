"""Tokenizers made from text."""

from __future__ import annotations

import pytest

from wellfit.errors import TokenizerError
from wellfit.tokenizer import bpe_tokenizer, char_tokenizer, vocab_for_bytes

TEXT = "the cat sat on the mat. the cat sat. " * 30


@pytest.mark.parametrize(
    ("n_bytes", "vocab"),
    [
        (0, 512),
        (10_000, 512),
        (1_000_000, 1024),
        (38_000_000, 8192),
        (1_000_000_000, 32768),
        (10**13, 65536),
    ],
)
def test_the_vocabulary_grows_with_the_root_of_the_text(n_bytes, vocab):
    # the power of two nearest the root, between 512 and what two bytes hold
    assert vocab_for_bytes(n_bytes) == vocab


def test_bpe_merges_what_often_stands_together():
    tokenizer = bpe_tokenizer([TEXT], vocab=280, separate=False)
    # " the" and " cat" are by far the most frequent words here
    assert len(tokenizer.encode(" the cat")) == 2


def test_bpe_has_the_vocabulary_that_was_asked_for():
    for separate in (True, False):
        # the end of a document is one of them
        assert bpe_tokenizer([TEXT], vocab=266, separate=separate).vocab_size == 266


def test_bpe_stops_early_when_there_is_nothing_left_to_merge():
    tokenizer = bpe_tokenizer(["ab"], vocab=5000, separate=False)
    # merges seen once are not made: 256 bytes is all there is
    assert tokenizer.vocab_size == 256


def test_bpe_writes_text_it_has_never_seen():
    tokenizer = bpe_tokenizer([TEXT], vocab=280, separate=True)
    text = "\x00\u00e9\U0001f600 quite \t other\r\n"
    # all 256 bytes are in every vocabulary
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_a_vocabulary_smaller_than_the_bytes_is_refused():
    # what was asked, what is needed, what to write
    with pytest.raises(TokenizerError, match=r"vocab=256 is less than the 257 .*vocab=1024"):
        bpe_tokenizer([TEXT], vocab=256, separate=True)


def test_no_text_makes_no_characters():
    # an empty vocabulary could not even say nothing
    with pytest.raises(TokenizerError, match="no text"):
        char_tokenizer([], separate=True)
