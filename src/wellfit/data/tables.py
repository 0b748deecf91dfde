"""Records of tables: csv, tsv and parquet, read a few rows at a time.

Columns go by name; a table without a row of names can be read by the numbers of its columns.
"""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from wellfit.config import Data
from wellfit.data.reading import (
    LEAVE_OUT,
    Bad,
    OnRead,
    blocks,
    line_encoding,
    lines_of,
    place_in,
    undecodable,
)
from wellfit.data.records import Asked, Column, Record, check_columns, picked
from wellfit.data.sources import SourceFile
from wellfit.errors import DataError, need

_ROWS_AT_ONCE = 256
_TABS = "the columns are separated by tabs. Write data.format=tsv"


class Header(NamedTuple):
    """Which fields of a row are asked for, and how many a row has."""

    places: dict[str, int]  # by the name of the column
    text: int | None  # place of the one that is the text, where it is asked for alone
    value: int | None
    width: int
    named: bool  # the first row is names; else it is a record


def separated_records(
    file: SourceFile, data: Data, asked: Asked, on_read: OnRead
) -> Iterator[Record]:
    """Rows of csv (RFC 4180: quotes may hold separators and line ends) or tsv (no quotes).

    Columns go by the names in the first row.  A number names a column by its place, counted
    from 1, in a file whose first row is a record already.

    Raises ``DataError`` when there is no such column: that is no fault of a single record.
    """
    split: Callable[[Iterator[str]], Iterator[list[str]]]
    split = _csv_rows(data.max_line) if file.format == "csv" else _tsv_rows
    lines = _Counted(_table_lines(file, data, on_read))
    rows, header = iter(split(iter(lines))), None
    while True:
        number = lines.taken + 1
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as e:  # the reader goes on with the next line
            place = place_in(file, number)
            yield Record(number, None, None, Bad("not csv", place, _not_csv(place, e)))
            continue
        if not row or row == [""]:
            continue
        if header is None:
            header = _header(file, row, asked)
            if header.named:
                continue
        yield _row(file, number, row, header)


def _not_csv(place: str, error: csv.Error) -> str:
    return (
        f"{place}: the record that begins here is not csv ({error}). A quote inside a quoted "
        f'field is written twice: ""; a table without quotes is data.format=tsv. {LEAVE_OUT}'
    )


def _row(file: SourceFile, number: int, row: Sequence[str], header: Header) -> Record:
    fits = len(row) == header.width if header.named else len(row) > max(header.places.values())
    if not fits:
        place = place_in(file, number)
        story = (
            f"{place}: {len(row)} fields, and the first row of the file has {header.width}. "
            f"{LEAVE_OUT}"
        )
        return Record(number, None, None, Bad("wrong number of fields", place, story))
    value = row[header.value] if header.value is not None else None
    if header.text is not None:
        return Record(number, row[header.text], value, None)
    return Record(number, {name: row[at] for name, at in header.places.items()}, value, None)


class _Counted:
    """An iterator of lines that knows how many it has given, for the csv module reads ahead."""

    def __init__(self, lines: Iterator[str]) -> None:
        self.lines = lines
        self.taken = 0

    def __iter__(self) -> Iterator[str]:
        for line in self.lines:
            self.taken += 1
            yield line


def _csv_rows(max_line: int) -> Callable[[Iterator[str]], Iterator[list[str]]]:
    def rows(lines: Iterator[str]) -> Iterator[list[str]]:
        csv.field_size_limit(max(max_line, 1 << 17))  # of the whole process; 131,072 is its default
        return iter(csv.reader(lines, strict=True))

    return rows


def _tsv_rows(lines: Iterator[str]) -> Iterator[list[str]]:
    for line in lines:
        yield line.rstrip("\r\n").split("\t")


def _table_lines(file: SourceFile, data: Data, on_read: OnRead) -> Iterator[str]:
    """Lines with their ends.  What cannot be decoded is left as lone surrogates.

    They mark the record as bad later on, when it is known where it begins and ends.
    """
    encoding = line_encoding(data.encoding)
    for run in lines_of(file, data.encoding, data.max_line, on_read):
        if run.bad is not None:
            raise DataError(run.bad.message.removesuffix(f" {LEAVE_OUT}"))
        try:
            text = run.data.decode(encoding)
        except UnicodeDecodeError as e:
            if data.on_bad == "error":
                story = undecodable(file, encoding, e, line=run.line, byte=run.byte).message
                raise DataError(story) from None
            text = run.data.decode(encoding, "surrogateescape")
        yield from io.StringIO(text, newline="")


def _header(file: SourceFile, row: Sequence[str], asked: Asked) -> Header:
    """The places of the columns asked for; of all, where the task looks what there is."""
    wanted = asked.columns
    named = not wanted or not all(c.name.isdigit() and c.name not in row for c in wanted)
    if asked.every:
        if len(row) == 1 and "\t" in row[0]:
            raise DataError(f"{file.path}:1: {_TABS}")
        wanted = (*wanted, *(Column(name, "data.text") for name in row))
    places = {c.name: _place_of(file, row, c.name, c.setting, named) for c in wanted}
    text = places[asked.alone] if asked.alone is not None else None
    value = places[asked.split] if asked.split is not None else None
    return Header(places, text, value, len(row), named)


def _place_of(file: SourceFile, row: Sequence[str], name: str, setting: str, named: bool) -> int:
    if not named and 1 <= int(name) <= len(row):
        return int(name) - 1
    if named and row.count(name) == 1:
        return row.index(name)
    start = f"{file.path}:1: "
    if row.count(name) > 1:
        raise DataError(f"{start}{row.count(name)} columns are called {name!r}. Rename one")
    if len(row) == 1 and "\t" in row[0]:
        raise DataError(f"{start}{_TABS}")
    shown = ", ".join(repr(cell[:40]) for cell in row[:20])
    raise DataError(
        f"{start}no column {name!r} ({setting}) among {len(row)}: {shown}. Name one of them; if "
        f"the file has no row of names, give the column's number, such as {setting}={len(row)}"
    )


def parquet_records(file: SourceFile, asked: Asked, on_read: OnRead) -> Iterator[Record]:
    """Rows of a parquet file, the columns asked for alone."""
    pyarrow = need("pyarrow", extra="data", why=f"reading {file.path}")
    parquet = need("pyarrow.parquet", extra="data", why=f"reading {file.path}")
    with tempfile.TemporaryFile() as unpacked:
        source: Any = str(file.path)
        if file.compression:  # parquet is read from its end, so it must lie there whole
            for block in blocks(file, on_read):
                unpacked.write(block)
            source = unpacked
        try:
            with parquet.ParquetFile(source, pre_buffer=False) as table:
                check_columns(file, table.schema_arrow.names, asked)
                names = [c.name for c in asked.columns]
                yield from _parquet_rows(file, table, None if asked.every else names, asked)
        except (pyarrow.ArrowException, OSError) as e:
            raise DataError(f"{file.path} is not sound parquet: {e}") from None
    if not file.compression:
        on_read(file.n_bytes)


def _parquet_rows(
    file: SourceFile, table: Any, names: list[str] | None, asked: Asked
) -> Iterator[Record]:
    number = 0
    columns = None if names is None else list(dict.fromkeys(names))
    for batch in table.iter_batches(batch_size=_ROWS_AT_ONCE, columns=columns):
        for row in batch.to_pylist():
            number += 1
            yield picked(file, number, row, asked)
