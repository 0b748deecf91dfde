"""The first reading: one row per document, from which the split is made before any token is.

The table lies on disk (38 bytes a document), so that memory does not grow with the corpus.
"""

from __future__ import annotations

import hashlib
import json
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from wellfit.config import Data
from wellfit.data.cache import grown, synced, write_synced
from wellfit.data.characters import Characters
from wellfit.data.examples import Form
from wellfit.data.formats import pieces_of
from wellfit.data.reading import OnRead
from wellfit.data.records import Example, Piece
from wellfit.data.sources import SourceFile, Sources, SplitName, several
from wellfit.errors import DataError

TEXT, EMPTY, BAD = range(3)
TRAIN, VAL, TEST, OUT, UNASKED = range(5)
CODES: dict[SplitName, int] = {"train": TRAIN, "val": VAL, "test": TEST}

ROW = np.dtype(
    [
        ("hash", "<u8"),  # of the text, or what is given of an example: decides the hash split
        ("hash_more", "<u8"),  # 64 further bits, so that equal means equal
        ("chars", "<u8"),
        ("bytes", "<u8"),  # UTF-8
        ("file", "<u4"),
        ("state", "u1"),  # TEXT, EMPTY or BAD
        ("asked", "u1"),  # the split that a file or column asks for, or UNASKED
    ]
)
_PACKED = struct.Struct("<QQQQIBB")  # a ROW, from Python numbers
_HASHES = struct.Struct(">QQ")
_ROWS_AT_ONCE = 1 << 16
_NOTED_EVERY_S = 5.0
_EXAMPLES = 100
_MOST_LABELS = 10_000


@dataclass
class Noticed:
    """What the first reading saw besides documents, as the audit tells it."""

    skipped: dict[str, int] = field(default_factory=Counter)  # kind of trouble -> records left out
    skipped_at: list[str] = field(default_factory=list)  # places of the first hundred
    empty: int = 0  # documents of nothing but white space, left out
    column: dict[str, int] = field(default_factory=Counter)  # value of the split column -> records
    characters: str = ""  # every character of the texts, where a tokenizer needs to know
    labels: dict[str, int] = field(default_factory=Counter)  # of a class -> examples of any split
    forms: dict[str, int] = field(default_factory=Counter)  # of conversations -> records


class Table(NamedTuple):
    """The documents in reading order, bad and empty ones included."""

    rows: npt.NDArray[Any]  # of ROW, mapped from disk
    noticed: Noticed

    def chunks(self) -> Iterator[tuple[int, npt.NDArray[Any]]]:
        """The rows, so many at a time that no pass over the table needs much memory.

        Each time with the number of the first of them.
        """
        for first in range(0, len(self.rows), _ROWS_AT_ONCE):
            yield first, np.array(self.rows[first : first + _ROWS_AT_ONCE])

    @property
    def n_texts(self) -> int:
        """Documents that are neither bad nor empty."""
        return int((self.rows["state"] == TEXT).sum())

    def chars_before(self, row: int) -> int:
        """Where a document's text begins in the stream of them all, in characters."""
        is_text = self.rows["state"][:row] == TEXT
        return int(np.sum(self.rows["chars"][:row], where=is_text))

    def row_at(self, position: int) -> int:
        """The document that holds this character of the stream; behind its end, their number."""
        begin = 0
        for first, rows in self.chunks():
            ends = begin + np.cumsum(rows["chars"] * (rows["state"] == TEXT)).astype(np.int64)
            begin = int(ends[-1])
            if position < begin:
                return first + int(np.searchsorted(ends, position, side="right"))
        return len(self.rows)


def documents(
    sources: Sources, data: Data, on_read: OnRead, *, first_file: int = 0, form: Form | None = None
) -> Iterator[tuple[int, Piece]]:
    """Every piece of every document from a file on, with the number of its file."""
    on_read(_bytes_before(sources, first_file))
    for number in range(first_file, len(sources.files)):
        for piece in pieces_of(sources.files[number], data, on_read, form):
            yield number, piece


def scan(
    sources: Sources,
    data: Data,
    folder: Path,
    on_read: OnRead,
    *,
    characters: bool,
    form: Form | None = None,
) -> Table:
    """Read everything once and lay the table down in ``folder``; or open the one that is there.

    One that is there in part is gone on with, from the first file after a note of how far it came.
    """
    done, path, note = (folder / name for name in ("scan.json", "documents.rows", "scan.note"))
    if not done.exists():
        first, n_bytes, said = 0, 0, dict[str, Any]()
        if note.exists():
            first, n_bytes, said = json.loads(note.read_text(encoding="utf-8"))
            said = {k: Counter(v) if isinstance(v, dict) else v for k, v in said.items()}
        noticed, asked_by, noted_s = Noticed(**said), _asked_by(sources, data), time.monotonic()
        seen = Characters(noticed.characters) if characters else None
        on_read(_bytes_before(sources, first))
        with grown(path, n_bytes) as out:
            for number, file in enumerate(sources.files[first:], first):
                if time.monotonic() - noted_s >= _NOTED_EVERY_S:
                    synced(out)
                    noticed.characters = seen.text() if seen is not None else ""
                    write_synced(note, json.dumps([number, out.tell(), vars(noticed)]))
                    noted_s = time.monotonic()
                pieces = pieces_of(file, data, on_read, form)
                asked = partial(asked_by, number)
                out.writelines(_rows(pieces, file, number, asked, noticed, seen))
        noticed.characters = seen.text() if seen is not None else ""
        if list(noticed.column) == [""]:  # there is no such column
            noticed.column = {}
        write_synced(done, json.dumps(vars(noticed)))
    noticed = Noticed(**json.loads(done.read_text(encoding="utf-8")))
    if not path.stat().st_size:
        raise DataError("the files hold not a single record. Check data.path")
    return Table(np.memmap(path, dtype=ROW, mode="r"), noticed)


def _bytes_before(sources: Sources, number: int) -> int:
    return sum(part.n_bytes for file in sources.files[:number] for part in file.all)


def _rows(
    pieces: Iterable[Piece],
    file: SourceFile,
    number: int,
    asked_by: Callable[[str | None], int],
    noticed: Noticed,
    seen: Characters | None,
) -> Iterator[bytes]:
    """Add the pieces of each document up to its row, packed, and note down what is to be told."""
    earlier: Characters | None = None  # of this document's earlier pieces
    digest, n_chars, n_bytes, is_blank = hashlib.sha256(), 0, 0, True
    for piece in pieces:
        text, example = piece.text, piece.example
        raw = text.encode()
        digest.update(raw if example is None else example.given.encode())
        n_chars += len(text)
        n_bytes += len(raw)
        is_blank = is_blank and (not text or text.isspace())
        if not piece.ends:
            if seen is not None:
                earlier = earlier or Characters()
                earlier.add(text)
            continue
        state = BAD if piece.bad is not None else EMPTY if is_blank else TEXT
        if seen is not None and state == TEXT:
            seen.add(text)
            if earlier is not None:
                seen.merge(earlier)
        asked = asked_by(piece.value)
        if piece.bad is not None:
            noticed.skipped[piece.bad.kind] += 1
            if len(noticed.skipped_at) < _EXAMPLES:
                noticed.skipped_at.append(piece.bad.place(file, piece.number))
        value = piece.value or ""
        if value in noticed.column or len(noticed.column) < _EXAMPLES:
            noticed.column[value] += 1
        noticed.empty += state == EMPTY
        if example is not None and state == TEXT and asked != OUT:
            _note(noticed, example)
        hashes = _HASHES.unpack_from(digest.digest())
        yield _PACKED.pack(*hashes, n_chars, n_bytes, number, state, asked)
        digest, n_chars, n_bytes, is_blank, earlier = hashlib.sha256(), 0, 0, True, None


def _note(noticed: Noticed, example: Example) -> None:
    for label in example.labels or ():
        if isinstance(label, str):
            noticed.labels[label] += 1
    if len(noticed.labels) > _MOST_LABELS:
        raise DataError(
            f"task.label has more than {_MOST_LABELS:,} different values, as if it were a text "
            "or a number. Name another column; for numbers: task.kind=regress"
        )
    if example.form:
        noticed.forms[example.form] += 1


def _asked_by(sources: Sources, data: Data) -> Callable[[int, str | None], int]:
    """From a document's file and column value to the split they ask for."""
    if data.split.kind in ("files", "hash"):
        roles = [CODES[file.role] if file.role else UNASKED for file in sources.files]
        return lambda file, _: roles[file]
    if data.split.kind != "column":
        return lambda _, __: UNASKED
    texts = (file.path for file in sources.files if file.format == "text" and not file.column)
    if data.pattern is None and (plain := next(texts, None)) is not None:
        raise DataError(
            f"{plain} is plain text and has no column {data.split.column!r}. "
            "Write for example data.split={kind: hash}, or leave that file out of data.path"
        )
    split = data.split
    others = OUT if split.train is not None else TRAIN
    values = dict.fromkeys(several(split.train), TRAIN)
    values |= dict.fromkeys(several(split.val), VAL) | dict.fromkeys(several(split.test), TEST)
    return lambda _, value: values.get(value or "", others)
