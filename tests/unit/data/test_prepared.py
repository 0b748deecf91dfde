"""Preparing as a whole."""

from __future__ import annotations

import os

import numpy as np
import pytest

from tests.corpora import data_of, prepared, spelled, write, write_jsonl
from wellfit import config
from wellfit.data import prepare
from wellfit.data import prepared as prepared_module
from wellfit.errors import DataError, TokenizerError
from wellfit.tokenizer import byte_tokenizer, char_tokenizer

TAIL = {"kind": "tail", "val": 0.25}
END = "<|endoftext|>"


def files_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_tokens_spell_the_documents(tmp_path):
    texts = ["one", "tw\u00f6\r\n", "three"] * 3
    path = write_jsonl(tmp_path / "a.jsonl", *({"text": text} for text in texts))
    for asked in (config.CharTokenizer(), config.ByteTokenizer(), config.BpeTokenizer(vocab=257)):
        made = prepared(
            path, tmp_path / "cache", asked, split={"kind": "tail", "val": 0.5}, duplicates="keep"
        )
        found = spelled(made, "train") + spelled(made, "val")
        # all of them, in order, each with its end
        assert "".join(found) == "".join(text + END for text in texts)
        # and the bytes are those of the text
        sizes = [split.n_bytes for split in made.splits.values()]
        assert sum(sizes) == sum(len(text.encode()) for text in texts)


def test_bytes_of_a_split_are_those_its_tokens_stand_for(tmp_path):
    path = write(tmp_path / "a.txt", "caf\u00e9 \U0001f600 " * 500)
    for asked in (config.CharTokenizer(), config.ByteTokenizer(), config.BpeTokenizer(vocab=300)):
        made = prepared(path, tmp_path / "cache", asked, split=TAIL)
        for split in made.splits.values():
            # the two ways to count for bits per byte agree
            assert made.tokenizer.token_bytes[split.tokens].sum() == split.n_bytes


def test_what_was_prepared_is_opened_the_next_time(tmp_path, monkeypatch):
    path = write(tmp_path / "a.txt", "abcdefgh")
    first = prepared(path, tmp_path / "cache", split=TAIL)
    monkeypatch.setattr("wellfit.data.prepared._make", None)  # the work is not done again
    second = prepared(path, tmp_path / "cache", split=TAIL)
    # the same in every respect
    assert second.fingerprint == first.fingerprint and second.audit == first.audit
    assert second.tokenizer.fingerprint == first.tokenizer.fingerprint
    for name, split in first.splits.items():
        assert np.array_equal(split.tokens, second.splits[name].tokens)
        assert split.fingerprint == second.splits[name].fingerprint


def test_only_what_is_needed_stays_on_disk(tmp_path):
    made = prepared(write(tmp_path / "a.txt", "abcdefgh"), tmp_path / "cache", split=TAIL)
    # no journal, no table of documents, nothing half done
    assert files_in(made.folder) == [
        "manifest.json",
        "tokenizer",
        "tokenizer/tokenizer.json",
        "tokenizer/tokenizer_config.json",
        "tokenizer/wellfit_tokenizer.json",
        "train.starts",
        "train.tokens",
        "val.starts",
        "val.tokens",
    ]
    assert {p.name for p in (tmp_path / "cache").iterdir()} == {
        made.folder.name,
        f"{made.folder.name}.lock",
    }


def test_the_same_bytes_elsewhere_are_the_same_data(tmp_path):
    one = prepared(write(tmp_path / "a/x.txt", "abcdefgh"), tmp_path / "cache", split=TAIL)
    other = prepared(write(tmp_path / "b/y.txt", "abcdefgh"), tmp_path / "cache", split=TAIL)
    # a corpus may be moved or renamed
    assert one.fingerprint == other.fingerprint


@pytest.mark.parametrize(
    ("change", "other_tokens"),
    [
        ({"content": "abcdefgi"}, True),
        ({"tokenizer": config.CharTokenizer()}, True),
        ({"split": {"kind": "tail", "val": 0.5}}, True),
        ({"encoding": "latin-1"}, False),
        ({"on_bad": "skip"}, False),
    ],
)
def test_anything_that_may_change_a_token_is_prepared_anew(tmp_path, change, other_tokens):
    def made(content="abcdefgh", tokenizer=None, **fields):
        path = write(tmp_path / "a.txt", content)
        return prepared(path, tmp_path / "cache", tokenizer, **{"split": TAIL, **fields})

    before, after = made(), made(**change)
    # in a folder of its own
    assert before.folder != after.folder
    # and with batches of its own if any token did change
    assert (before.fingerprint != after.fingerprint) is other_tokens


def test_no_field_of_the_recipe_is_forgotten_in_the_key():
    # the files say the first two; the last three move no token
    elsewhere = {"path", "format", "cache", "long", "pack"}
    # a field that is added to the recipe is placed on one side or the other
    assert set(config.Data.model_fields) == prepared_module._DECIDES | elsewhere


def test_damaged_data_is_prepared_again(tmp_path):
    path = write(tmp_path / "a.txt", "abcdefgh")
    first = prepared(path, tmp_path / "cache", split=TAIL)
    os.truncate(first.folder / "train.tokens", 3)
    again = prepared(path, tmp_path / "cache", split=TAIL)
    # the cache holds nothing that cannot be made anew
    assert spelled(again, "train") == ["abcdef"]


def test_data_that_cannot_be_read_leaves_nothing_behind(tmp_path):
    path = write(tmp_path / "a.txt", b"ab\xff")
    with pytest.raises(DataError, match="0xff"):
        prepared(path, tmp_path / "cache", split=TAIL)
    # nobody would ever clean it up
    assert [p.suffix for p in (tmp_path / "cache").iterdir()] == [".lock"]


def test_a_file_that_changes_while_it_is_read_is_an_error(tmp_path):
    path = write(tmp_path / "a.txt", "abcdefgh" * 1000)

    def meddle(progress):
        if progress.stage == "encode":
            os.utime(path, ns=(1, 1))

    # tokens of two different texts would be mixed
    with pytest.raises(DataError, match=r"a.txt changed while it was being read"):
        prepare(
            data_of(path, split=TAIL),
            config.ByteTokenizer(),
            cache=tmp_path / "cache",
            progress=meddle,
        )


def test_progress_goes_through_the_stages_in_order(tmp_path):
    path = write(tmp_path / "a.txt", "some words " * 1000)
    told = []
    prepare(
        data_of(path, split=TAIL),
        config.BpeTokenizer(vocab=300),
        cache=tmp_path / "cache",
        progress=told.append,
    )
    # each is announced, so that a screen always says what is going on
    stages = list(dict.fromkeys(one.stage for one in told))
    assert stages == ["fingerprint", "read", "tokenizer", "encode", "audit"]
    # and none gets further than the end
    assert all(0 <= one.done_bytes <= one.total_bytes == 11_000 for one in told)


def test_a_cache_that_cannot_be_written_is_told_with_a_way_out(tmp_path):
    path = write(tmp_path / "a.txt", "abcdefgh")
    # a file where a folder should be
    with pytest.raises(DataError, match=r"data.cache=FOLDER"):
        prepared(path, path / "cache", split=TAIL)


def test_the_recipes_own_cache_folder_is_used(tmp_path):
    path = write(tmp_path / "a.txt", "abcdefgh")
    data = data_of(path, split=TAIL, cache=str(tmp_path / "mine"))
    # unless the caller says otherwise
    assert prepare(data, config.ByteTokenizer()).folder.parent == tmp_path / "mine"


def test_the_audit_counts_everything(tmp_path):
    write(tmp_path / "a/1.jsonl", '{"text": "one one"}\n{"text": "two"}\n{"text": " "}\n{\n')
    write(tmp_path / "a/2.jsonl", '{"text": "two"}\n')
    write(tmp_path / "a/3.png", "x")
    split = {"kind": "tail", "val": 0.3}
    audit = prepared(tmp_path / "a", tmp_path / "cache", on_bad="skip", split=split).audit
    # 13 characters, the first 9 of them train; then copies of val's "two" leave train,
    # but not the one that is cut
    assert audit["splits"]["train"] == {
        "documents": 2,
        "tokens": 7 + 1 + 2,
        "bytes": 9,
        "bytes_per_token": 0.9,
    }
    assert audit["splits"]["val"]["documents"] == 2
    assert audit["files"] | {"bytes": 0} == {"read": 2, "bytes": 0, "ignored": {".png": 1}}
    assert audit["skipped"] == {
        "records": 1,
        "kinds": {"not JSON": 1},
        "at": [f"{tmp_path}/a/1.jsonl:4"],
        "empty": 1,
        "left_out": 0,
    }
    assert audit["tokenizer"]["kind"] == "byte" and audit["tokenizer"]["eos_id"] == 256


def test_text_for_a_finished_model_is_one_split(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", {"text": "one"}, {"text": "two"})
    made = prepare(data_of(path), byte_tokenizer(separate=True), cache=tmp_path / "cache")
    # all of it, whatever the recipe's split, in the model's own tokens
    assert list(made.splits) == ["test"]
    assert spelled(made, "test") == ["one" + END, "two" + END]


def test_a_model_of_an_endless_stream_reads_documents_without_ends(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", {"text": "one"}, {"text": "two"})
    made = prepare(data_of(path), byte_tokenizer(separate=False), cache=tmp_path / "cache")
    # it knows no end of text, so none is put in; where documents begin is still known
    assert spelled(made, "test") == ["one", "two"]


def test_a_character_a_model_does_not_know_is_told_with_its_place(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", {"text": "one"}, {"text": "on\u20ac"})
    # in which document, and where in it
    with pytest.raises(TokenizerError, match=r"a.jsonl:2: character .* at offset 2"):
        prepare(data_of(path), char_tokenizer(["one"], separate=True), cache=tmp_path / "cache")
