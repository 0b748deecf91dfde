"""Bytes to text: unpacking, line ends, and exactly where it goes wrong."""

from __future__ import annotations

import gzip

import pytest
import zstandard

from tests.corpora import data_of, read, write
from wellfit.data import find_sources
from wellfit.data.reading import blocks, lines_of
from wellfit.errors import DataError, MissingExtra


def raised(path, **fields):
    with pytest.raises(DataError) as caught:
        read(path, **fields)
    return str(caught.value)


@pytest.mark.parametrize("ending", ["", ".gz", ".zst"])
def test_a_file_reads_the_same_packed_or_not(tmp_path, ending):
    text = "".join(f"line {i} \u00e9\n" for i in range(200_000))
    # several blocks of a megabyte, with characters across their borders
    assert read(write(tmp_path / f"a.txt{ending}", text)) == [text]


@pytest.mark.parametrize(("ending", "pack"), [(".gz", gzip.compress), (".zst", zstandard.compress)])
def test_packed_files_that_were_joined_read_as_one(tmp_path, ending, pack):
    path = tmp_path / f"a.txt{ending}"
    path.write_bytes(pack(b"first, ") + pack(b"second"))
    # `cat a.gz b.gz` is a common way to join corpora
    assert read(path) == ["first, second"]


@pytest.mark.parametrize("on_bad", ["error", "skip"])
@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_a_packed_file_that_is_cut_off_is_an_error(tmp_path, ending, on_bad):
    path = write(tmp_path / f"a.txt{ending}", "some text " * 1000)
    path.write_bytes(path.read_bytes()[:-3])
    # a broken download must not pass for a small corpus, not even with on_bad=skip
    assert "a.txt" in (said := raised(path, on_bad=on_bad)) and "cut off" in said


@pytest.mark.parametrize(("ending", "kind"), [(".gz", "gzip"), (".zst", "zstandard")])
def test_a_file_that_only_claims_to_be_packed_is_an_error(tmp_path, ending, kind):
    path = tmp_path / f"a.txt{ending}"
    path.write_bytes(b"plain text all along, long enough to hold any header")
    # named for what it is not
    assert f"is not sound {kind}" in raised(path)


def test_an_empty_packed_file_is_an_empty_document(tmp_path):
    (tmp_path / "a.txt.gz").write_bytes(b"")
    # as `touch` leaves it
    assert read(tmp_path / "a.txt.gz") == [""]


def test_without_zstandard_the_extra_is_named(tmp_path, monkeypatch):
    path = write(tmp_path / "a.txt.zst", "text")
    monkeypatch.setitem(__import__("sys").modules, "zstandard", None)
    # what to install, in words to type
    with pytest.raises(MissingExtra, match=r"wellfit\[data\]"):
        read(path)


def test_line_ends_of_other_systems_become_newlines(tmp_path):
    # the same text saved elsewhere gives the same tokens, as in Python's own text mode
    assert read(write(tmp_path / "a.txt", b"one\r\ntwo\rthree\n")) == ["one\ntwo\nthree\n"]


def test_a_line_end_across_two_blocks_is_one_line_end(tmp_path):
    text = "x" * ((1 << 20) - 1) + "\r\n" + "y"
    # the carriage return is the last byte of the first block
    assert read(write(tmp_path / "a.txt", text)) == ["x" * ((1 << 20) - 1) + "\ny"]


@pytest.mark.parametrize("document", ["file", "line", "paragraph"])
def test_a_byte_order_mark_is_no_text(tmp_path, document):
    path = write(tmp_path / "a.txt", b"\xef\xbb\xbfone")
    # many Windows programs write one
    assert read(path, document=document) == ["one"]


def test_a_byte_order_mark_elsewhere_is_kept(tmp_path):
    # inside a text U+FEFF is a character like any other
    assert read(write(tmp_path / "a.txt", "a\ufeffb")) == ["a\ufeffb"]


@pytest.mark.parametrize("document", ["file", "line", "paragraph"])
def test_bytes_that_are_not_utf8_are_told_to_the_byte(tmp_path, document):
    path = write(tmp_path / "a.txt", b"one\n\ntw\xe9 three\n")
    said = raised(path, document=document)
    # file and line; the byte; its place in the file; the two ways on
    assert f"{path}:3: byte 0xe9 at offset 7 of the file is not utf-8" in said
    assert "data.encoding=latin-1" in said and "data.on_bad=skip" in said


@pytest.mark.parametrize("document", ["file", "line", "paragraph"])
def test_the_place_is_right_in_a_large_file_too(tmp_path, document):
    good = "caf\u00e9 au lait\r\n".encode() * 150_000  # two megabytes, blocks cut characters
    path = write(tmp_path / "a.txt", good + b"bad \xff\n")
    # counted across blocks and line ends of two bytes
    assert f"{path}:150001: byte 0xff at offset {len(good) + 4:,} of" in raised(
        path, document=document
    )


def test_a_character_cut_off_by_the_end_of_the_file_is_told(tmp_path):
    # the first of two bytes, at the very end
    assert "a.txt:1: byte 0xc3 at offset 3 of" in raised(write(tmp_path / "a.txt", b"abc\xc3"))


@pytest.mark.parametrize(
    ("document", "kept"),
    [
        ("file", ["BAD not utf-8", "good"]),
        ("line", ["one", "BAD not utf-8", "", "three", "good"]),
        ("paragraph", ["BAD not utf-8", "three", "good"]),
    ],
)
def test_skip_leaves_out_the_document_and_no_more(tmp_path, document, kept):
    bad = write(tmp_path / "a.txt", b"one\ntw\xe9\n\nthree\n")
    good = write(tmp_path / "b.txt", b"good")
    # what one document is, is what is lost
    assert read([bad, good], document=document, on_bad="skip") == kept


def test_a_named_encoding_is_followed(tmp_path):
    # the bytes of the last tests, in the encoding they are in
    assert read(write(tmp_path / "a.txt", b"tw\xe9"), encoding="latin-1") == ["tw\u00e9"]
    path = write(tmp_path / "b.txt", "eins\nzw\u00f6lf\n".encode("cp1252"))
    assert read(path, encoding="cp1252", document="line") == ["eins", "zw\u00f6lf"]
    path = write(tmp_path / "c.txt", "\u65e5\u672c\n\u8a9e\n".encode("shift_jis"))
    assert read(path, encoding="shift_jis", document="line") == ["\u65e5\u672c", "\u8a9e"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("document", ["file", "line"])
def test_encodings_with_wide_newlines_are_followed_too(tmp_path, encoding, document):
    text = "one \u20ac\ntwo\n"  # the bytes of U+0A00 and the like hold a newline's
    path = write(tmp_path / "a.txt", (text + "\u0a0a\u0a00").encode(encoding))
    # split by characters, not by bytes
    whole = [text + "\u0a0a\u0a00"]
    lines = ["one \u20ac", "two", "\u0a0a\u0a00"]
    assert read(path, encoding=encoding, document=document) == (
        whole if document == "file" else lines
    )


def test_bytes_outside_a_named_encoding_are_told(tmp_path):
    path = write(tmp_path / "a.txt", b"a\n\x81")
    # cp1252 has five holes; nothing is put into them
    assert "a.txt:2: byte 0x81 at offset 2 of the file is not cp1252" in raised(
        path, encoding="cp1252"
    )


@pytest.mark.parametrize(
    ("head", "hint"),
    [
        ("text".encode("utf-16"), "data.encoding=utf-16"),
        (gzip.compress(b"text"), "name that ends in .gz"),
        (zstandard.compress(b"text"), "name that ends in .zst"),
        (b"\x89PNG\r\n\x1a\n\x00", "a picture"),
    ],
)
def test_a_file_that_is_something_else_is_recognised(tmp_path, head, hint):
    # by its first bytes, so that the advice fits
    assert hint in raised(write(tmp_path / "a.txt", head))


@pytest.mark.parametrize("document", ["file", "line", "paragraph"])
def test_a_nul_is_no_text(tmp_path, document):
    path = write(tmp_path / "a.txt", b"one\ntw\0o\n")
    said = raised(path, document=document)
    # valid UTF-8, but the mark of a binary file
    assert "a NUL character" in said and "binary" in said
    assert f"{path}:{1 if document == 'paragraph' else 2}:" in said
    # and it can be left out like other trouble
    assert "BAD NUL" in read(path, document=document, on_bad="skip")


def test_a_binary_file_is_refused(tmp_path):
    path = write(tmp_path / "a.txt", bytes(range(256)) * 10)
    # its first byte that no text has is shown, and the reason guessed from the NUL before it
    assert "a.txt:2: byte 0x80 at offset 128" in (said := raised(path)) and "binary" in said
    assert len(read(path, on_bad="skip")) == 1


def test_one_very_long_line_is_text_like_any_other(tmp_path):
    text = "word " * 400_000
    # a whole file needs no lines
    assert read(write(tmp_path / "a.txt", text), max_line="1 kB") == [text]


def test_a_record_longer_than_allowed_is_an_error_and_can_be_skipped(tmp_path):
    long = "x" * 5000
    path = write(tmp_path / "a.txt", f"one\n{long}\nthree\n{long}")
    said = raised(path, document="line", max_line="1 kB")
    # where it is, how long it may be, what to change
    assert "a.txt:2: the record is longer than data.max_line=1 kB. Raise it" in said
    # and what stands around it is read
    assert read(path, document="line", max_line="1 kB", on_bad="skip") == [
        "one",
        "BAD too long",
        "three",
        "BAD too long",
    ]


def test_a_line_of_exactly_the_longest_length_is_read(tmp_path):
    path = write(tmp_path / "a.txt", "x" * 1000 + "\n" + "y" * 1000)
    # the limit itself is allowed, with or without a newline behind it
    assert [len(line) for line in read(path, document="line", max_line="1 kB")] == [1000, 1000]


def test_a_line_of_many_blocks_is_skipped_without_being_held(tmp_path):
    path = write(tmp_path / "a.txt", "one\n" + "x" * 5_000_000 + "\ntwo\n" + "y" * 3_000_000)
    file = find_sources(data_of(path)).files[0]
    runs = list(lines_of(file, "utf-8", 100_000, lambda _: None))
    # what is given out never exceeds a block and the longest line
    assert max(len(run.data) for run in runs) < 1_200_000
    # places are still counted right behind it
    assert [(run.line, run.byte, run.data) for run in runs] == [
        (1, 0, b"one\n"),
        (2, 4, b""),
        (3, 5_000_005, b"two\n"),
        (4, 5_000_009, b""),
    ]


def test_progress_adds_up_to_the_size_on_disk(tmp_path):
    for name in ("a.txt", "b.txt.gz", "c.txt.zst"):
        file = find_sources(data_of(write(tmp_path / name, "some text " * 300_000))).files[0]
        told = []
        for _ in blocks(file, told.append):
            pass
        # packed bytes, since that is the size that is known beforehand
        assert 0.98 * file.n_bytes <= sum(told) <= file.n_bytes
