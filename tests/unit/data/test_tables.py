"""Records of csv, tsv and parquet."""

from __future__ import annotations

import gzip
import sys

import pyarrow
import pyarrow.parquet
import pytest

from tests.corpora import data_of, read, write
from wellfit.data import find_sources
from wellfit.data.formats import pieces_of
from wellfit.errors import DataError, MissingExtra


def raised(path, **fields):
    with pytest.raises(DataError) as caught:
        read(path, **fields)
    return str(caught.value)


def values(path, column):
    data = data_of(path, split={"kind": "column", "column": column, "val": "dev"})
    pieces = pieces_of(find_sources(data).files[0], data, lambda _: None)
    return [(piece.text, piece.value, piece.number) for piece in pieces]


def parquet(path, **columns):
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return path


def test_csv_fields_may_hold_commas_quotes_and_line_ends(tmp_path):
    path = write(tmp_path / "a.csv", 'id,text\r\n1,"a, ""b""\r\nc"\r\n2,plain\r\n')
    # RFC 4180; line ends inside a field are kept to the letter
    assert read(path) == ['a, "b"\r\nc', "plain"]


def test_tsv_fields_hold_everything_but_tabs_and_line_ends(tmp_path):
    path = write(tmp_path / "a.tsv", 'id\ttext\n1\t"a, b\r\n2\tc"d\n')
    # a quote in a tsv is a quote
    assert read(path) == ['"a, b', 'c"d']


def test_the_split_column_comes_along_with_the_line_it_stands_on(tmp_path):
    path = write(tmp_path / "a.csv", 'text,split\n"one\ntwo",train\n\nthree,dev\n')
    # numbered by the line where a record begins, as an editor shows it
    assert values(path, "split") == [("one\ntwo", "train", 2), ("three", "dev", 5)]


def test_a_byte_order_mark_before_the_names_is_no_part_of_them(tmp_path):
    # as spreadsheets write csv
    assert read(write(tmp_path / "a.csv", b"\xef\xbb\xbftext,n\none,1\n")) == ["one"]


def test_a_number_names_a_column_of_a_table_without_names(tmp_path):
    path = write(tmp_path / "a.tsv", "x\tone\ny\ttwo\textra\n")
    # counted from 1; the first row is a record, and rows may have more columns
    assert read(path, text="2") == ["one", "two"]


def test_a_column_that_is_called_by_a_number_is_still_found_by_name(tmp_path):
    # the name comes first
    assert read(write(tmp_path / "a.csv", "1,2\none,two\n"), text="2") == ["two"]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.csv", "id,body\n1,x\n", "no column 'text' (data.text) among 2: 'id', 'body'"),
        ("a.csv", "id\tbody\n1\tx\n", "separated by tabs. Write data.format=tsv"),
        ("a.csv", "text,text\n1,x\n", "2 columns are called 'text'"),
    ],
)
def test_a_column_that_is_not_there_is_an_error_of_its_own(tmp_path, name, content, says):
    path = write(tmp_path / name, content)
    # of the recipe and not of a record: to skip would be to skip everything
    assert says in raised(path)
    assert says in raised(path, on_bad="skip")


@pytest.mark.parametrize(
    ("content", "kept", "says"),
    [
        ("id,text\n1\n2,two\n", ["BAD wrong number of fields", "two"], "a.csv:2: 1 fields, and"),
        ('id,text\n1,"a"b\n2,two\n', ["BAD not csv", "two"], "a.csv:2: the record that begins"),
        ('id,text\n2,two\n1,"a\n', ["two", "BAD not csv"], "a.csv:3: the record that begins"),
        ("id,text\n1,a\0b\n2,two\n", ["BAD NUL", "two"], "a.csv:2: a NUL character"),
    ],
)
def test_each_trouble_with_a_row_is_told_and_can_be_skipped(tmp_path, content, kept, says):
    path = write(tmp_path / "a.csv", content)
    # where the record begins, and the way to go on without it
    assert says in raised(path) and "data.on_bad=skip" in raised(path)
    assert read(path, on_bad="skip") == kept


def test_bytes_that_are_not_utf8_are_told_or_skipped_with_their_record(tmp_path):
    path = write(tmp_path / "a.csv", b'text,n\n"one\ntw\xe9",1\nthree,2\n')
    # to the byte
    assert "a.csv:3: byte 0xe9 at offset 14 of the file is not utf-8" in raised(path)
    # the record around it, and no more
    assert read(path, on_bad="skip") == ["BAD half a character", "three"]


def test_a_row_longer_than_allowed_is_an_error(tmp_path):
    path = write(tmp_path / "a.csv", "text\none\n" + "x" * 2000 + "\n")
    # a long line may be part of a record, so which record to leave out is not known
    for on_bad in ("error", "skip"):
        said = raised(path, max_line="1 kB", on_bad=on_bad)
        assert "a.csv:3: the record is longer than data.max_line=1 kB. Raise it" in said
        assert "skip" not in said


def test_a_quote_that_is_never_closed_does_not_take_the_memory(tmp_path):
    path = write(tmp_path / "a.csv", 'text\n"one\n' + "x" * 99 + "\n" + "some more\n" * 300_000)
    # a field is held no longer than a record may be
    assert "not csv (field larger than field limit (131072))" in raised(path, max_line="1 kB")


def test_parquet_gives_the_texts_of_its_column(tmp_path):
    path = parquet(tmp_path / "a.parquet", text=["one", "tw\u00e9\r\n", ""], n=[1, 2, 3])
    # strings are kept to the letter
    assert read(path) == ["one", "tw\u00e9\r\n", ""]


def test_parquet_values_name_the_split(tmp_path):
    texts = pyarrow.array(["one", "two"]).dictionary_encode()
    path = parquet(tmp_path / "a.parquet", text=texts, split=["train", "dev"])
    # rows are counted from 1
    assert values(path, "split") == [("one", "train", 1), ("two", "dev", 2)]


def test_parquet_may_be_packed_once_more(tmp_path):
    raw = parquet(tmp_path / "a.parquet", text=["one"]).read_bytes()
    (tmp_path / "b.parquet.gz").write_bytes(gzip.compress(raw))
    # it is unpacked to disk, since parquet is read from its end
    assert read(tmp_path / "b.parquet.gz") == ["one"]


def test_each_trouble_with_parquet_is_told(tmp_path):
    path = parquet(tmp_path / "a.parquet", text=["one", None, "three"], n=[1, 2, 3])
    # a missing value is a bad record
    assert "a.parquet: row 2: there is nothing where the text of 'text' should be" in raised(path)
    assert read(path, on_bad="skip") == ["one", "BAD no text", "three"]
    # a missing column is the recipe's
    assert "no column 'body'; the columns are 'text', 'n'" in raised(path, text="body")
    # numbers are no text
    assert "there is int '1' where" in raised(path, text="n")
    # and a file that is cut off is not parquet
    path.write_bytes(path.read_bytes()[:-5])
    assert "a.parquet is not sound parquet" in raised(path)


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch):
    path = parquet(tmp_path / "a.parquet", text=["one"])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    # what to install, in words to type
    with pytest.raises(MissingExtra, match=r"wellfit\[data\]"):
        read(path)
