"""The first reading: one row per document, from which the split is made before any token is.

The table lies on disk (38 bytes a document), so that memory does not grow with the corpus.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from wellfit.config import Data
from wellfit.data.cache import write_synced
from wellfit.data.characters import Characters
from wellfit.data.examples import Form
from wellfit.data.formats import pieces_of
from wellfit.data.reading import Bad, OnRead
from wellfit.data.records import Piece
from wellfit.data.sources import Sources, SplitName
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
_CHARS_AT_ONCE = 1 << 18
_EXAMPLES = 100
_MOST_LABELS = 10_000


@dataclass
class Noticed:
    """What the first reading saw besides documents, as the audit tells it."""

    skipped: dict[str, int] = field(default_factory=dict)  # kind of trouble -> records left out
    skipped_at: list[str] = field(default_factory=list)  # places of the first hundred
    empty: int = 0  # documents of nothing but white space, left out
    column: dict[str, int] = field(default_factory=dict)  # value of the split column -> records
    characters: str = ""  # every character of the texts, where a tokenizer needs to know
    labels: dict[str, int] = field(default_factory=dict)  # of a class -> examples of any split
    forms: dict[str, int] = field(default_factory=dict)  # of conversations -> records


class Table(NamedTuple):
    """The documents in reading order, bad and empty ones included."""

    rows: npt.NDArray[Any]  # of ROW, mapped from disk
    noticed: Noticed

    def numbered_chunks(self) -> Iterator[tuple[int, npt.NDArray[Any]]]:
        """The rows, so many at a time that no pass over the table needs much memory.

        Each time with the number of the first of them.
        """
        for first in range(0, len(self.rows), _ROWS_AT_ONCE):
            yield first, np.array(self.rows[first : first + _ROWS_AT_ONCE])

    def chunks(self) -> Iterator[npt.NDArray[Any]]:
        """The rows as in ``numbered_chunks``, without the numbers."""
        return (rows for _, rows in self.numbered_chunks())


def documents(
    sources: Sources, data: Data, on_read: OnRead, *, first_file: int = 0, form: Form | None = None
) -> Iterator[tuple[int, Piece]]:
    """Every piece of every document from a file on, with the number of its file."""
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
    """Read everything once and lay the table down in ``folder``; or open the one that is there."""
    done, path = folder / "scan.json", folder / "documents.rows"
    if not done.exists():
        reading = _Reading(_asked_by(sources, data), Characters() if characters else None)
        with path.open("wb") as out:
            for file, piece in documents(sources, data, on_read, form=form):
                row = reading.row_at_end(file, piece)
                if row is not None:
                    out.write(row)
                    if piece.bad is not None:
                        reading.notice(piece.bad)
        write_synced(done, json.dumps(asdict(reading.noticed())))
    noticed = Noticed(**json.loads(done.read_text(encoding="utf-8")))
    if not path.stat().st_size:
        raise DataError("the files hold not a single record. Check data.path")
    return Table(np.memmap(path, dtype=ROW, mode="r"), noticed)


class _Reading:
    """Adds up the pieces of a document until its row is known."""

    def __init__(
        self, asked: Callable[[int, str | None], int], characters: Characters | None
    ) -> None:
        self._asked = asked
        self._noticed = Noticed()
        self._skipped, self._column = Counter[str](), Counter[str]()
        self._labels, self._forms = Counter[str](), Counter[str]()
        self._characters = characters
        self._held: list[str] = []  # texts whose characters are not in the set yet
        self._held_chars = 0
        self._begin()

    def _begin(self) -> None:
        self._hash = hashlib.sha256()
        self._n_chars = self._n_bytes = 0
        self._blank = True
        self._earlier: Characters | None = None  # of this document's earlier pieces

    def row_at_end(self, file: int, piece: Piece) -> bytes | None:
        """Take a piece in; the document's row, packed, if it is the last."""
        text = piece.text
        raw = text.encode()
        example = piece.example
        self._hash.update(raw if example is None else example.given.encode())
        self._n_chars += len(text)
        self._n_bytes += len(raw)
        self._blank = self._blank and (not text or text.isspace())
        if not piece.ends:
            if self._characters is not None:
                self._earlier = self._earlier or Characters()
                self._earlier.add(text)
            return None
        state = BAD if piece.bad is not None else EMPTY if self._blank else TEXT
        if state == TEXT and self._characters is not None:
            self._keep_characters(text)
        self._noticed.empty += state == EMPTY
        value = piece.value or ""
        if value in self._column or len(self._column) < _EXAMPLES:
            self._column[value] += 1
        asked = self._asked(file, piece.value)
        if example is not None and state == TEXT and asked != OUT:
            self._count_labels(example.labels or ())
            self._forms[example.form] += 1
        counts = (self._n_chars, self._n_bytes, file, state, asked)
        row = _PACKED.pack(*_HASHES.unpack_from(self._hash.digest()), *counts)
        self._begin()
        return row

    def _count_labels(self, labels: tuple[str, ...] | tuple[float, ...]) -> None:
        self._labels.update(label for label in labels if isinstance(label, str))
        if len(self._labels) > _MOST_LABELS:
            raise DataError(
                f"task.label has more than {_MOST_LABELS:,} different values, as if it were a text "
                "or a number. Name another column; for numbers: task.kind=regress"
            )

    def _keep_characters(self, text: str) -> None:
        """Of a text known to be good; many small ones at once, since each scatter has its price."""
        assert self._characters is not None
        if self._earlier is not None:
            self._characters.merge(self._earlier)
        self._held.append(text)
        self._held_chars += len(text)
        if self._held_chars > _CHARS_AT_ONCE:
            self._characters.add("".join(self._held))
            self._held, self._held_chars = [], 0

    def notice(self, bad: Bad) -> None:
        """Count a record that is left out."""
        self._skipped[bad.kind] += 1
        if len(self._noticed.skipped_at) < _EXAMPLES:
            self._noticed.skipped_at.append(bad.place)

    def noticed(self) -> Noticed:
        """Everything seen, once all is read."""
        self._noticed.skipped, self._noticed.labels = dict(self._skipped), dict(self._labels)
        self._noticed.forms = {form: n for form, n in self._forms.items() if form}
        self._noticed.column = {k: n for k, n in self._column.items() if k or len(self._column) > 1}
        if self._characters is not None:
            self._characters.add("".join(self._held))
            self._noticed.characters = self._characters.text()
        return self._noticed


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
    values = dict.fromkeys(_several(split.train), TRAIN)
    values |= dict.fromkeys(_several(split.val), VAL) | dict.fromkeys(_several(split.test), TEST)
    return lambda _, value: values.get(value or "", others)


def _several(values: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return (values,) if isinstance(values, str) else tuple(values or ())
