"""What the files of the tokenizers library say about each token."""

from __future__ import annotations

import tokenizers

from wellfit.tokenizer import byte_tokenizer, char_tokenizer
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


def test_words_start_where_the_library_cuts_them():
    text = "Who wrote unfathomable Hamlet , a na\u00efve play of 1601 ?"
    library = tokenizers.Tokenizer(tokenizers.models.BPE())
    library.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=275, initial_alphabet=alphabet, show_progress=False
    )
    library.train_from_iterator([text, " , ? , ? , ? , ?"], trainer)
    starts = library_codec(library.to_str()).starts_of_words()
    found = library.encode(text)
    words = found.word_ids
    cuts = [a != b for a, b in zip(words, words[1:], strict=False)]
    assert len(words) > 20  # tokens smaller than words
    assert starts[found.ids[1:]].tolist() == cuts


def test_words_start_at_pieces_without_a_mark_and_at_special_tokens():
    vocab = {"[UNK]": 0, "play": 1, "##ing": 2, "##s": 3}
    library = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocab, unk_token="[UNK]"))
    library.add_special_tokens(["[UNK]", "[SEP]"])
    assert library_codec(library.to_str()).starts_of_words().tolist() == [
        True, True, False, False, True,
    ]  # fmt: skip
    # a byte-level vocabulary may hold what is no byte
    decoder = tokenizers.decoders.ByteLevel()
    odd = tokenizers.Tokenizer(tokenizers.models.BPE({"a": 0, "\u2581b": 1, "\u0120c": 2}, []))
    odd.decoder = decoder
    assert library_codec(odd.to_str()).starts_of_words().tolist() == [False, True, True]


def test_characters_and_bytes_start_words_unless_they_are_letters_or_digits():
    chars = char_tokenizer(["a 1\u00e9?"], separate=True)
    starts = chars.starts_of_words()
    # its last token is the end of a text
    assert {c: bool(starts[chars.encode(c)[0]]) for c in "a 1\u00e9?"} == {
        "a": False, " ": True, "1": False, "\u00e9": False, "?": True,
    } and starts[chars.eos_id]  # fmt: skip
    made = byte_tokenizer(separate=False)
    assert made.starts_of_words()[made.encode("a \u00e91?")].tolist() == [
        False, True, False, False, False, True,
    ]  # fmt: skip
