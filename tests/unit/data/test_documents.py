"""The first reading: a row for each document."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from tests.corpora import data_of, write, write_jsonl
from wellfit.data import documents, find_sources, formats
from wellfit.data.formats import PIECE_CHARS


def scanned(path, folder, *, characters=False, **fields):
    data = data_of(path, **fields)
    folder.mkdir(exist_ok=True)
    sources = find_sources(data)
    return documents.scan(sources, data, folder, lambda _: None, characters=characters)


def test_a_row_tells_the_hash_and_the_size_of_a_text(tmp_path):
    text = "caf\u00e9 " * PIECE_CHARS  # in several pieces
    table = scanned(write(tmp_path / "a.txt", text), tmp_path / "work")
    digest = hashlib.sha256(text.encode()).digest()
    # of the text in UTF-8, whatever file it is in and however it was read
    assert int(table.rows["hash"][0]) == int.from_bytes(digest[:8], "big")
    assert int(table.rows["hash_more"][0]) == int.from_bytes(digest[8:16], "big")
    # characters for cuts, bytes for bits per byte
    assert (table.rows["chars"][0], table.rows["bytes"][0]) == (len(text), len(text.encode()))


def test_a_file_is_a_document_where_the_recipe_says_so(tmp_path):
    write(tmp_path / "a/1.txt", "one\n\ntwo\nthree")
    counts = [
        len(scanned(tmp_path / "a", tmp_path / kind, document=kind).rows)
        for kind in ("file", "line", "paragraph")
    ]
    # the blank line is a document too, of no text
    assert counts == [1, 4, 2]


def test_documents_of_white_space_are_empty(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", {"text": ""}, {"text": " \n\t\u3000"}, {"text": "x"})
    table = scanned(path, tmp_path / "work")
    # they have nothing to learn from, and are counted
    assert table.rows["state"].tolist() == [documents.EMPTY, documents.EMPTY, documents.TEXT]
    assert table.noticed.empty == 2


def test_characters_are_those_of_good_documents_alone(tmp_path):
    write(tmp_path / "a/1.txt", "z" * PIECE_CHARS * 2 + "\u00e9")
    write(tmp_path / "a/2.txt", b"q" * PIECE_CHARS * 2 + b"\xff")
    write(tmp_path / "a/3.txt", "\u2003")
    table = scanned(tmp_path / "a", tmp_path / "work", characters=True, on_bad="skip")
    # a document that turns out bad, or is blank, leaves no character behind
    assert table.noticed.characters == "z\u00e9"


def test_what_is_skipped_is_counted_by_its_kind_with_places(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"text": "x"}\n{\n[]\n{\n')
    table = scanned(path, tmp_path / "work", on_bad="skip")
    # enough to find them again
    assert table.noticed.skipped == {"not JSON": 2, "not an object": 1}
    assert table.noticed.skipped_at == [f"{path}:2", f"{path}:3", f"{path}:4"]
    assert table.rows["state"].tolist() == [documents.TEXT, *[documents.BAD] * 3]


def test_a_column_asks_for_splits(tmp_path):
    records = [{"text": v, "s": v} for v in ("tr", "dev", "te", "other")]
    path = write_jsonl(tmp_path / "a.jsonl", *records, {"text": "null", "s": None})
    split = {"kind": "column", "column": "s", "val": ["dev"], "test": "te"}
    train, val, test, out = documents.TRAIN, documents.VAL, documents.TEST, documents.OUT
    table = scanned(path, tmp_path / "a", split=split)
    # every value not named is train
    assert table.rows["asked"].tolist() == [train, val, test, train, train]
    table = scanned(path, tmp_path / "b", split={**split, "train": "tr"})
    # unless train is named as well
    assert table.rows["asked"].tolist() == [train, val, test, out, out]


def test_a_finished_first_reading_is_not_done_again(tmp_path):
    path = write(tmp_path / "a.txt", "x")
    first = scanned(path, tmp_path / "work")
    path.unlink()
    path.write_text("y")
    # a killed process took long enough already
    assert np.array_equal(scanned(path, tmp_path / "work").rows, first.rows)


def test_a_reading_that_was_killed_goes_on_with_the_file_it_was_at(tmp_path, monkeypatch):
    for i in range(5):
        records = [{"text": f"text {i} {j} {chr(0x3B1 + i)}", "s": f"v{i}"} for j in range(10)]
        path = write_jsonl(tmp_path / f"a/{i}.jsonl", *records)
        path.write_text(path.read_text() + "{\n")
    fields = {"on_bad": "skip", "split": {"kind": "column", "column": "s", "val": "v1"}}
    whole = scanned(tmp_path / "a", tmp_path / "whole", characters=True, **fields)
    monkeypatch.setattr(documents, "_NOTED_EVERY_S", 0.0)
    read = []

    def killed(file, *rest):
        read.append(file.path.name)
        if read == ["0.jsonl", "1.jsonl", "2.jsonl"]:
            raise KeyboardInterrupt
        return formats.pieces_of(file, *rest)

    monkeypatch.setattr(documents, "pieces_of", killed)
    with pytest.raises(KeyboardInterrupt):
        scanned(tmp_path / "a", tmp_path / "work", characters=True, **fields)
    with (tmp_path / "work/documents.rows").open("ab") as file:
        file.write(b"what nobody vouches for")
    again = scanned(tmp_path / "a", tmp_path / "work", characters=True, **fields)
    # the first two files are not read again
    assert read[3:] == ["2.jsonl", "3.jsonl", "4.jsonl"]
    # and nothing is lost, or counted twice
    assert np.array_equal(again.rows, whole.rows) and again.noticed == whole.noticed
    assert again.noticed.column == {f"v{i}": 10 for i in range(5)} | {"": 5}
