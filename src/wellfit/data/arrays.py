"""A file that is one JSON list of records, read a record at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from wellfit.config import Data
from wellfit.data.reading import Bad, OnRead, text_blocks, too_long
from wellfit.data.records import Asked, Record, picked
from wellfit.data.sources import SourceFile
from wellfit.errors import DataError

_SPACE = " \t\n\r"
_NO_LIST = (
    "the file is no JSON list of records. If it has a record on each line, write "
    "data.format=jsonl; if the list is inside an object, take it out; to learn to write JSON, "
    "data.format=text"
)
_LONGEST_BROKEN = 16  # characters at the end of a block that may be a torn word or escape


def list_records(file: SourceFile, data: Data, asked: Asked, on_read: OnRead) -> Iterator[Record]:
    """The objects of a top-level list, numbered from 1; memory holds one and a block.

    Raises ``DataError`` where the file is not such a list, whatever ``data.on_bad`` says: behind
    a fault nobody knows where the next record begins.
    """
    text, number = _Text(file, data, on_read), 0
    try:
        text.expect("[", _NO_LIST)
        while text.peek() != "]":
            if number:
                text.expect(",", "',' or ']' should follow")
            number += 1
            found = text.value()
            if isinstance(found, dict):
                yield picked(number, found, asked)
            else:
                story = f"there is {type(found).__name__} where an object should be"
                yield Record(number, Bad("not an object", story))
        text.at += 1
        if text.peek():
            raise text.fault("there is more after the end of the list", text.at)
    except Bad as bad:
        raise bad.error(file, number) from None


class _Text:
    """The text of a file behind the place that was read to."""

    def __init__(self, file: SourceFile, data: Data, on_read: OnRead) -> None:
        self.file, self.max_line = file, data.max_line
        self.blocks = text_blocks(file, data.encoding, on_read)
        self.held, self.at, self.ended = "", 0, False
        self.line, self.column = 1, 1  # of the first character held
        self.decoder = json.JSONDecoder()

    def more(self) -> None:
        """Read on, until there is twice as much: a long record is not tried at every block."""
        rest, parts, size = self.held[self.at :], [], 0
        self.line, self.column = self.place(self.at)
        while size <= len(rest) and not self.ended:
            block = next(self.blocks, None)
            self.ended = block is None
            parts.append(block or "")
            size += len(parts[-1])
        self.held, self.at = "".join([rest, *parts]), 0

    def peek(self) -> str:
        """The next character that is not white space; empty at the end."""
        while True:
            while self.at < len(self.held) and self.held[self.at] in _SPACE:
                self.at += 1
            if self.at < len(self.held) or self.ended:
                return self.held[self.at : self.at + 1]
            self.more()

    def expect(self, character: str, otherwise: str) -> None:
        """Pass over a character."""
        if self.peek() != character:
            raise self.fault(otherwise, self.at)
        self.at += 1

    def value(self) -> Any:
        """The next value, once it is there whole."""
        self.peek()
        while True:
            try:
                found, end = self.decoder.raw_decode(self.held, self.at)
                if end < len(self.held) or self.ended:  # a number may go on in the next block
                    self.at = end
                    return found
            except json.JSONDecodeError as e:
                torn = e.msg.startswith("Unterminated") or e.pos > len(self.held) - _LONGEST_BROKEN
                if self.ended or not torn:
                    raise self.fault(f"the file is not JSON ({e.msg})", e.pos) from None
            except RecursionError:
                raise self.fault("the value is too deep to be read", self.at) from None
            if len(self.held) - self.at > self.max_line:
                raise too_long(self.max_line)
            self.more()

    def fault(self, story: str, at: int) -> DataError:
        """The error at a place in the text."""
        line, column = self.place(at)
        return DataError(f"{self.file.path}:{line}:{column}: {story}")

    def place(self, at: int) -> tuple[int, int]:
        """Line and column of a character held, counted from 1."""
        newline = self.held.rfind("\n", 0, at)
        column = at - newline if newline >= 0 else self.column + at
        return self.line + self.held.count("\n", 0, at), column
