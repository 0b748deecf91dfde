"""What readers give: records of columns, and the documents that they become."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from wellfit.config import Data
from wellfit.config.fields import Blank, blanks_in
from wellfit.data.reading import Bad, nul, too_long
from wellfit.data.sources import SourceFile
from wellfit.errors import DataError


class Column(NamedTuple):
    """A column that is asked for, and the recipe's key that asks."""

    name: str
    setting: str


class Asked(NamedTuple):
    """Which columns are wanted of each record."""

    columns: tuple[Column, ...]  # must all be there, the split's among them
    split: str | None  # the column that says which split the record is in
    every: bool = False  # whatever else there is comes along


class Record(NamedTuple):
    """One record of a file as the file gives it."""

    number: int  # of the line, row or record, counted from 1, where it begins
    found: Any  # its values by column; of lines that are no records the text; or ``Bad``
    value: str | None = None  # what the split column says

    def sound(self) -> Any:
        """What was found.  Raises ``Bad`` where that is of no use."""
        if isinstance(self.found, Bad):
            raise self.found
        return self.found


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


def phrase(text: str, setting: str) -> Phrase:
    """A phrase from the recipe's text.  Raises ``DataError`` where the braces are not sound."""
    try:
        return Phrase(blanks_in(text), setting, "{" not in text)
    except ValueError as e:
        raise DataError(f"{setting}: {e}") from None


def written_out(wanted: Phrase, found: Mapping[str, Any]) -> str:
    """The phrase with the values of a record; numbers in it as JSON writes them.

    Raises ``Bad`` for a value that is neither.
    """
    parts = []
    for words, column in wanted.blanks:
        value = "" if column is None else found[column]
        if isinstance(value, str):
            if wanted.is_column:
                return value
        elif wanted.is_column or not _is_number(value):
            hint = "" if value is None else f". To write a number out: '{{{column}}}'"
            story = f"there is {shown(value)} where the text of {column!r} should be{hint}"
            raise Bad("no text", story)
        else:
            value = json.dumps(value)
        parts += [words, value]
    return "".join(parts)


def _is_number(value: Any) -> bool:
    return isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))


def shown(value: Any) -> str:
    """A value of the wrong kind, as the story of its record tells it."""
    return "nothing" if value in (None, "") else f"{type(value).__name__} {str(value)[:40]!r}"


def check_text(text: str, max_line: int) -> None:
    """Raise ``Bad`` for what is no text, or more of it than one record may have."""
    if "\0" in text:
        raise nul()
    if len(text) > max_line:
        raise too_long(max_line)
    if text.isascii():
        return
    try:
        size = len(text.encode())
    except UnicodeEncodeError as e:
        half = f"half a character (U+{ord(text[e.start]):04X}, a lone surrogate)"
        raise Bad("half a character", f"{half} at offset {e.start} of the text") from None
    if size > max_line:
        raise too_long(max_line)


def asked_for(data: Data, *phrases: Phrase, more: Iterable[Column] = ()) -> Asked:
    """What phrases, further columns and the recipe's split want of each record."""
    named = [(blank.column, wanted.setting) for wanted in phrases for blank in wanted.blanks]
    columns = (*(Column(name, setting) for name, setting in named if name is not None), *more)
    if data.split.kind != "column":
        return Asked(columns, None)
    return Asked((*columns, Column(data.split.column, "data.split.column")), data.split.column)


def picked(number: int, found: Mapping[str, Any], asked: Asked) -> Record:
    """The record that a mapping makes; bad if a column is not there."""
    for name, setting in asked.columns:
        if name not in found:
            keys = ", ".join(map(repr, list(found)[:20])) or "none"
            story = f"no key {name!r}; the keys are {keys}. Name one with {setting}"
            return Record(number, Bad(f"no key {name!r}", story))
    value = None if asked.split is None else found[asked.split]
    return Record(number, found, None if value is None else str(value))


def as_piece(record: Record, made: Example) -> Piece:
    """The document that a record makes, all in one piece."""
    text = "".join(text for text, _ in made.texts)
    return Piece(text, True, record.number, record.value, None, made)


def bad_piece(number: int, bad: Bad) -> Piece:
    """A document that is not to be used."""
    return Piece("", True, number, bad=bad.with_traceback(None))  # which would keep files open


def check_columns(file: SourceFile, names: Collection[str], asked: Asked) -> None:
    """Raise ``DataError`` for a column that no record of a file has: that is the recipe's fault."""
    for name, setting in asked.columns:
        if name not in names:
            among = ", ".join(map(repr, list(names)[:20]))
            raise DataError(
                f"{file.path}: no column {name!r}; the columns are {among}. "
                f"Name one of them with {setting}"
            )
