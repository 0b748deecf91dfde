"""Records of tables: csv, tsv and parquet, read a few rows at a time.

Columns go by name; a table without a row of names can be read by the numbers of its columns.
"""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import NamedTuple

from wellfit.config import Data
from wellfit.data.reading import Bad, OnRead, blocks, line_encoding, lines_of, too_long, undecodable
from wellfit.data.records import Asked, Column, Record, check_columns, picked
from wellfit.data.sources import SourceFile
from wellfit.errors import DataError, need

_ROWS_AT_ONCE = 256
_TABS = "the columns are separated by tabs. Write data.format=tsv"
_NOT_CSV = (
    "the record that begins here is not csv ({}). A quote inside a quoted field is written "
    'twice: ""; a table without quotes is data.format=tsv'
)


class Header(NamedTuple):
    """Which fields of a row are asked for, and how many a row has."""

    places: dict[str, int]  # by the name of the column
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
    header = None
    for number, row in _rows(file, data, on_read):
        if isinstance(row, Bad):
            yield Record(number, row)
            continue
        if len(row) < 2 and not any(row):
            continue
        if header is None:
            header = _header(file, row, asked)
            if header.named:
                continue
        n, places = len(row), header.places
        if n != header.width and (header.named or n <= max(places.values())):
            story = f"{n} fields, and the first row of the file has {header.width}"
            yield Record(number, Bad("wrong number of fields", story))
            continue
        found = {}
        for name, at in places.items():  # a comprehension takes twice as long
            found[name] = row[at]
        yield Record(number, found, found[asked.split] if asked.split is not None else None)


def _rows(file: SourceFile, data: Data, on_read: OnRead) -> Iterator[tuple[int, list[str] | Bad]]:
    """Rows, each with the number of the line where it begins."""
    lines = _table_lines(file, data, on_read)
    if file.format == "tsv":
        for number, line in enumerate(lines, 1):
            yield number, line.rstrip("\r\n").split("\t")
        return
    csv.field_size_limit(max(data.max_line, 1 << 17))  # of the whole process; 131,072 by default
    reader = csv.reader(lines, strict=True)
    while True:
        number = reader.line_num + 1
        try:
            yield number, next(reader)
        except StopIteration:
            return
        except csv.Error as e:  # the reader goes on with the next line
            yield number, Bad("not csv", _NOT_CSV.format(e))


def _table_lines(file: SourceFile, data: Data, on_read: OnRead) -> Iterator[str]:
    """Lines with their ends.  What cannot be decoded is left as lone surrogates.

    They mark the record as bad later on, when it is known where it begins and ends.
    """
    encoding = line_encoding(data.encoding)
    for run in lines_of(file, data.encoding, data.max_line, on_read):
        if not run.data:
            raise DataError(f"{file.path}:{run.line}: {too_long(data.max_line)}")
        try:
            text = run.data.decode(encoding)
        except UnicodeDecodeError as e:
            if data.on_bad == "error":
                bad = undecodable(file, encoding, e, line=run.line, byte=run.byte)
                raise bad.error(file, run.line) from None
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
    return Header(places, len(row), named)


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
    with tempfile.TemporaryFile() if file.compression else nullcontext() as unpacked:
        if unpacked is not None:  # parquet is read from its end, so it must lie there whole
            unpacked.writelines(blocks(file, on_read))
        try:
            with parquet.ParquetFile(unpacked or file.path, pre_buffer=False) as table:
                check_columns(file, table.schema_arrow.names, asked)
                names = None if asked.every else list(dict.fromkeys(c.name for c in asked.columns))
                batches = table.iter_batches(batch_size=_ROWS_AT_ONCE, columns=names)
                rows = (row for batch in batches for row in batch.to_pylist())
                for number, row in enumerate(rows, 1):
                    yield picked(number, row, asked)
        except (pyarrow.ArrowException, OSError) as e:
            raise DataError(f"{file.path} is not sound parquet: {e}") from None
    if not file.compression:
        on_read(file.n_bytes)
