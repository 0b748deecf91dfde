"""Near copies of documents, found by the runs of words that they share.

Of every document a sketch lies on disk (MinHash by the library ``rensa``: 520 bytes each), from
which the similarity of any two is estimated.  Which pairs are looked at is found by sorting the
sketches band by band, so that memory grows by some dozen bytes a document alone.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias
from unicodedata import east_asian_width

import numpy as np
import numpy.typing as npt

from wellfit.config import Data
from wellfit.data.ahead import in_order
from wellfit.data.cache import grown, synced, write_synced
from wellfit.data.documents import CODES, OUT, TEST, TRAIN, VAL, Table, documents
from wellfit.data.examples import Form
from wellfit.data.overlap import mixed
from wellfit.data.reading import OnRead, place_in
from wellfit.data.records import Piece
from wellfit.data.sources import Sources, SplitName
from wellfit.errors import need

Array: TypeAlias = npt.NDArray[Any]

SLOTS = 256
"""Numbers in a sketch: the estimate of a similarity of 0.8 strays by 0.025 (one deviation)."""

SKETCH = np.dtype([("number", "<u8"), ("slots", "<u2", SLOTS)])  # number: of the record in its file
_SEED = 1
_FOUND = 0.99  # of pairs that are just similar enough, so many come to be compared
_PIECES = 16  # of a document that are compared: a million characters
_BATCH_CHARS = 1 << 19
_AT_ONCE = 2  # batches that are sketched while others are read; a third costs memory alone
_BATCHES = 32  # between two notes of how far it has come
_IN_BUCKET = 4  # documents that stay which a new one is compared with, for each band
_SHOWN = 100
_FACTOR = np.uint64(0x9E3779B97F4A7C15)


class Sketches(NamedTuple):
    """What documents are compared by."""

    found: Array  # of SKETCH, for each row of the table; mapped from disk
    table: Table
    sources: Sources
    folder: Path  # for what does not fit in memory

    def place(self, row: int) -> str:
        """Where a document stands: ``a.jsonl:12``."""
        file = self.sources.files[int(self.table.rows["file"][row])]
        return place_in(file, int(self.found["number"][row]))


class NearCopies(NamedTuple):
    """What was left out."""

    left_out: dict[SplitName, int]  # documents
    # the first hundred: place ``left_out`` and ``kept``, ``similarity``
    pairs: list[dict[str, Any]]


def minhash() -> Any:
    """The sketches of ``rensa``.  Another ``ALGORITHM_VERSION`` of them makes others."""
    return need("rensa", extra="data", why="data.near_duplicates").RMinHash


def sketch(
    sources: Sources, data: Data, table: Table, folder: Path, on_read: OnRead, form: Form | None
) -> Sketches:
    """Sketch each row of the table; goes on where an earlier process stood."""
    assert data.near_duplicates is not None
    path, note, rows = folder / "near.sketches", folder / "near.note", table.rows
    done = int(json.loads(note.read_text())) if note.exists() else 0
    first_file = int(rows["file"][done]) if done < len(rows) else len(sources.files)
    pieces = documents(sources, data, on_read, first_file=first_file, form=form)
    before = done - int(np.searchsorted(rows["file"], first_file))
    while before:
        before -= next(pieces)[1].ends
    with grown(path, done * SKETCH.itemsize) as out:
        _kinds()  # by this thread, for all
        work = partial(_sketched, words=data.near_duplicates.words)
        made = in_order(work, _batches(pieces, rows["hash"][done:]), _AT_ONCE)
        for number, found in enumerate(made, 1):
            out.write(found.tobytes())
            done += len(found)
            if number % _BATCHES == 0 or done == len(rows):
                synced(out)
                write_synced(note, str(done))
    return Sketches(np.memmap(path, dtype=SKETCH, mode="r"), table, sources, folder)


class _Document(NamedTuple):
    number: int  # in its file
    whole: np.uint64  # a hash of all of it
    texts: list[str]  # its first pieces in lower case; what is given of an example


def _batches(
    pieces: Iterable[tuple[int, Piece]], hashes: Iterable[np.uint64]
) -> Iterator[list[_Document]]:
    batch, n_chars, wholes = list[_Document](), 0, iter(hashes)
    texts: list[str] = []
    for _, piece in pieces:
        text = piece.text if piece.example is None else piece.example.given
        if len(texts) < _PIECES:
            texts.append(text.lower())
            n_chars += len(text) + 1
        if piece.ends:
            batch.append(_Document(piece.number, next(wholes), texts))
            texts = []
            if n_chars >= _BATCH_CHARS:
                yield batch
                batch, n_chars = [], 0
    if batch:
        yield batch


def _sketched(batch: Sequence[_Document], words: int) -> Array:
    """The sketches of documents.  One with fewer words than a run has is compared as a whole."""
    runs, n_runs = _runs([text for document in batch for text in document.texts], words)
    n_texts = np.array([len(document.texts) for document in batch])
    n_runs = np.add.reduceat(n_runs, np.cumsum(n_texts) - n_texts)
    wholes = np.array([document.whole for document in batch])
    runs = np.insert(runs, np.cumsum(n_runs)[n_runs == 0], wholes[n_runs == 0])
    borders = np.insert(np.cumsum(np.maximum(n_runs, 1), dtype=np.uint64), 0, 0)
    made = minhash().digest_matrix_from_flat_token_hashes(runs, borders, SLOTS, _SEED)
    found = np.empty(len(batch), dtype=SKETCH)
    found["number"] = [document.number for document in batch]
    # of 32 bits the lower 16, which two different runs share once in 65,536 times
    found["slots"] = np.array(made.to_rows(), dtype=np.uint32).astype(np.uint16)
    return found


def _runs(texts: Sequence[str], words: int) -> tuple[Array, Array]:
    """A hash of every run of so many words inside a text, and how many runs each text has."""
    codes = np.frombuffer("\n".join([*texts, ""]).encode("utf-32-le"), dtype="<u4")
    kinds, index = _kinds()[codes], np.arange(len(codes), dtype=np.uint64)
    begins = (kinds > 0) & ((kinds > 1) | (np.roll(kinds, 1) != 1))
    places = index - np.maximum.accumulate(np.where(begins, index, 0))  # in its word
    letters = np.where(kinds > 0, mixed(codes + places * _FACTOR), 0)
    first = np.flatnonzero(begins)
    hashes = np.add.reduceat(letters, first)
    ends = np.cumsum([len(text) + 1 for text in texts])
    n_words = np.diff(np.searchsorted(first, ends), prepend=0)
    runs = np.zeros(max(0, len(hashes) - words + 1), dtype=np.uint64)
    for place in range(words):
        runs = mixed(runs * _FACTOR + hashes[place : place + len(runs)])
    left = np.repeat(np.cumsum(n_words), n_words) - np.arange(len(hashes))  # in its text, from here
    return runs[left[: len(runs)] >= words], np.maximum(n_words - words + 1, 0)


@cache
def _kinds() -> Array:
    """By code point: 1 for a letter or digit, 2 where it is a word of its own (Han, kana), or 0."""
    every = map(chr, range(0x110000))
    return np.array([c.isalnum() * (1 + (east_asian_width(c) == "W")) for c in every], np.uint8)


def leave_out_near(sketches: Sketches, codes: Array, data: Data) -> NearCopies:
    """Mark as OUT every document with a near copy that stays.

    Train loses what val or test has, val loses what test has, and of train's own the first stays;
    val and test keep theirs, since they were given.  Those of a hash split were not: there the
    first of all stays, wherever its hash puts it.
    """
    assert data.near_duplicates is not None
    ranks = codes.copy()
    if data.split.kind == "hash":
        ranks = np.where(sketches.table.rows["asked"] == TEST, np.uint8(TEST), np.uint8(TRAIN))
    rows = np.flatnonzero(codes != OUT)
    rows = rows[np.argsort(~ranks[rows], kind="stable")]  # cut by a tail split, test, val, train
    names, found = {code: name for name, code in CODES.items()}, NearCopies(Counter(), [])
    least = data.near_duplicates.similarity
    for row, kept, similarity in _near(sketches, rows, ranks[rows], least) if len(rows) else ():
        found.left_out[names[int(codes[row])]] += 1
        codes[row] = OUT
        if len(found.pairs) < _SHOWN:
            places = {"left_out": sketches.place(row), "kept": sketches.place(kept)}
            found.pairs.append({**places, "similarity": round(similarity, 3)})
    return found


def _near(
    sketches: Sketches, rows: Array, ranks: Array, least: float
) -> Iterator[tuple[int, int, float]]:
    """Each row that must go, the row most like it that stays, and their similarity.

    One after the other is compared with those that stay so far, so that no two of what is left
    are near, and everything that goes has a near copy among it.
    """
    slots, width = sketches.found["slots"], band_width(least)
    with tempfile.TemporaryFile(dir=sketches.folder) as file:
        shape = (len(rows), SLOTS // width)
        buckets = np.asarray(np.memmap(file, dtype=np.int32, mode="w+", shape=shape))
        n_buckets = _fill(buckets, slots, rows, width)
        kept = np.full((n_buckets, _IN_BUCKET), -1, dtype=np.int32)
        for at in np.flatnonzero((buckets >= 0).any(axis=1)).tolist():
            own = buckets[at][buckets[at] >= 0]
            found = np.unique(kept[own])
            found = found[found >= 0]
            if ranks[at] != TRAIN:
                found = found[(ranks[at] == VAL) & (ranks[found] == TEST)]
            if len(found):
                same = (slots[rows[found]] == slots[rows[at]]).mean(axis=1)
                if same.max() >= least:
                    yield int(rows[at]), int(rows[found[same.argmax()]]), float(same.max())
                    continue
            n_kept = (kept[own] >= 0).sum(axis=1)
            free = n_kept < _IN_BUCKET
            kept[own[free], n_kept[free]] = at


def band_width(similarity: float) -> int:
    """Slots of a band, that must all agree in one band or other for a pair to be looked at.

    As many as still find 99 of 100 pairs that are just similar enough.
    """
    lost = {w: (1 - similarity**w) ** (SLOTS // w) for w in range(1, SLOTS // 8 + 1)}
    return max((width for width, share in lost.items() if share <= 1 - _FOUND), default=1)


def _fill(buckets: Array, slots: Array, rows: Array, width: int) -> int:
    """Number what agrees in a band as one bucket, and -1 what agrees with nothing; how many."""
    n_buckets = 0
    for band in range(buckets.shape[1]):
        keys = np.zeros(len(rows), dtype=np.uint64)
        for column in slots[rows, band * width : (band + 1) * width].T:
            keys = mixed(keys * _FACTOR + column + np.uint64(1))
        order = np.argsort(keys, kind="stable")
        same = np.diff(keys[order], prepend=~keys[order[:1]]) == 0  # as the one before it
        shares = same | np.append(same[1:], False)
        numbers = n_buckets - 1 + np.cumsum(shares & ~same)
        buckets[order, band] = np.where(shares, numbers, -1)
        n_buckets = int(numbers[-1]) + 1
    return n_buckets
