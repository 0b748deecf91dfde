"""What stands round a text, and texts whose markup is tokens."""

from __future__ import annotations

import numpy as np
import pytest
import tokenizers

from wellfit.tokenizer import (
    bpe_tokenizer,
    byte_tokenizer,
    char_tokenizer,
    encode_marked,
    frame,
    load_tokenizer,
    markup,
)

TEXT = "<|a|>\u00e9 is\n \U0001f600 <|endoftext|>\u00e9<|a|>"


def published(folder, processor=None):
    """A word-level tokenizer with special tokens and a post-processor."""
    words = ["[CLS]", "[SEP]", "<s>", "a", "b", "[UNK]"]
    model = tokenizers.models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]")
    library = tokenizers.Tokenizer(model)
    library.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    library.add_special_tokens(["[CLS]", "[SEP]", "<s>"])
    if processor:
        special = [("[CLS]", 0), ("[SEP]", 1), ("<s>", 2)]
        library.post_processor = tokenizers.processors.TemplateProcessing(
            single=processor, special_tokens=special
        )
    folder.mkdir(exist_ok=True)
    library.save(str(folder / "tokenizer.json"))
    return load_tokenizer(folder)


@pytest.mark.parametrize(
    ("processor", "before", "after"),
    [(None, (), ()), ("[CLS] $A [SEP]", (0,), (1,)), ("<s> $A", (2,), ()), ("$A [SEP]", (), (1,))],
)
def test_a_published_tokenizer_says_what_stands_round_a_text(tmp_path, processor, before, after):
    # as BERT, Llama and T5 do
    assert frame(published(tmp_path / "t", processor)) == (before, after)


def test_ours_put_nothing_round_a_text():
    for made in (
        byte_tokenizer(separate=True),
        char_tokenizer(["ab"], separate=True),
        bpe_tokenizer(["ab"], vocab=300, separate=True),
    ):
        assert frame(made) == ((), ())


def tokenizers_of(separate):
    yield byte_tokenizer(separate=separate)
    yield char_tokenizer([TEXT], separate=separate)
    yield bpe_tokenizer([TEXT] * 9, vocab=300, separate=separate, marks=["<|a|>"])


@pytest.mark.parametrize("separate", [True, False])
def test_every_character_has_its_tokens(separate):
    for tokenizer in tokenizers_of(separate):
        texts = ["", TEXT, "plain", TEXT[::-1]] if tokenizer.kind != "char" else [TEXT, "is"]
        marked = encode_marked(tokenizer, texts)
        assert marked.lengths.sum() == len(marked.ids) == len(marked.begins) == len(marked.ends)
        parts = zip(
            texts,
            np.split(marked.ids, np.cumsum(marked.lengths)[:-1]),
            np.split(marked.begins, np.cumsum(marked.lengths)[:-1]),
            np.split(marked.ends, np.cumsum(marked.lengths)[:-1]),
            strict=True,
        )
        for text, ids, begins, ends in parts:
            assert tokenizer.decode(ids) == text
            # in order, without a gap, and to the last character
            assert np.all(begins[1:] <= ends[:-1]) and np.all(np.diff(begins) >= 0)
            assert (begins[0], ends[-1]) == (0, len(text)) if text else not len(ids)
            for at, (begin, end) in enumerate(zip(begins, ends, strict=True)):
                # a token that stands for whole characters says which
                if tokenizer.decode([ids[at]]).isascii():
                    assert tokenizer.decode([ids[at]]) == text[begin:end]


def test_markup_is_tokens_there_and_text_everywhere_else():
    for tokenizer in tokenizers_of(separate=True):
        marked = encode_marked(tokenizer, [TEXT])
        special = markup(tokenizer)
        assert special["<|endoftext|>"] == tokenizer.eos_id
        assert marked.ids.tolist().count(tokenizer.eos_id) == 1
        assert tokenizer.eos_id not in tokenizer.encode(TEXT)
    # a mark of a vocabulary made for it is one token too
    assert marked.ids.tolist().count(special["<|a|>"]) == 2
    assert special["<|a|>"] not in tokenizer.encode(TEXT)
    assert tokenizer.token_bytes[special["<|a|>"]] == 0


def test_marks_count_towards_the_vocabulary():
    made = bpe_tokenizer(["ab ab ab"] * 9, vocab=262, separate=True, marks=["<|a|>", "<|b|>"])
    # 256 bytes, then merges, the marks, and the end last
    assert made.vocab_size <= 262 and made.eos_id == made.vocab_size - 1
    assert markup(made)["<|a|>"] == made.vocab_size - 3
