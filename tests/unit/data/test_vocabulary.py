"""The tokenizer that a recipe asks for, from the corpus."""

from __future__ import annotations

import pytest
import tokenizers

from tests.corpora import prepared, write, write_jsonl
from wellfit import config
from wellfit.errors import TokenizerError

BY_COLUMN = {"kind": "column", "column": "s", "val": "val"}


def corpus(path, train, val):
    records = [{"text": text, "s": "train"} for text in train]
    return write_jsonl(path, *records, *({"text": text, "s": "val"} for text in val))


def lower_casing(path, **special):
    """A published tokenizer that is not faithful: it writes everything in lower case."""
    library = tokenizers.Tokenizer(tokenizers.models.BPE())
    library.normalizer = tokenizers.normalizers.Lowercase()
    library.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = tokenizers.decoders.ByteLevel()
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=256, initial_alphabet=alphabet, show_progress=False, **special
    )
    library.train_from_iterator([], trainer)
    library.save(str(path))
    return path


def test_char_knows_the_characters_of_every_split(tmp_path):
    path = corpus(tmp_path / "a.jsonl", ["ab"], ["bc"])
    made = prepared(path, tmp_path / "cache", config.CharTokenizer(), split=BY_COLUMN)
    # an inventory, not a statistic: nothing is learned from val by naming its characters
    assert made.tokenizer.encode("abc").tolist() == [0, 1, 2]
    # but the audit says which ones a model will not meet in training
    assert made.audit["characters"] == {"distinct": 3, "not_in_train": {"val": "c"}}


def test_bpe_learns_from_train_alone(tmp_path):
    train, val = ["the cat sat on the mat "] * 50, ["zyzzyva zyzzyva zyzzyva"] * 50
    path = corpus(tmp_path / "a.jsonl", train, val)
    made = prepared(path, tmp_path / "cache", config.BpeTokenizer(vocab=300), split=BY_COLUMN)
    # a word of train is one token
    assert len(made.tokenizer.encode(" the")) == 1
    # a word that only val repeats is spelled
    assert len(made.tokenizer.encode("zyzzyva")) == 7


def test_bpe_sizes_itself_by_the_train_split(tmp_path):
    words = " ".join(f"w{i % 900}x{i % 700}" for i in range(400_000))
    split = {"kind": "tail", "val": 0.75}
    made = prepared(
        write(tmp_path / "a.txt", words), tmp_path / "cache", config.BpeTokenizer(), split=split
    )
    # a quarter of 3.4 MB is 0.85 MB, whose root is nearest 1024
    assert made.tokenizer.vocab_size == 1024


def test_very_much_text_is_sampled_evenly_for_bpe(tmp_path, monkeypatch):
    monkeypatch.setattr("wellfit.data.vocabulary.MOST_BPE_BYTES", 1000)
    path = corpus(tmp_path / "a.jsonl", [f"aa{chr(97 + i % 7)}" for i in range(1000)], ["b"])
    made = prepared(path, tmp_path / "cache", config.BpeTokenizer(vocab=300), split=BY_COLUMN)
    # a quarter of the texts is taken, from all over: every ending is among them
    assert made.tokenizer.vocab_size == 257 + 1 + 7


def test_a_published_tokenizer_needs_an_end_of_text_for_several_documents(tmp_path):
    asked = config.PretrainedTokenizer(path=str(lower_casing(tmp_path / "tokenizer.json")))
    path = corpus(tmp_path / "a.jsonl", ["ab", "cd"], ["e"])
    # what is missing, and the two ways on
    with pytest.raises(TokenizerError, match=r"no end-of-text token.*eos_token.*one file"):
        prepared(path, tmp_path / "cache", asked, split=BY_COLUMN)
    # one endless stream needs none
    alone = prepared(
        write(tmp_path / "a.txt", "abcdefghij"),
        tmp_path / "cache",
        asked,
        split={"kind": "tail", "val": 0.2},
    )
    assert alone.tokenizer.eos_id is None


def test_a_tokenizer_that_changes_text_is_found_out(tmp_path):
    asked = config.PretrainedTokenizer(
        path=str(lower_casing(tmp_path / "tokenizer.json", special_tokens=["<|endoftext|>"]))
    )
    path = corpus(tmp_path / "a.jsonl", ["all lower", "Not All Lower"], ["val"])
    made = prepared(path, tmp_path / "cache", asked, split=BY_COLUMN)
    # two of three texts come back as they were
    assert made.audit["tokenizer"]["round_trip"] == {"tried": 3, "unchanged": 2}
