"""What readers give: records of columns, and the documents that they become."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from wellfit.config import Data
from wellfit.config.fields import Blank, blanks_in
from wellfit.data.reading import LEAVE_OUT, Bad, nul, place_in, too_long
from wellfit.data.sources import SourceFile
from wellfit.errors import DataError


class Column(NamedTuple):
    """A column that is asked for, and the recipe's key that asks."""

    name: str
    setting: str


class Asked(NamedTuple):
    """What is wanted of each record: the value of one column, or a mapping of several."""

    columns: tuple[Column, ...]  # must all be there, the split's among them
    split: str | None  # the column that says which split the record is in
    alone: str | None = None  # the one whose value is the text of a language model
    every: bool = False  # whatever else there is comes along


class Record(NamedTuple):
    """One record of a file as the file gives it, or what is wrong with it."""

    number: int  # of the line, row or record, counted from 1, where it begins
    text: Any  # or, where not one column alone is asked for, a mapping of columns to values
    value: Any  # what the split column says
    bad: Bad | None


class Example(NamedTuple):
    """One record of a task, as its texts; not yet tokens."""

    given: str  # what is given to the model: decides the split, and what a copy is
    texts: tuple[tuple[str, bool], ...]  # encoded apart, each with whether it is learned
    spans: tuple[tuple[int, int], ...] | None = None  # of a conversation: the learned characters
    labels: tuple[str, ...] | tuple[float, ...] | None = None
    form: str = ""  # how the record of a conversation was written


class Piece(NamedTuple):
    """A stretch of one document's text; ``ends`` on the document's last."""

    text: str
    ends: bool
    number: int  # of the line or row in the file where the document begins; 0 is the file itself
    value: str | None = None  # what the split column says
    bad: Bad | None = None  # the whole document is not to be used; only where it ends
    example: Example | None = None


class Phrase(NamedTuple):
    """A text that is a column, or has columns in it."""

    blanks: tuple[Blank, ...]
    setting: str  # the recipe's key that says so
    is_column: bool  # the text of one column as it stands, which must be text

    @property
    def columns(self) -> tuple[Column, ...]:
        """Those that it needs."""
        return tuple(Column(b.column, self.setting) for b in self.blanks if b.column is not None)


def phrase(text: str, setting: str) -> Phrase:
    """A phrase from the recipe's text.  Raises ``DataError`` where the braces are not sound."""
    try:
        return Phrase(blanks_in(text), setting, "{" not in text)
    except ValueError as e:
        raise DataError(f"{setting}: {e}") from None


def written_out(wanted: Phrase, found: Mapping[str, Any], place: str) -> str | Bad:
    """The phrase with the values of a record; numbers in it as JSON writes them."""
    if wanted.is_column:
        value = found[wanted.columns[0].name]
        return value if isinstance(value, str) else no_text(value, place, wanted.columns[0].name)
    parts = []
    for words, column in wanted.blanks:
        value = "" if column is None else found[column]
        is_number = isinstance(value, (bool, int)) or (
            isinstance(value, float) and math.isfinite(value)
        )
        if not isinstance(value, str) and not is_number:
            return no_text(value, place, str(column))
        parts += [words, value if isinstance(value, str) else json.dumps(value)]
    return "".join(parts)


def no_text(value: Any, place: str, column: str | None = None) -> Bad:
    """The story of a value that is no text."""
    says = "nothing" if value is None else f"{type(value).__name__} {str(value)[:40]!r}"
    of = f" of {column!r}" if column else ""
    hint = f"To write a number out: '{{{column}}}'. " if column and value is not None else ""
    return Bad(
        "no text",
        place,
        f"{place}: there is {says} where the text{of} should be. {hint}{LEAVE_OUT}",
    )


def trouble_with(text: Any, place: str, max_line: int) -> Bad | None:
    """What keeps a value from being text that UTF-8 can write."""
    if not isinstance(text, str):
        return no_text(text, place)
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


def asked_for(data: Data, *phrases: Phrase, more: Iterable[Column] = ()) -> Asked:
    """What phrases, further columns and the recipe's split want of each record."""
    columns = [*(column for wanted in phrases for column in wanted.columns), *more]
    if data.split.kind != "column":
        return Asked(tuple(columns), None)
    return Asked((*columns, Column(data.split.column, "data.split.column")), data.split.column)


def picked(file: SourceFile, number: int, found: Mapping[str, Any], asked: Asked) -> Record:
    """The record that a mapping makes; bad if a column is not there."""
    for name, setting in asked.columns:
        if name not in found:
            place = place_in(file, number)
            keys = ", ".join(map(repr, list(found)[:20])) or "none"
            story = f"{place}: no key {name!r}; the keys are {keys}. Name one with {setting}"
            return bad_record(number, Bad(f"no key {name!r}", place, story))
    value = found[asked.split] if asked.split is not None else None
    return Record(number, found if asked.alone is None else found[asked.alone], value, None)


def bad_record(number: int, bad: Bad) -> Record:
    """The record of which this is wrong, and how to leave it out."""
    return Record(number, None, None, bad._replace(message=f"{bad.message}. {LEAVE_OUT}"))


def as_piece(record: Record, made: Example | Bad) -> Piece:
    """The document that a record makes, all in one piece."""
    if isinstance(made, Bad):
        return Piece("", True, record.number, bad=made)
    value = None if record.value is None else str(record.value)
    return Piece("".join(text for text, _ in made.texts), True, record.number, value, None, made)


def check_columns(file: SourceFile, names: Collection[str], asked: Asked) -> None:
    """Raise ``DataError`` for a column that no record of a file has: that is the recipe's fault."""
    for name, setting in asked.columns:
        if name not in names:
            shown = ", ".join(map(repr, list(names)[:20]))
            raise DataError(
                f"{file.path}: no column {name!r}; the columns are {shown}. "
                f"Name one of them with {setting}"
            )


def phrased(file: SourceFile, records: Iterable[Record], wanted: Phrase) -> Iterator[Record]:
    """Records whose text is made of columns."""
    for record in records:
        text = record.text
        if record.bad is None:
            text = written_out(wanted, record.text, place_in(file, record.number))
        bad = text if isinstance(text, Bad) else record.bad
        yield record._replace(text=text, bad=bad)
