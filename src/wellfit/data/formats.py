"""Files to documents: each format turns its bytes into pieces of text, strictly.

A document of one file may be larger than memory, so it comes in pieces.  Where pieces are cut
depends on the text alone, never on how it was read, because tokens are made piece by piece.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, zip_longest
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
    text_blocks,
    too_long,
    undecodable,
)
from wellfit.data.records import (
    Asked,
    Column,
    Phrase,
    Piece,
    Record,
    asked_for,
    bad_piece,
    check_columns,
    check_text,
    phrase,
    picked,
    written_out,
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
    is_plain = file.format == "text" and data.pattern is None and not file.column
    if form is not None:
        pieces = examples_of(file, _records(file, data, form.asked, on_read), form)
    elif not is_plain:
        wanted = phrase(data.text, "data.text")
        records = _records(file, data, asked_for(data, wanted), on_read)
        pieces = _documents(records, _text_of(wanted), data.max_line)
    elif data.document == "file":
        pieces = _whole_file(file, data.encoding, on_read)
    else:
        records = _text_lines(file, data, on_read)
        if data.document == "paragraph":
            records = _paragraphs(records, data.max_line)
        pieces = _documents(records, str, data.max_line)
    for piece in pieces:
        if piece.bad is not None and data.on_bad == "error":
            raise piece.bad.error(file, piece.number)
        yield piece


def _text_of(wanted: Phrase) -> Callable[[Any], str]:
    """What writes a phrase out; of the text of a single column, without a look at the rest."""
    column = wanted.blanks[0].column

    def text_of(found: Any) -> str:
        value = found[column]
        return value if isinstance(value, str) else written_out(wanted, found)

    return text_of if wanted.is_column else partial(written_out, wanted)


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
            return _json_lines(_text_lines(file, data, on_read), asked)
        case "csv" | "tsv":
            return separated_records(file, data, asked, on_read)
        case "parquet":
            return parquet_records(file, asked, on_read)
        case _:
            assert_never(file.format)


def whole_records(file: SourceFile, data: Data, on_read: OnRead) -> Iterator[dict[str, Any]]:
    """Every record of a file with all of its columns.  Raises ``DataError`` for a bad one."""
    names = re.compile(data.pattern or "").groupindex
    every = tuple(Column(name, "data.pattern") for name in names)
    for record in _records(file, data, Asked(every, None, every=True), on_read):
        if isinstance(record.found, Bad):
            raise record.found.error(file, record.number)
        yield record.found


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
        if isinstance(line.found, Bad):
            yield line
        elif found := pattern.fullmatch(line.found):
            yield picked(line.number, found.groupdict(), asked)
        elif line.found.strip():
            story = f"data.pattern does not match the line {line.found[:60]!r}"
            yield Record(line.number, Bad("no match", story))


def _side_by_side(file: SourceFile, data: Data, asked: Asked, on_read: OnRead) -> Iterator[Record]:
    """Line n of each file that goes with this one, by the names of their columns.

    Raises ``DataError`` for files of different lengths: which line is missing is anyone's guess.
    """
    names = [part.column for part in file.all]
    check_columns(file, names, asked)
    sides = [_text_lines(part, data, on_read) for part in file.all]
    for number, lines in enumerate(zip_longest(*sides), 1):
        if None in lines:
            rest = [sum(1 for _ in side) for side in sides]
            counts = [number - (a is None) + n for a, n in zip(lines, rest, strict=True)]
            said = ", ".join(f"{p.path} {n:,}" for p, n in zip(file.all, counts, strict=True))
            raise DataError(f"files that go together line by line differ in lines: {said}")
        found = {name: line.found for name, line in zip(names, lines, strict=True)}
        bad = [text for text in found.values() if isinstance(text, Bad)]
        yield Record(number, bad[0]) if bad else picked(number, found, asked)


def _whole_file(file: SourceFile, encoding: str, on_read: OnRead) -> Iterator[Piece]:
    held = ""
    try:
        for text in text_blocks(file, encoding, on_read):
            *pieces, held = _cut_up(held + text)
            yield from (Piece(piece, False, 0) for piece in pieces)
        yield Piece(held, True, 0)
    except Bad as bad:
        yield bad_piece(0, bad)


def _documents(
    records: Iterable[Record], text_of: Callable[[Any], str], max_line: int
) -> Iterator[Piece]:
    """The pieces of the text of each record; bad where it is not such as UTF-8 can write."""
    short = min(PIECE_CHARS, max_line)
    for number, found, value in records:
        try:
            if isinstance(found, Bad):
                raise found
            text = text_of(found)
            if len(text) > short or not text.isascii() or "\0" in text:  # else sound, at a glance
                check_text(text, max_line)
        except Bad as bad:
            yield bad_piece(number, bad)
            continue
        if len(text) > PIECE_CHARS:
            *pieces, text = _cut_up(text)
            yield from (Piece(piece, False, number, value) for piece in pieces)
        yield Piece(text, True, number, value)


def _cut_up(text: str) -> list[str]:
    """A text in pieces, each cut off before a space that follows a letter or digit.

    There the word patterns of GPT-2 and its successors begin a new token in any case, so that
    cutting changes no token.  A text without such a place is cut at the full length.
    """
    pieces, start = [], 0
    while len(text) - start > PIECE_CHARS:
        end = start + PIECE_CHARS
        places = range(end, end - _LOOK_BACK, -1)
        cut = next((at for at in places if text[at].isspace() and text[at - 1].isalnum()), end)
        pieces.append(text[start:cut])
        start = cut
    return [*pieces, text[start:]]


def _text_lines(file: SourceFile, data: Data, on_read: OnRead) -> Iterator[Record]:
    """Lines without their newline; run by run, and one by one only where a run is not sound."""
    encoding = line_encoding(data.encoding)
    for run in lines_of(file, data.encoding, data.max_line, on_read):
        if not run.data:
            yield Record(run.line, too_long(data.max_line))
            continue
        try:
            text = run.data.decode(encoding)
        except UnicodeDecodeError:
            yield from _lines_one_by_one(file, encoding, run)
            continue
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        for number, line in enumerate(text.removesuffix("\n").split("\n"), run.line):
            yield Record(number, line)


def _lines_one_by_one(file: SourceFile, encoding: str, run: Lines) -> Iterator[Record]:
    byte = run.byte
    for number, raw in enumerate(kept_lines(run.data), run.line):
        try:
            yield Record(number, raw.decode(encoding).rstrip("\r\n"))
        except UnicodeDecodeError as e:
            yield Record(number, undecodable(file, encoding, e, line=number, byte=byte))
        byte += len(raw)


def _paragraphs(lines: Iterable[Record], max_line: int) -> Iterator[Record]:
    """Runs of lines between blank ones; bad as a whole if one line is, or if too long."""
    held: list[str] = []
    number, size, bad = 0, 0, None
    for line in chain(lines, [Record(0, "")]):
        text = line.found
        if isinstance(text, str) and not text.strip():
            if held or bad:
                yield Record(number, bad or "\n".join(held))
            held, size, bad = [], 0, None
            continue
        if not (held or bad):
            number = line.number
        if isinstance(text, Bad):
            bad = bad or text
        else:
            size += len(text) + 1
            held.append(text)
            if size > max_line:
                bad = bad or too_long(max_line)
        if bad:
            held.clear()


def _json_lines(lines: Iterable[Record], asked: Asked) -> Iterator[Record]:
    for line in lines:
        if isinstance(line.found, Bad):
            yield line
        elif line.found and not line.found.isspace():
            yield _json_record(line.number, line.found, asked)


def _json_record(number: int, line: str, asked: Asked) -> Record:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as e:
        return Record(number, Bad("not JSON", f"the line is not JSON ({e})"))
    if not isinstance(found, dict):
        key = asked.columns[0].name if asked.columns else "text"
        story = f'the line is not a JSON object such as {{"{key}": "..."}}'
        return Record(number, Bad("not an object", story))
    return picked(number, found, asked)
