"""Files to documents: each format turns its bytes into pieces of text, strictly.

A document of one file may be larger than memory, so it comes in pieces.  Where pieces are cut
depends on the text alone, never on how it was read, because tokens are made piece by piece.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, assert_never

from wellfit.config import Data
from wellfit.data.reading import (
    LEAVE_OUT,
    Bad,
    Lines,
    OnRead,
    kept_lines,
    line_encoding,
    lines_of,
    nul,
    place_in,
    text_blocks,
    too_long,
    undecodable,
)
from wellfit.data.sources import SourceFile
from wellfit.data.tables import Record, parquet_records, separated_records
from wellfit.errors import DataError

PIECE_CHARS = 1 << 16
_LOOK_BACK = 1 << 12  # how far before the end of a piece a space is looked for


class Piece(NamedTuple):
    """A stretch of one document's text; ``ends`` on the document's last."""

    text: str
    ends: bool
    number: int  # of the line or row in the file where the document begins; 0 is the file itself
    value: str | None = None  # what the split column says
    bad: Bad | None = None  # the whole document is not to be used; only where it ends


def pieces_of(file: SourceFile, data: Data, on_read: OnRead) -> Iterator[Piece]:
    """The documents of one file, piece by piece.

    Raises ``DataError`` for a record that cannot be read, unless ``data.on_bad`` is ``skip``:
    then it comes as a piece that is ``bad``.
    """
    if file.format == "text" and data.document == "file":
        pieces = _whole_file(file, data.encoding, on_read)
    else:
        pieces = _checked(file, _records(file, data, on_read), data.max_line)
    if data.on_bad == "skip":
        yield from pieces
        return
    for piece in pieces:
        if piece.bad is not None:
            raise DataError(piece.bad.message)
        yield piece


def _records(file: SourceFile, data: Data, on_read: OnRead) -> Iterator[Record]:
    column = data.split.column if data.split.kind == "column" else None
    match file.format:
        case "text":
            lines = _text_lines(file, data, on_read)
            return lines if data.document == "line" else _paragraphs(file, lines, data.max_line)
        case "jsonl":
            return _json_lines(file, _text_lines(file, data, on_read), data.text, column)
        case "csv" | "tsv":
            return separated_records(file, data, column, on_read)
        case "parquet":
            return parquet_records(file, data, column, on_read)
        case _:
            assert_never(file.format)


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
        bad = known or _trouble(text, place_in(file, number), max_line)
        if bad is not None:
            yield Piece("", True, number, bad=bad)
            continue
        start = 0
        while len(text) - start > PIECE_CHARS:
            cut = _cut(text, start)
            yield Piece(text[start:cut], False, number, value)
            start = cut
        yield Piece(text[start:], True, number, value)


def _trouble(text: Any, place: str, max_line: int) -> Bad | None:
    if not isinstance(text, str):
        says = "nothing" if text is None else f"{type(text).__name__} {str(text)[:40]!r}"
        story = f"{place}: there is {says} where the text should be. {LEAVE_OUT}"
        return Bad("no text", place, story)
    if "\0" in text:
        return nul(place)
    if len(text) * 4 > max_line and len(text.encode("utf-8", "replace")) > max_line:
        return too_long(place, max_line)
    try:
        text.encode()
    except UnicodeEncodeError as e:
        story = (
            f"{place}: half a character (U+{ord(text[e.start]):04X}, a lone surrogate) at "
            f"offset {e.start} of the text. {LEAVE_OUT}"
        )
        return Bad("half a character", place, story)
    return None


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


def _json_lines(
    file: SourceFile, lines: Iterable[Record], key: str, column: str | None
) -> Iterator[Record]:
    for line in lines:
        if line.bad is not None:
            yield line
        elif line.text and not line.text.isspace():
            yield _json_record(file, line, key, column)


def _json_record(file: SourceFile, line: Record, key: str, column: str | None) -> Record:
    place = place_in(file, line.number)
    try:
        found = json.loads(line.text)
    except (ValueError, RecursionError) as e:
        return _bad_json(line, Bad("not JSON", place, f"{place}: the line is not JSON ({e})"))
    if not isinstance(found, dict):
        story = f'{place}: the line is not a JSON object such as {{"{key}": "..."}}'
        return _bad_json(line, Bad("not an object", place, story))
    for wanted, setting in ((key, "data.text"), (column, "data.split.column")):
        if wanted is not None and wanted not in found:
            keys = ", ".join(map(repr, list(found)[:20])) or "none"
            story = f"{place}: no key {wanted!r}; the keys are {keys}. Name one with {setting}"
            return _bad_json(line, Bad(f"no key {wanted!r}", place, story))
    return Record(line.number, found[key], found[column] if column is not None else None, None)


def _bad_json(line: Record, bad: Bad) -> Record:
    return Record(line.number, None, None, bad._replace(message=f"{bad.message}. {LEAVE_OUT}"))
