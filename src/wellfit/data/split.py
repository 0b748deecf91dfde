"""Which document goes to train, val or test, and which exact copies are dropped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple, assert_never

import numpy as np
import numpy.typing as npt

from wellfit.config.data import ColumnSplit, Data, FilesSplit, HashSplit, TailSplit
from wellfit.data.documents import CODES, OUT, TEST, TEXT, TRAIN, VAL, Table
from wellfit.data.near import NearCopies, Sketches, leave_out_near
from wellfit.data.sources import SplitName
from wellfit.errors import DataError

CUT = 5
"""Of a document that a tail split cuts: the place of each character decides."""

_HASHES = 1 << 64
_COUNTED_AT_ONCE = 1 << 21  # hashes held to count copies; of more documents, a share is counted


class Copies(NamedTuple):
    """Exact copies of documents, as counted."""

    # documents of train (val) whose text is also in val or test (test)
    across: dict[SplitName, int]
    dropped: bool  # whether those were left out
    within: dict[SplitName, int]  # documents of a split whose text came before in the same split
    counted_frac: float  # share of all texts that `within` was counted over and scaled up from


class Assignment(NamedTuple):
    """Where each document goes."""

    codes: npt.NDArray[np.uint8]  # per row of the table: TRAIN, VAL, TEST, OUT or CUT
    cuts: tuple[int, ...]  # tail split: characters of the stream at which val and test begin
    names: tuple[SplitName, ...]  # the splits that there are
    copies: Copies
    left_out: int  # documents whose split column names none of the splits
    several: bool  # some split holds more than one document, so where they end must be told
    near: NearCopies | None = None  # what was left out besides exact copies


def assign(
    table: Table, data: Data, sketches: Sketches | None = None, *, cuts_documents: bool = True
) -> Assignment:
    """Decide for every document; one that a tail split may not cut goes where it begins.

    Copies across splits are dropped from the split that is learned from (train before val, val
    before test), so that val and test stay as they were given and can be compared with what
    others report on them.  With sketches, so are near copies.

    Raises ``DataError`` if a split that was asked for would be empty.
    """
    cuts: tuple[int, ...] = ()
    match data.split:
        case HashSplit() as split:
            codes = _by_hash(table, split)
        case TailSplit() as split:
            cuts = _tail_cuts(table, split)
            codes = _by_tail(table, cuts, cuts_documents=cuts_documents)
        case FilesSplit() | ColumnSplit():
            codes = np.array(table.rows["asked"])
        case _:
            assert_never(data.split)
    is_text = table.rows["state"] == TEXT
    left_out = int((is_text & (codes == OUT)).sum())
    codes[~is_text] = OUT
    has_test = data.split.test or (data.split.kind == "hash" and data.split.test_files)
    names: tuple[SplitName, ...] = ("train", "val", "test") if has_test else ("train", "val")
    across = _copies_across(table, codes, drop=data.duplicates == "drop")
    near = leave_out_near(sketches, codes, data) if sketches is not None else None
    counts = _counts(table, codes, cuts, names)
    for name in names:
        if counts[name] == 0:
            is_near = near is not None and name in near.left_out
            raise DataError(_empty(name, table, data, copied=is_near or bool(across.get(name))))
    copies = Copies(across, data.duplicates == "drop", *_copies_within(table, codes, names))
    return Assignment(codes, cuts, names, copies, left_out, max(counts.values()) > 1, near)


def whole(table: Table) -> Assignment:
    """Everything in one split, ``test``: text that a finished model is measured on."""
    if not table.n_texts:
        raise DataError(_no_text(table))
    codes = np.where(table.rows["state"] == TEXT, np.uint8(TEST), np.uint8(OUT))
    copies = Copies({}, False, *_copies_within(table, codes, ["test"]))
    return Assignment(codes, (), ("test",), copies, 0, table.n_texts > 1)


def _by_hash(table: Table, split: HashSplit) -> npt.NDArray[np.uint8]:
    """Val takes the lowest hashes and test the highest, so each share moves its own border only."""
    hashes, from_test = table.rows["hash"], _HASHES - int(split.test * _HASHES)
    codes = np.full(len(hashes), TRAIN, dtype=np.uint8)
    codes[hashes < np.uint64(int(split.val * _HASHES))] = VAL
    if from_test < _HASHES:
        codes[hashes >= np.uint64(from_test)] = TEST
    codes[table.rows["asked"] == TEST] = TEST  # of test_files
    return codes


def _tail_cuts(table: Table, split: TailSplit) -> tuple[int, ...]:
    """In characters of the stream, rounded down as nanoGPT's ``data[:int(n*0.9)]`` is."""
    n_chars = table.chars_before(len(table.rows))
    to_train = int(n_chars * (1 - split.val - split.test))
    return (to_train, int(n_chars * (1 - split.test))) if split.test else (to_train,)


def _by_tail(table: Table, cuts: tuple[int, ...], *, cuts_documents: bool) -> npt.NDArray[np.uint8]:
    codes = np.full(len(table.rows), TRAIN, dtype=np.uint8)
    for code, cut in enumerate(cuts, TRAIN + 1):
        row = table.row_at(cut)
        codes[row + 1 :] = code
        if table.chars_before(row) == cut:
            codes[row:] = code
        elif cuts_documents:
            codes[row : row + 1] = CUT
    return codes


def _counts(
    table: Table, codes: npt.NDArray[np.uint8], cuts: tuple[int, ...], names: Sequence[SplitName]
) -> dict[SplitName, int]:
    """Documents per split; one that is cut counts on each side."""
    counts = Counter({name: int((codes == CODES[name]).sum()) for name in names})
    for row in np.flatnonzero(codes == CUT).tolist():
        start = table.chars_before(row)
        parts = sides(start, start + int(table.rows["chars"][row]), cuts)
        counts.update(names[code] for code, _, _ in parts)
    return dict(counts)


def sides(start: int, end: int, cuts: Sequence[int]) -> list[tuple[int, int, int]]:
    """A stretch of the stream taken apart at the cuts: of each part the split, begin and end."""
    borders = [start, *(min(max(cut, start), end) for cut in cuts), end]
    pairs = enumerate(zip(borders, borders[1:], strict=False))
    return [(code, a, b) for code, (a, b) in pairs if a < b]


def _copies_across(
    table: Table, codes: npt.NDArray[np.uint8], *, drop: bool
) -> dict[SplitName, int]:
    """Count, and with ``drop`` mark as OUT, what a split closer to learning shares with others.

    Holds 16 bytes for each document of val and test.
    """
    found: dict[SplitName, int] = {}
    steps: list[tuple[SplitName, int, list[int]]]
    steps = [("val", VAL, [TEST]), ("train", TRAIN, [VAL, TEST])]
    for name, code, kept in steps:
        held = table.rows[["hash", "hash_more"]][np.isin(codes, kept)]
        held, copies = held[np.argsort(held["hash"], kind="stable")], []
        for first, rows in table.chunks():
            inside = np.flatnonzero(codes[first : first + len(rows)] == code)
            copies.append(first + inside[_among(held, rows[inside])])
        where = np.concatenate(copies)
        found[name] = len(where)
        if drop:
            codes[where] = OUT
    return found


def _among(held: npt.NDArray[Any], rows: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Which rows' 128 bits are among the sorted ones.

    Only the first of several held hashes that agree in their first 64 bits is looked at: among
    a billion texts, that two different ones do is one chance in forty.
    """
    if not len(held):
        return np.zeros(len(rows), dtype=np.bool_)
    at = np.minimum(np.searchsorted(held["hash"], rows["hash"]), len(held) - 1)
    same: npt.NDArray[np.bool_] = (held["hash"][at] == rows["hash"]) & (
        held["hash_more"][at] == rows["hash_more"]
    )
    return same


def _copies_within(
    table: Table, codes: npt.NDArray[np.uint8], names: Sequence[SplitName]
) -> tuple[dict[SplitName, int], float]:
    """Documents beyond the first of their text in each split.

    Of very many documents, only texts whose hash falls in a fixed share are counted: all copies
    of a text are in it or none, so the scaled count is right on average.
    """
    share = -(-len(codes) // _COUNTED_AT_ONCE)
    below = np.uint64((_HASHES - 1) // share)
    hashes, repeated = table.rows["hash"], {}
    for name in names:
        counted = np.sort(hashes[(codes == CODES[name]) & (hashes <= below)])
        repeated[name] = int((counted[1:] == counted[:-1]).sum()) * share
    return repeated, 1 / share


def _empty(name: SplitName, table: Table, data: Data, *, copied: bool) -> str:
    """Why a split has no document, and what to write instead."""
    if not table.n_texts:
        return _no_text(table)
    if copied and data.duplicates == "drop":
        keep = "duplicates=keep" if data.near_duplicates is None else "near_duplicates=null"
        return (
            f"every document of {name} has a copy in a split further from training, and was "
            f"dropped. Check the split, or keep copies: data.{keep}"
        )
    return f"the {name} split is empty: {_why_empty(name, table, data)}"


def _no_text(table: Table) -> str:
    return (
        f"there is no text: {table.noticed.empty:,} documents hold nothing but white space, and "
        f"{sum(table.noticed.skipped.values()):,} could not be read. Check data.path"
    )


def _why_empty(name: SplitName, table: Table, data: Data) -> str:
    match data.split:
        case HashSplit() if table.n_texts == 1:
            return (
                "the data is a single document, and a hash split sends whole documents. "
                "Divide the text itself: data.split={kind: tail, val: 10%}"
            )
        case HashSplit() as split:
            share = {"val": split.val, "test": split.test}.get(name, 1 - split.val - split.test)
            return (
                f"of {table.n_texts} documents, a share of {share:.3g} came to none. Raise "
                f"data.split.{name if name != 'train' else 'val'}, make smaller documents "
                "(data.document=paragraph), or write data.split={kind: tail, val: 10%}"
            )
        case TailSplit():
            return f"the text is too short for such a share. Raise data.split.{name}"
        case FilesSplit():
            return "its files hold no text. Check " + (
                "data.path" if name == "train" else f"data.split.{name}"
            )
        case ColumnSplit() as split:
            found = ", ".join(f"{v!r} ({n:,})" for v, n in table.noticed.column.items())
            return (
                f"no record's {split.column!r} asks for it; the values are {found}. "
                f"Name one with data.split.{name}"
            )
        case _:
            assert_never(data.split)
