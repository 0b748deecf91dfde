"""A JSON list as a file of records."""

from __future__ import annotations

import json

import pytest

from tests.corpora import data_of, read, write
from wellfit.data import find_sources
from wellfit.data.formats import pieces_of
from wellfit.errors import DataError


def raised(path, **fields):
    with pytest.raises(DataError) as caught:
        read(path, **fields)
    return str(caught.value)


@pytest.mark.parametrize("indent", [None, 2])
def test_each_object_of_the_list_is_a_record(tmp_path, indent):
    texts = ["one", "tw\u00f6\r\n", "[{,}]", 'a "quote" \\', ""]
    path = write(
        tmp_path / "a.json", json.dumps([{"text": t, "n": 1} for t in texts], indent=indent)
    )
    # however it is laid out, and whatever signs are in the text
    assert read(path) == texts
    assert read(write(tmp_path / "b.json.gz", path.read_text())) == texts


def test_records_are_numbered_since_lines_say_nothing(tmp_path):
    path = write(tmp_path / "a.json", '[{"text": "one"}, {"text": 3}]')
    assert "a.json: record 2: there is int '3' where the text of 'text' should be" in raised(path)
    assert read(path, on_bad="skip") == ["one", "BAD no text"]


def test_where_blocks_end_changes_nothing(tmp_path, monkeypatch):
    records = [
        {"text": "\u00e9\\\U0001f600 \n" * k, "n": -1.5e3, "b": [True, None]} for k in range(9)
    ]
    path = write(tmp_path / "a.json", json.dumps(records) + "\n")
    whole = read(path)
    # a block may end within an escape, a number, a word or between two records
    for size in (1, 2, 3, 7, 50):
        monkeypatch.setattr("wellfit.data.reading.BLOCK_BYTES", size)
        assert read(path) == whole == [r["text"] for r in records]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"text": "one"}\n{"text": "two"}', "a.json:1:1: the file is no JSON list of records"),
        ("", "no JSON list"),
        ('[\n{"text": "one"},\n{"text": "tw', "a.json:3:10: the file is not JSON (Unterminated"),
        ('[{"text": "one"}', "a.json:1:17: ',' or ']' should follow"),
        ('[{"text": "one"} {"text": "two"}]', "a.json:1:18: ',' or ']' should follow"),
        ('[{"text": "one"},\n {text: "two"}]', "a.json:2:3: the file is not JSON (Expecting prop"),
        ('[{"text": "one"}] more', "a.json:1:19: there is more after the end of the list"),
    ],
)
def test_what_is_no_list_is_an_error_that_cannot_be_skipped(tmp_path, content, says):
    path = write(tmp_path / "a.json", content)
    # behind a fault, where the next record begins is anyone's guess
    for on_bad in ("error", "skip"):
        assert says in raised(path, on_bad=on_bad)


def test_what_is_no_object_is_a_bad_record(tmp_path):
    path = write(tmp_path / "a.json", '["one", 12345, {"text": "three"}, null]')
    assert "a.json: record 1: there is str where an object should be" in raised(path)
    assert read(path, on_bad="skip") == ["BAD not an object"] * 2 + ["three", "BAD not an object"]


def test_a_record_longer_than_allowed_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr("wellfit.data.reading.BLOCK_BYTES", 100)
    path = write(tmp_path / "a.json", json.dumps([{"text": "one"}, {"text": "x" * 5000}]))
    assert "a.json: record 2: the record is longer than data.max_line=1 kB" in raised(
        path, max_line="1 kB"
    )


def test_an_empty_list_has_no_records(tmp_path):
    assert read(write(tmp_path / "a.json", " [ ] \n")) == []


def test_the_split_column_comes_along(tmp_path):
    path = write(tmp_path / "a.json", '[{"text": "one", "s": "dev"}, {"text": "two"}]')
    data = data_of(path, split={"kind": "column", "column": "s", "val": "dev"}, on_bad="skip")
    found = [
        (p.value, p.bad and p.bad.kind)
        for p in pieces_of(find_sources(data).files[0], data, lambda _: None)
    ]
    assert found == [("dev", None), (None, "no key 's'")]
