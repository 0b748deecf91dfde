"""What the files of the tokenizers library say about each token."""

from __future__ import annotations

import tokenizers

from wellfit.tokenizer.codecs import byte_characters, library_codec


def sizes(vocab, **parts):
    library = tokenizers.Tokenizer(tokenizers.models.BPE(vocab, []))
    for name, part in parts.items():
        setattr(library, name, part)
    return library_codec(library.to_str()).token_bytes().tolist()


def test_byte_level_tokens_have_a_byte_per_character():
    decoder = tokenizers.decoders.ByteLevel()
    # U+0120 is the space, U+00C3 U+00A9 the two bytes of one accented letter
    assert sizes({"\u0120a": 0, "\u00c3\u00a9": 1}, decoder=decoder) == [2, 2]


def test_byte_level_is_seen_inside_a_sequence_too():
    steps = [tokenizers.pre_tokenizers.Digits(), tokenizers.pre_tokenizers.ByteLevel()]
    # as Llama 3 and Qwen write it
    assert sizes({"\u00c3\u00a9": 0}, pre_tokenizer=tokenizers.pre_tokenizers.Sequence(steps)) == [
        2
    ]


def test_sentencepiece_tokens_are_text_with_a_mark_for_the_space():
    # U+2581 is one space; <0x0A> one byte; an accented letter two bytes
    assert sizes({"\u2581a": 0, "<0x0A>": 1, "\u00e9": 2}) == [2, 1, 2]


def test_byte_characters_are_those_of_the_library():
    # their order is that of bytes, their set the library's own alphabet
    assert sorted(byte_characters()) == sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    assert byte_characters()[ord(" ")] == "\u0120"
