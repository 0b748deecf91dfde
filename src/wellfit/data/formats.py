"""Files to documents: each format turns its bytes into pieces of text, strictly.

A document of one file may be larger than memory, so it comes in pieces.  Where pieces are cut
depends on the text alone, never on how it was read, because tokens are made piece by piece.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import Any, assert_never

from wellfit.config import Data
from wellfit.data.arrays import list_records
from wellfit.data.examples import Form, examples_of
from wellfit.data.reading import (
    Bad,
    Lines,
    OnRead,
    kept_lines,
    line_encoding,
    lines_of,
    place_in,
    text_blocks,
    too_long,
    undecodable,
)
from wellfit.data.records import (
    Asked,
    Column,
    Piece,
    Record,
    asked_for,
    bad_record,
    check_columns,
    phrase,
    phrased,
    picked,
    trouble_with,
)
from wellfit.data.sources import SourceFile
from wellfit.data.tables import parquet_records, separated_records
from wellfit.errors import DataError

PIECE_CHARS = 1 << 16
_LOOK_BACK = 1 << 12  # how far before the end of a piece a space is looked for


def pieces_of(
    file: SourceFile, data: Data, on_read: OnRead, form: Form | None = None
) -> Iterator[Piece]:
    """The documents of one file, piece by piece; with a form, the examples of a task.

    Raises ``DataError`` for a record that cannot be read, unless ``data.on_bad`` is ``skip``:
    then it comes as a piece that is ``bad``.
    """
    if form is not None:
        pieces = examples_of(file, _records(file, data, form.asked, on_read), form)
    elif _is_plain(file, data) and data.document == "file":
        pieces = _whole_file(file, data.encoding, on_read)
    else:
        pieces = _checked(file, _texts(file, data, on_read), data.max_line)
    if data.on_bad == "skip":
        yield from pieces
        return
    for piece in pieces:
        if piece.bad is not None:
            raise DataError(piece.bad.message)
        yield piece


def _is_plain(file: SourceFile, data: Data) -> bool:
    """Whether the file is text without columns."""
    return file.format == "text" and data.pattern is None and not file.column


def _texts(file: SourceFile, data: Data, on_read: OnRead) -> Iterator[Record]:
    """The records of a file, each with its text for a language model."""
    if _is_plain(file, data):
        return _plain_texts(file, data, on_read)
    wanted = phrase(data.text, "data.text")
    asked = asked_for(data, wanted)
    if wanted.is_column:
        return _records(file, data, asked._replace(alone=wanted.columns[0].name), on_read)
    return phrased(file, _records(file, data, asked, on_read), wanted)


def _plain_texts(file: SourceFile, data: Data, on_read: OnRead) -> Iterator[Record]:
    lines = _text_lines(file, data, on_read)
    return _paragraphs(file, lines, data.max_line) if data.document == "paragraph" else lines


def _records(file: SourceFile, data: Data, asked: Asked, on_read: OnRead) -> Iterator[Record]:
    match file.format:
        case "text" if file.column:
            return _side_by_side(file, data, asked, on_read)
        case "text" if data.pattern is not None:
            return _matches(file, data, asked, on_read)
        case "text":
            raise DataError(_no_columns(file, asked))
        case "json":
            return list_records(file, data, asked, on_read)
        case "jsonl":
            return _json_lines(file, _text_lines(file, data, on_read), asked)
        case "csv" | "tsv":
            return separated_records(file, data, asked, on_read)
        case "parquet":
            return parquet_records(file, asked, on_read)
        case _:
            assert_never(file.format)


def whole_records(file: SourceFile, data: Data, on_read: OnRead) -> Iterator[dict[str, Any]]:
    """Every record of a file with all of its columns.  Raises ``DataError`` for a bad one."""
    every = tuple(
        Column(name, "data.pattern") for name in re.compile(data.pattern or "").groupindex
    )
    for record in _records(file, data, Asked(every, None, every=True), on_read):
        if record.bad is not None:
            raise DataError(record.bad.message)
        yield record.text


def _no_columns(file: SourceFile, asked: Asked) -> str:
    wanted = ", ".join(f"{name!r} ({setting})" for name, setting in asked.columns) or "records"
    return (
        f"{file.path} is plain text and has no columns, and this recipe wants {wanted}. Take its "
        "lines apart with data.pattern, for example data.pattern='(?P<label>\\S+) (?P<text>.*)', "
        "or name the format of the file in data.format"
    )


def _matches(file: SourceFile, data: Data, asked: Asked, on_read: OnRead) -> Iterator[Record]:
    """Lines taken apart by ``data.pattern``; blank ones are passed over."""
    pattern = re.compile(data.pattern or "")
    check_columns(file, pattern.groupindex, asked)
    for line in _text_lines(file, data, on_read):
        if line.bad is not None:
            yield line
        elif found := pattern.fullmatch(line.text):
            yield picked(file, line.number, found.groupdict(), asked)
        elif line.text.strip():
            place = place_in(file, line.number)
            story = f"{place}: data.pattern does not match the line {line.text[:60]!r}"
            yield bad_record(line.number, Bad("no match", place, story))


def _side_by_side(file: SourceFile, data: Data, asked: Asked, on_read: OnRead) -> Iterator[Record]:
    """Line n of each file that goes with this one, by the names of their columns.

    Raises ``DataError`` for files of different lengths: which line is missing is anyone's guess.
    """
    names = [part.column for part in file.all]
    check_columns(file, names, asked)
    sides = [_text_lines(part, data, on_read) for part in file.all]
    number = 0
    for lines in zip_longest(*sides):
        if None in lines:
            rest = [sum(1 for _ in side) for side in sides]
            counts = [number + (a is not None) + n for a, n in zip(lines, rest, strict=True)]
            said = ", ".join(f"{p.path} {n:,}" for p, n in zip(file.all, counts, strict=True))
            raise DataError(f"files that go together line by line differ in lines: {said}")
        number += 1
        bad = next((line.bad for line in lines if line.bad is not None), None)
        found = {name: line.text for name, line in zip(names, lines, strict=True)}
        yield picked(file, number, found, asked) if bad is None else Record(number, None, None, bad)


def _whole_file(file: SourceFile, encoding: str, on_read: OnRead) -> Iterator[Piece]:
    held = ""
    for text in text_blocks(file, encoding, on_read):
        if isinstance(text, Bad):
            yield Piece("", True, 0, bad=text)
            return
        held += text
        while len(held) > PIECE_CHARS:
            cut = _cut(held, 0)
            yield Piece(held[:cut], False, 0)
            held = held[cut:]
    yield Piece(held, True, 0)


def _checked(file: SourceFile, records: Iterable[Record], max_line: int) -> Iterator[Piece]:
    """The records' pieces, where they are text that UTF-8 can write; else pieces that are bad."""
    short = min(PIECE_CHARS, max_line // 4)
    for number, text, value, known in records:
        value = None if value is None else str(value)
        # most records by far, at a glance
        if known is None and isinstance(text, str) and len(text) <= short and text.isascii():
            if "\0" not in text:
                yield Piece(text, True, number, value)
                continue
        bad = known or trouble_with(text, place_in(file, number), max_line)
        if bad is not None:
            yield Piece("", True, number, bad=bad)
            continue
        start = 0
        while len(text) - start > PIECE_CHARS:
            cut = _cut(text, start)
            yield Piece(text[start:cut], False, number, value)
            start = cut
        yield Piece(text[start:], True, number, value)


def _cut(text: str, start: int) -> int:
    """Where the piece that begins at ``start`` ends: before a space that follows a letter or digit.

    There the word patterns of GPT-2 and its successors begin a new token in any case, so that
    cutting changes no token.  A text without such a place is cut at the full length.
    """
    end = start + PIECE_CHARS
    for at in range(end, end - _LOOK_BACK, -1):
        if text[at].isspace() and text[at - 1].isalnum():
            return at
    return end


def _text_lines(file: SourceFile, data: Data, on_read: OnRead) -> Iterator[Record]:
    """Lines without their newline; run by run, and one by one only where a run is not sound."""
    encoding = line_encoding(data.encoding)
    for run in lines_of(file, data.encoding, data.max_line, on_read):
        if run.bad is not None:
            yield Record(run.line, None, None, run.bad)
            continue
        try:
            text = run.data.decode(encoding)
        except UnicodeDecodeError:
            yield from _lines_one_by_one(file, encoding, run)
            continue
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        for number, line in enumerate(text.removesuffix("\n").split("\n"), run.line):
            yield Record(number, line, None, None)


def _lines_one_by_one(file: SourceFile, encoding: str, run: Lines) -> Iterator[Record]:
    byte = run.byte
    for number, raw in enumerate(kept_lines(run.data), run.line):
        try:
            yield Record(number, raw.decode(encoding).rstrip("\r\n"), None, None)
        except UnicodeDecodeError as e:
            bad = undecodable(file, encoding, e, line=number, byte=byte)
            yield Record(number, None, None, bad)
        byte += len(raw)


def _paragraphs(file: SourceFile, lines: Iterable[Record], max_line: int) -> Iterator[Record]:
    """Runs of lines between blank ones; bad as a whole if one line is, or if too long."""
    held: list[str] = []
    number, size, bad = 0, 0, None
    for line in lines:
        if line.bad is None and not line.text.strip():
            if held or bad:
                yield Record(number, "\n".join(held), None, bad)
            held, size, bad = [], 0, None
            continue
        if not held and bad is None:
            number = line.number
        size += len(line.text or "") + 1
        bad = bad or line.bad
        if bad is None and size > max_line:
            bad = too_long(place_in(file, number), max_line)
        if bad is None:
            held.append(line.text)
        else:
            held.clear()
    if held or bad:
        yield Record(number, "\n".join(held), None, bad)


def _json_lines(file: SourceFile, lines: Iterable[Record], asked: Asked) -> Iterator[Record]:
    for line in lines:
        if line.bad is not None:
            yield line
        elif line.text and not line.text.isspace():
            yield _json_record(file, line, asked)


def _json_record(file: SourceFile, line: Record, asked: Asked) -> Record:
    try:
        found = json.loads(line.text)
    except (ValueError, RecursionError) as e:
        place = place_in(file, line.number)
        return bad_record(
            line.number, Bad("not JSON", place, f"{place}: the line is not JSON ({e})")
        )
    if not isinstance(found, dict):
        place, key = place_in(file, line.number), asked.columns[0].name if asked.columns else "text"
        story = f'{place}: the line is not a JSON object such as {{"{key}": "..."}}'
        return bad_record(line.number, Bad("not an object", place, story))
    return picked(file, line.number, found, asked)
