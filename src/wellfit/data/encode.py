"""The second reading: documents to tokens, batch by batch, into the files of their splits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from wellfit.config import Data
from wellfit.data.coding import Coding, coded, coding
from wellfit.data.documents import CODES, OUT, TEXT, Table, documents
from wellfit.data.examples import Form
from wellfit.data.reading import OnRead, place_in
from wellfit.data.records import Example, Piece
from wellfit.data.shards import Shards
from wellfit.data.sources import Sources, SplitName
from wellfit.data.split import CUT, Assignment
from wellfit.errors import TokenizerError
from wellfit.tokenizer import Encoded, Tokenizer

_BATCH_CHARS = 1 << 21  # of text encoded at once, on every core
_STRETCH_CHARS = 1 << 24  # of text between two lines of the journal
_NAMES: dict[int, SplitName] = {code: name for name, code in CODES.items()}


class Part(NamedTuple):
    """A stretch of one split's text; the parts of a document follow each other."""

    position: int  # in characters of the whole stream, dropped copies included
    split: SplitName
    text: str
    begins: bool  # the first part of its document in this split
    ends: bool  # the document is complete with this part
    file: int  # which of the sources
    number: int  # of the document in it, as in records.Piece
    example: Example | None = None


class Corpus(NamedTuple):
    """Everything that says which text is whose."""

    sources: Sources
    data: Data
    table: Table
    assignment: Assignment
    form: Form | None = None  # of examples


def parts_of(corpus: Corpus, on_read: OnRead, *, position: int = 0) -> Iterator[Part]:
    """The text of all splits from a place in the stream on, in reading order."""
    row, first_file, here = _where_to_start(corpus.table, position)
    codes, states, offset = corpus.assignment.codes, np.array(corpus.table.rows["state"]), 0
    pieces = documents(
        corpus.sources, corpus.data, on_read, first_file=first_file, form=corpus.form
    )
    for file, piece in pieces:
        code = int(codes[row])
        if code == CUT:
            parts = _cut_parts(file, piece, here, offset, corpus.assignment.cuts)
            yield from (part for part in parts if part.position >= position)
        elif code != OUT and here >= position:
            yield Part(
                here,
                _NAMES[code],
                piece.text,
                offset == 0,
                piece.ends,
                file,
                piece.number,
                piece.example,
            )
        if states[row] == TEXT:
            here += len(piece.text)
        offset += len(piece.text)
        if piece.ends:
            row, offset = row + 1, 0
    assert row == len(codes), f"{row} documents on second reading, {len(codes)} on first"


def _cut_parts(
    file: int, piece: Piece, here: int, offset: int, cuts: Sequence[int]
) -> Iterator[Part]:
    """A piece of a document that tail cuts go through, taken apart at them."""
    end = here + len(piece.text)
    borders = [here, *(min(max(cut, here), end) for cut in cuts), end]
    for code, (a, b) in enumerate(zip(borders, borders[1:], strict=False)):
        if a < b:
            text = piece.text[a - here : b - here]
            begins = a == here - offset or a in cuts
            yield Part(a, _NAMES[code], text, begins, piece.ends and b == end, file, piece.number)


def _where_to_start(table: Table, position: int) -> tuple[int, int, int]:
    """The file that holds a place in the stream: (its first row, its number, its own place)."""
    if position == 0:
        return 0, 0, 0
    begin = row = file = here = 0
    for first, rows in table.numbered_chunks():
        chars = np.where(rows["state"] == TEXT, rows["chars"], 0).astype(np.int64)
        starts = begin + np.cumsum(chars) - chars
        new_file = np.flatnonzero(np.diff(rows["file"], prepend=np.uint32(file)))
        passed = new_file[starts[new_file] <= position]
        if len(passed):
            at = int(passed[-1])
            row, file, here = first + at, int(rows["file"][at]), int(starts[at])
        begin += int(chars.sum())
    return row, file, here


def encode(
    corpus: Corpus, tokenizer: Tokenizer, shards: Shards, on_read: OnRead, *, separate: bool
) -> None:
    """Append every part that the journal does not vouch for yet, and commit as it goes."""
    assert not separate or tokenizer.eos_id is not None, tokenizer.kind
    append = partial(_append, corpus, tokenizer, shards, separate, coding_of(corpus, tokenizer))
    held: list[Part] = []
    n_held, end = 0, 0
    border = shards.position + _STRETCH_CHARS
    for part in parts_of(corpus, on_read, position=shards.position):
        if n_held >= _BATCH_CHARS or part.position >= border:
            append(held)
            n_held = 0
        if part.position >= border:
            shards.commit(part.position)
            border = part.position + _STRETCH_CHARS
        held.append(part)
        n_held += len(part.text)
        end = part.position + len(part.text)
    append(held)
    shards.commit(max(end, shards.position))


def coding_of(corpus: Corpus, tokenizer: Tokenizer) -> Coding | None:
    """How examples become tokens, where the documents are examples."""
    form = corpus.form
    return None if form is None else coding(form, tokenizer, corpus.table.noticed.labels)


def _append(
    corpus: Corpus,
    tokenizer: Tokenizer,
    shards: Shards,
    separate: bool,
    how: Coding | None,
    held: list[Part],
) -> None:
    for name in CODES:
        parts = [part for part in held if part.split == name]
        if not parts:
            continue
        try:
            if how is None:
                ids, starts = _plain(parts, tokenizer, separate=separate)
                beside: dict[str, npt.NDArray[Any]] = {}
            else:
                examples = [part.example for part in parts if part.example is not None]
                places = np.array([(part.file, part.number) for part in parts], dtype=np.int64)
                ids, starts, beside = coded(examples, places, how)
        except TokenizerError as e:
            raise _placed(e, corpus.sources, parts, tokenizer) from None
        shards.append(name, ids, starts, "".join(part.text for part in parts), **beside)
    held.clear()


def _plain(
    parts: Sequence[Part], tokenizer: Tokenizer, *, separate: bool
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """The ids of parts of texts, and where in them documents begin."""
    ids, lengths = tokenizer.encode_joined([part.text for part in parts])
    if separate:
        ends = np.fromiter((part.ends for part in parts), np.int64, len(parts))
        ids, lengths = _with_ends(ids, lengths, ends, tokenizer)
    begins = np.fromiter((part.begins for part in parts), np.bool_, len(parts))
    return ids, (np.cumsum(lengths) - lengths)[begins]


def _placed(
    error: TokenizerError, sources: Sources, parts: Sequence[Part], tokenizer: Tokenizer
) -> TokenizerError:
    """The error of a batch with its place: each text once more, one by one."""
    for part in parts:
        try:
            tokenizer.encode(part.text)
        except TokenizerError as e:
            return TokenizerError(f"{place_in(sources.files[part.file], part.number)}: {e}")
    return error


def _with_ends(
    ids: npt.NDArray[Any],
    lengths: npt.NDArray[np.int64],
    ends: npt.NDArray[np.int64],
    tokenizer: Tokenizer,
) -> Encoded:
    """The ids with the end-of-document token after each part that completes a document."""
    longer = lengths + ends
    filled = np.full(int(longer.sum()), tokenizer.eos_id, dtype=tokenizer.dtype)
    is_text = np.ones(len(filled), dtype=np.bool_)
    is_text[(np.cumsum(longer) - 1)[ends == 1]] = False
    filled[is_text] = ids
    return Encoded(filled, longer)
