"""What is told about the data."""

from __future__ import annotations

import json

from tests.corpora import prepared, write, write_jsonl

BY_COLUMN = {"kind": "column", "column": "s", "val": "val", "test": "test"}


def test_the_audit_can_be_written_as_json(tmp_path):
    audit = prepared(
        write(tmp_path / "a.txt", "abc\ud7ff" * 100), tmp_path / "cache", split={"kind": "tail"}
    ).audit
    # it goes into data.json as it is
    assert json.loads(json.dumps(audit)) == audit


def test_text_of_train_in_val_is_found(tmp_path):
    passage = "It is a truth universally acknowledged, that a single man in possession of. "
    path = write_jsonl(
        tmp_path / "a.jsonl",
        {"text": "before " + passage * 2 + "after", "s": "train"},
        {"text": passage * 2, "s": "val"},
        {
            "text": "Call me Ishmael. Some years ago - never mind how long precisely -" * 2,
            "s": "test",
        },
    )
    overlap = prepared(path, tmp_path / "cache", split=BY_COLUMN).audit["overlap"]
    # not an exact copy of a document, and still the same text
    assert overlap["val"]["found"] == overlap["val"]["windows"] == 2 * len(passage) - 75 + 1
    assert overlap["test"]["share"] == 0


def test_a_split_shorter_than_a_window_has_no_share(tmp_path):
    path = write_jsonl(
        tmp_path / "a.jsonl",
        {"text": "a" * 200, "s": "train"},
        {"text": "a", "s": "val"},
        {"text": "b", "s": "test"},
    )
    # rather than a share of nothing
    assert prepared(path, tmp_path / "cache", split=BY_COLUMN).audit["overlap"] == {}


def test_characters_that_train_lacks_are_shown_up_to_a_hundred(tmp_path):
    path = write_jsonl(
        tmp_path / "a.jsonl",
        {"text": "abc", "s": "train"},
        {"text": "abz", "s": "val"},
        {"text": "".join(map(chr, range(0x4E00, 0x5000))), "s": "test"},
    )
    audit = prepared(path, tmp_path / "cache", split=BY_COLUMN).audit["characters"]
    # enough to see what they are
    assert audit["not_in_train"]["val"] == "z" and len(audit["not_in_train"]["test"]) == 100
    # and how many there are in all
    assert audit["distinct"] == 4 + 512


def test_values_of_the_split_column_are_counted(tmp_path):
    values = ["train", "train", "val", "test", "other"]
    records = [{"text": f"text {i}", "s": s} for i, s in enumerate(values)]
    audit = prepared(write_jsonl(tmp_path / "a.jsonl", *records), tmp_path / "c", split=BY_COLUMN)
    # a misspelt value shows up here
    assert audit.audit["column"] == {"train": 2, "val": 1, "test": 1, "other": 1}
