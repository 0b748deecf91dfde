"""Text to ids and back."""

from __future__ import annotations

import numpy as np
import pytest

from wellfit.errors import TokenizerError
from wellfit.tokenizer import (
    END_OF_TEXT,
    bpe_tokenizer,
    byte_tokenizer,
    char_tokenizer,
    load_tokenizer,
)

TEXT = "to be, or not to be: that is the question. " * 40


def each_kind(*, separate: bool):
    return [
        char_tokenizer([TEXT + "\u00e9\U0001f600"], separate=separate),
        byte_tokenizer(separate=separate),
        bpe_tokenizer([TEXT], vocab=300, separate=separate),
    ]


def test_char_ids_are_places_in_the_sorted_characters():
    tokenizer = char_tokenizer(["hello"], separate=True)
    # "ehlo": e 0, h 1, l 2, o 3
    assert tokenizer.encode("hello").tolist() == [1, 0, 2, 2, 3]
    # the end of a document comes after the characters, so that it moves none of them
    assert (tokenizer.eos_id, tokenizer.vocab_size) == (4, 5)


def test_byte_ids_are_the_bytes_of_utf8():
    tokenizer = byte_tokenizer(separate=True)
    # U+00E9 is c3 a9 in UTF-8
    assert tokenizer.encode("a\u00e9").tolist() == [0x61, 0xC3, 0xA9]
    # 256 bytes, then the end of a document
    assert (tokenizer.eos_id, tokenizer.vocab_size) == (256, 257)


def test_an_endless_stream_has_no_end_of_text_token():
    for tokenizer in each_kind(separate=False):
        # nothing to separate, so no id is spent on it
        assert tokenizer.eos_id is None


def test_the_end_of_text_comes_last_and_stands_for_no_bytes():
    for tokenizer in each_kind(separate=True):
        # last, so that it moves no other id
        assert tokenizer.eos_id == tokenizer.vocab_size - 1
        # bits per byte count text, and this is none
        assert tokenizer.token_bytes[tokenizer.eos_id] == 0


def test_token_bytes_add_up_to_the_bytes_of_the_text():
    text = "question \u00e9\U0001f600 to be"
    for tokenizer in each_kind(separate=True):
        # whatever the tokens, they stand for the same bytes
        assert tokenizer.token_bytes[tokenizer.encode(text)].sum() == len(text.encode())


def test_the_name_of_a_special_token_inside_a_text_is_only_text():
    for tokenizer in (
        byte_tokenizer(separate=True),
        bpe_tokenizer([TEXT], vocab=300, separate=True),
    ):
        ids = tokenizer.encode(f"a{END_OF_TEXT}b")
        # a document cannot end itself
        assert tokenizer.eos_id not in ids
        # and nothing of it is lost
        assert tokenizer.decode(ids) == f"a{END_OF_TEXT}b"


def test_the_end_of_a_document_shows_when_decoded():
    for tokenizer in each_kind(separate=True):
        ids = [
            *tokenizer.encode("to "),
            tokenizer.eos_id,
            *tokenizer.encode("be"),
            tokenizer.eos_id,
        ]
        # a reader sees where one document stops and the next begins
        assert tokenizer.decode(ids) == f"to {END_OF_TEXT}be{END_OF_TEXT}"


def test_an_unknown_character_is_named_with_its_place_and_a_way_out():
    tokenizer = char_tokenizer(["abc"], separate=False)
    # character, code point, offset, and what to type
    with pytest.raises(
        TokenizerError, match=r"'\u20ac' \(U\+20AC\) at offset 2 .* 3 characters.*kind=byte"
    ):
        tokenizer.encode("ab\u20ac")


def test_half_a_character_is_refused_with_its_place():
    # a lone surrogate has no bytes
    with pytest.raises(TokenizerError, match=r"U\+D800, a lone surrogate\) at offset 1"):
        byte_tokenizer(separate=False).encode("a\ud800")


def test_a_batch_gives_what_its_texts_give_one_by_one():
    texts = ["to be", "", "question", "\u00e9"]
    for tokenizer in each_kind(separate=True):
        batch = tokenizer.encode_batch(texts)
        # joining texts for speed lets no token cross from one to the next
        assert [ids.tolist() for ids in batch] == [tokenizer.encode(t).tolist() for t in texts]
    # and nothing comes from nothing
    assert byte_tokenizer(separate=True).encode_batch([]) == []


def test_bytes_that_are_no_text_decode_to_replacement_characters():
    # a model may write any bytes; a sample is shown all the same
    assert byte_tokenizer(separate=False).decode([0x61, 0xC3, 0x28]) == "a\ufffd("


def test_what_a_padded_embedding_adds_to_a_published_vocabulary_is_no_text(tmp_path):
    char_tokenizer("abc", separate=False).save(tmp_path)
    published = load_tokenizer(tmp_path / "tokenizer.json")
    # a model with vectors to spare may write any of them
    assert published.decode([0, 3, 1, 99, 2]) == "abc"


def test_an_id_outside_the_vocabulary_is_refused():
    for tokenizer in each_kind(separate=False):
        # no text of ours holds one, so it is a mistake of the caller
        with pytest.raises(ValueError, match="outside"):
            tokenizer.decode([tokenizer.vocab_size])


def test_ids_are_stored_in_two_bytes_while_they_fit():
    codes = [*range(0x3400, 0xD800), *range(0xE000, 0xFFFE), *range(0x10000, 0x20000)]
    for size, dtype in ((65536, np.uint16), (65537, np.uint32)):
        tokenizer = char_tokenizer(["".join(map(chr, codes[:size]))], separate=False)
        # half the disk and memory where that is enough
        assert (tokenizer.vocab_size, tokenizer.dtype) == (size, dtype)
        # and the last id survives it
        assert tokenizer.encode(chr(codes[size - 1])).tolist() == [size - 1]


def test_fingerprints_tell_tokenizers_apart_and_equal_ones_alike():
    def prints():
        made = [t.fingerprint for s in (True, False) for t in each_kind(separate=s)]
        return [*made, char_tokenizer(["abc"], separate=True).fingerprint]

    # every kind, with and without an end, and every alphabet is another tokenizer
    assert len(set(prints())) == len(prints())
    # made again from the same text, each is the same, trained BPE included
    assert prints() == prints()
