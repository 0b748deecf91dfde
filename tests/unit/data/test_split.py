"""Which document goes where."""

from __future__ import annotations

import numpy as np
import pytest

from tests.corpora import prepared, spelled, write, write_jsonl
from wellfit.errors import DataError

END = "<|endoftext|>"


def texts(made, name):
    return [text.removesuffix(END) for text in spelled(made, name)]


def jsonl(path, found):
    return write_jsonl(path, *({"text": text} for text in found))


def columns(path, *pairs):
    return write_jsonl(path, *({"text": text, "split": split} for text, split in pairs))


BY_COLUMN = {"kind": "column", "column": "split", "val": "val", "test": "test"}
WORDS = [f"document number {i}" for i in range(400)]


def test_a_hash_split_gives_each_split_its_share(tmp_path):
    made = prepared(jsonl(tmp_path / "a.jsonl", WORDS), tmp_path / "cache")
    sizes = {name: split.n_documents for name, split in made.splits.items()}
    # 5% of 400 is 20; a binomial of that size strays by more than 14 once in 1000 corpora
    assert 6 <= sizes["val"] <= 34 and 6 <= sizes["test"] <= 34
    # and nothing is lost or doubled
    assert sorted(t for name in sizes for t in texts(made, name)) == sorted(WORDS)


def test_a_document_stays_on_its_side_when_others_come_and_files_move(tmp_path):
    small = prepared(jsonl(tmp_path / "a.jsonl", WORDS[:200]), tmp_path / "cache")
    large = prepared(jsonl(tmp_path / "b.jsonl", WORDS[::-1]), tmp_path / "cache")
    for name in small.splits:
        # a model trained on the one can be tested on the other
        assert set(texts(small, name)) <= set(texts(large, name))


def test_a_larger_share_of_val_takes_nothing_from_test(tmp_path):
    path = jsonl(tmp_path / "a.jsonl", WORDS)
    splits = [{"kind": "hash", "val": val, "test": 0.1} for val in (0.1, 0.3)]
    small, large = (prepared(path, tmp_path / "cache", split=split) for split in splits)
    # each share moves its own border with train only
    assert texts(small, "test") == texts(large, "test")
    assert set(texts(small, "val")) < set(texts(large, "val"))


def test_a_hash_split_without_test_has_none(tmp_path):
    path = jsonl(tmp_path / "a.jsonl", WORDS)
    made = prepared(path, tmp_path / "cache", split={"kind": "hash", "val": 0.1, "test": 0})
    # absent, not empty
    assert list(made.splits) == ["train", "val"]


def test_a_hash_split_of_one_document_says_what_to_write(tmp_path):
    # there is nothing to divide by whole documents
    with pytest.raises(DataError, match=r"single document.*data.split={kind: tail, val: 10%}"):
        prepared(write(tmp_path / "a.txt", "one text"), tmp_path / "cache")


def test_a_hash_split_that_comes_out_empty_says_what_to_change(tmp_path):
    # three documents at 5% most often leave val empty, as these do
    with pytest.raises(DataError, match=r"val split is empty: of 3 .* 0.05 .*data.split.val"):
        prepared(jsonl(tmp_path / "a.jsonl", ["aa", "bb", "cc"]), tmp_path / "cache")


def test_a_tail_split_cuts_the_text_by_characters(tmp_path):
    path = write(tmp_path / "a.txt", "\u00e9bcdefghij")
    split = {"kind": "tail", "val": 0.2, "test": 0.1}
    made = prepared(path, tmp_path / "cache", split=split)
    # 10 characters: the first 7, then 2, then 1; no end of text in an endless stream
    assert {name: texts(made, name) for name in made.splits} == {
        "train": ["\u00e9bcdefg"],
        "val": ["hi"],
        "test": ["j"],
    }
    assert made.tokenizer.eos_id is None


def test_a_tail_split_cuts_through_documents(tmp_path):
    path = jsonl(tmp_path / "a.jsonl", ["aaaa", "bbbb", "cccc", "dddd"])
    made = prepared(path, tmp_path / "cache", split={"kind": "tail", "val": 0.375})
    # 16 characters, the first 10 are train
    assert {name: spelled(made, name) for name in made.splits} == {
        "train": ["aaaa" + END, "bbbb" + END, "cc"],  # the end of the third is not seen in train
        "val": ["cc" + END, "dddd" + END],
    }


def test_a_tail_split_at_a_border_of_documents_cuts_none(tmp_path):
    path = jsonl(tmp_path / "a.jsonl", ["aaaa", "bbbb"])
    made = prepared(path, tmp_path / "cache", split={"kind": "tail", "val": 0.5})
    # each split is one whole document, so there is nothing to separate
    assert (spelled(made, "train"), spelled(made, "val")) == (["aaaa"], ["bbbb"])


def test_a_tail_split_too_small_for_a_character_says_so(tmp_path):
    path = write(tmp_path / "a.txt", "abcd")
    # int(4 * 0.5) and int(4 * 0.6) are both 2
    with pytest.raises(DataError, match=r"val split is empty: .*Raise data.split.val"):
        prepared(path, tmp_path / "cache", split={"kind": "tail", "val": 0.1, "test": 0.4})


def test_files_say_the_split(tmp_path):
    for name in ("train", "valid", "test"):
        write(tmp_path / f"a/{name}.txt", f"text of {name}")
    split = {"kind": "files", "val": str(tmp_path / "a/valid.txt")}
    made = prepared(tmp_path / "a/train.txt", tmp_path / "cache", split=split)
    # one document each: nothing to separate
    assert (spelled(made, "train"), spelled(made, "val")) == (["text of train"], ["text of valid"])
    split |= {"test": str(tmp_path / "a/test.txt")}
    made = prepared(tmp_path / "a", tmp_path / "cache", split=split)
    # and data.path may be the whole folder
    assert {name: texts(made, name) for name in made.splits} == {
        "train": ["text of train"],
        "val": ["text of valid"],
        "test": ["text of test"],
    }


def test_files_without_text_are_an_error(tmp_path):
    write(tmp_path / "train.txt", "x")
    val = write(tmp_path / "val.txt", " \n")
    # the file is there, but there is nothing in it
    with pytest.raises(DataError, match=r"val split is empty: .* data.split.val"):
        prepared(
            tmp_path / "train.txt", tmp_path / "cache", split={"kind": "files", "val": str(val)}
        )


def test_a_column_says_the_split(tmp_path):
    path = columns(tmp_path / "a.jsonl", ("a", "train"), ("b", "val"), ("c", "test"), ("d", "xyz"))
    made = prepared(path, tmp_path / "cache", split=BY_COLUMN)
    # what is not named is train
    assert [texts(made, name) for name in made.splits] == [["a", "d"], ["b"], ["c"]]
    made = prepared(path, tmp_path / "cache", split={**BY_COLUMN, "train": "train"})
    # unless train is named; the rest is left out and counted
    assert [texts(made, name) for name in made.splits] == [["a"], ["b"], ["c"]]
    assert made.audit["skipped"]["left_out"] == 1


def test_a_column_that_never_says_val_shows_what_it_says(tmp_path):
    path = columns(tmp_path / "a.jsonl", ("a", "train"), ("b", "dev"), ("c", "test"))
    # "dev" is what was meant
    with pytest.raises(DataError, match=r"'train' \(1\), 'dev' \(1\), 'test' \(1\)"):
        prepared(path, tmp_path / "cache", split=BY_COLUMN)


def test_plain_text_has_no_column(tmp_path):
    path = write(tmp_path / "a.txt", "x")
    # said before anything is read
    with pytest.raises(DataError, match=r"a.txt is plain text and has no column 'split'"):
        prepared(path, tmp_path / "cache", split=BY_COLUMN)


COPIES = [
    ("in all", "train"),
    ("in all", "val"),
    ("in all", "test"),
    ("train and val", "train"),
    ("train and val", "train"),
    ("train and val", "val"),
    ("train alone", "train"),
    ("train alone", "train"),
    ("test alone", "test"),
]


def test_copies_across_splits_are_dropped_from_the_side_that_is_learned_from(tmp_path):
    path = columns(tmp_path / "a.jsonl", *COPIES)
    made = prepared(path, tmp_path / "cache", split=BY_COLUMN)
    # test stays as it was given; val loses what test has; train loses what either has
    assert [texts(made, name) for name in made.splits] == [
        ["train alone", "train alone"],
        ["train and val"],
        ["in all", "test alone"],
    ]
    copies = made.audit["duplicates"]
    # every dropped document is counted, and so are the copies that stay
    assert (copies["across"], copies["dropped"]) == ({"val": 1, "train": 3}, True)
    assert copies["within"] == {"train": 1, "val": 0, "test": 0}


def test_copies_can_be_kept_and_are_counted_all_the_same(tmp_path):
    path = columns(tmp_path / "a.jsonl", *COPIES)
    made = prepared(path, tmp_path / "cache", split=BY_COLUMN, duplicates="keep")
    # everything is where it was put
    assert [len(texts(made, name)) for name in made.splits] == [5, 2, 2]
    copies = made.audit["duplicates"]
    assert (copies["across"], copies["dropped"]) == ({"val": 1, "train": 3}, False)


def test_a_split_of_nothing_but_copies_is_an_error(tmp_path):
    path = columns(tmp_path / "a.jsonl", ("same", "train"), ("same", "val"), ("other", "test"))
    # nothing is left to learn from
    with pytest.raises(DataError, match=r"every document of train .*data.duplicates=keep"):
        prepared(path, tmp_path / "cache", split=BY_COLUMN)


def test_only_blank_and_unreadable_documents_are_an_error(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"text": " "}\n{\n')
    # with the count of each
    with pytest.raises(DataError, match=r"no text: 1 documents hold nothing .* 1 could not be"):
        prepared(path, tmp_path / "cache", on_bad="skip")
    # and a file without a single record
    with pytest.raises(DataError, match="not a single record"):
        prepared(write(tmp_path / "b.jsonl", "\n"), tmp_path / "cache")


def test_copies_within_are_estimated_from_a_share_of_a_very_large_corpus(tmp_path, monkeypatch):
    monkeypatch.setattr("wellfit.data.split._COUNTED_AT_ONCE", 500)
    doubled = [f"text {i}" for i in range(1000)] * 2
    made = prepared(jsonl(tmp_path / "a.jsonl", doubled), tmp_path / "cache")
    copies = made.audit["duplicates"]
    # all copies of a text fall in the share or none, so the estimate is right on average:
    # a quarter of 1000 texts is 250 +- 14 (one standard deviation), times four
    assert copies["counted_frac"] == 0.25
    assert 1000 - 4 * 4 * 14 < sum(copies["within"].values()) < 1000 + 4 * 4 * 14


def test_the_split_does_not_depend_on_how_large_the_table_is(tmp_path, monkeypatch):
    path = jsonl(tmp_path / "a.jsonl", WORDS)
    kinds = [{"kind": "hash"}, {"kind": "tail", "val": 0.33, "test": 0.2}]
    whole = [prepared(path, tmp_path / "a", split=split) for split in kinds]
    monkeypatch.setattr("wellfit.data.documents._ROWS_AT_ONCE", 7)
    for before, split in zip(whole, kinds, strict=True):
        after = prepared(path, tmp_path / "b", split=split)
        for name in before.splits:
            # read through in sevens or at once
            assert np.array_equal(before.splits[name].tokens, after.splits[name].tokens)
            assert np.array_equal(before.splits[name].doc_starts, after.splits[name].doc_starts)
