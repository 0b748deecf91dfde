"""The second reading: documents to tokens, batch by batch, into the files of their splits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from wellfit.config import Data
from wellfit.data.ahead import in_order
from wellfit.data.chat import Dress
from wellfit.data.coding import Arrays, Coding, coded
from wellfit.data.documents import CODES, OUT, TEXT, Table, documents
from wellfit.data.examples import Form
from wellfit.data.reading import OnRead, place_in
from wellfit.data.records import Piece
from wellfit.data.shards import Shards
from wellfit.data.sources import Sources, SplitName
from wellfit.data.split import CUT, Assignment, sides
from wellfit.errors import TokenizerError
from wellfit.tokenizer import Tokenizer

_BATCH_CHARS = 1 << 21  # of text encoded at once, on every core
_STRETCH_CHARS = 1 << 24  # of text between two lines of the journal
_NAMES: dict[int, SplitName] = {code: name for name, code in CODES.items()}

Encoded: TypeAlias = tuple[SplitName, str, Arrays]
"""A stretch of one split: its text, and what is made of it."""


class Part(NamedTuple):
    """A stretch of one split's text; the parts of a document follow each other."""

    position: int  # in characters of the whole stream, dropped copies included
    split: SplitName
    begins: bool  # the first part of its document in this split
    file: int  # which of the sources
    piece: Piece  # of the document; where a split cuts it, what is this split's


class Corpus(NamedTuple):
    """Everything that says which text is whose."""

    sources: Sources
    data: Data
    table: Table
    assignment: Assignment
    form: Form | None = None  # of examples

    @property
    def dress(self) -> Dress | None:
        """How conversations become text."""
        return self.form.dress if self.form is not None else None


def parts_of(corpus: Corpus, on_read: OnRead, *, position: int = 0) -> Iterator[Part]:
    """The text of all splits from a place in the stream on, in reading order."""
    sources, data, table, assignment, form = corpus
    first_file = _file_at(table, position)
    row = int(np.searchsorted(table.rows["file"], first_file))  # the file's first document
    here, offset = table.chars_before(row), 0
    codes, states = assignment.codes, np.array(table.rows["state"])
    for file, piece in documents(sources, data, on_read, first_file=first_file, form=form):
        code = int(codes[row])
        if code == CUT:
            parts = _cut(file, piece, here, offset, assignment.cuts)
            yield from (part for part in parts if part.position >= position)
        elif code != OUT and here >= position:
            yield Part(here, _NAMES[code], offset == 0, file, piece)
        if states[row] == TEXT:
            here += len(piece.text)
        offset += len(piece.text)
        if piece.ends:
            row, offset = row + 1, 0
    assert row == len(codes), f"{row} documents on second reading, {len(codes)} on first"


def _file_at(table: Table, position: int) -> int:
    """The file that holds a place in the stream; behind its end, the number of files."""
    row, files = table.row_at(position), table.rows["file"]
    return int(files[row]) if row < len(files) else int(files[-1]) + 1


def _cut(file: int, piece: Piece, here: int, offset: int, cuts: Sequence[int]) -> Iterator[Part]:
    """A piece of a document that tail cuts go through, taken apart at them."""
    end = here + len(piece.text)
    for code, a, b in sides(here, end, cuts):
        text, begins = piece.text[a - here : b - here], a == here - offset or a in cuts
        inside = piece._replace(text=text, ends=piece.ends and b == end)
        yield Part(a, _NAMES[code], begins, file, inside)


def encode(
    corpus: Corpus,
    tokenizer: Tokenizer,
    how: Coding | None,
    shards: Shards,
    on_read: OnRead,
    *,
    separate: bool,
) -> None:
    """Append every part that the journal does not vouch for yet, and commit as it goes.

    ``how`` is None for plain text, whose documents end in a token of their own if ``separate``.
    """

    def encoded(batch: tuple[list[Part], int | None]) -> tuple[list[Encoded], int | None]:
        found, end = list[Encoded](), batch[1]
        for name in CODES:
            if parts := [part for part in batch[0] if part.split == name]:
                try:
                    arrays = _tokens_of(parts, tokenizer, how, separate=separate)
                except TokenizerError as e:
                    raise _placed(e, corpus.sources, parts, tokenizer) from None
                found.append((name, "".join(part.piece.text for part in parts), arrays))
        return found, end

    # A library's encoding needs no Python, and goes on while the next texts are read; of ours a
    # second batch would take half of the memory that preparing is allowed to take.
    at_once = 0 if tokenizer.kind in ("char", "byte") else 1
    for found, end in in_order(encoded, _batches(corpus, on_read, shards.position), at_once):
        while found:  # let go of each before the next are read
            shards.append(*found.pop(0))
        if end is not None:
            shards.commit(end)


def _batches(corpus: Corpus, on_read: OnRead, end: int) -> Iterator[tuple[list[Part], int | None]]:
    """What is encoded at once, and up to where the journal vouches after it, if it is to say so."""
    parts, n_chars, border = list[Part](), 0, end + _STRETCH_CHARS
    for part in parts_of(corpus, on_read, position=end):
        beyond = part.position >= border
        if beyond or n_chars >= _BATCH_CHARS:
            yield parts, part.position if beyond else None
            border = part.position + _STRETCH_CHARS if beyond else border
            parts, n_chars = [], 0
        parts.append(part)
        n_chars += len(part.piece.text)
        end = part.position + len(part.piece.text)
    yield parts, end


def _tokens_of(
    parts: Sequence[Part], tokenizer: Tokenizer, how: Coding | None, *, separate: bool
) -> Arrays:
    """The ids of parts of one split, where in them documents begin, and what lies beside them."""
    if how is not None:
        examples = [part.piece.example for part in parts if part.piece.example is not None]
        places = np.array([(part.file, part.piece.number) for part in parts], dtype=np.int64)
        return coded(examples, places, how)
    ids, lengths = tokenizer.encode_joined([part.piece.text for part in parts])
    if separate:
        assert tokenizer.eos_id is not None, tokenizer.kind
        ends = np.fromiter((part.piece.ends for part in parts), np.bool_, len(parts))
        ids = np.insert(ids, np.cumsum(lengths)[ends], tokenizer.eos_id)
        lengths = lengths + ends
    begins = np.fromiter((part.begins for part in parts), np.bool_, len(parts))
    return {"tokens": ids, "starts": (np.cumsum(lengths) - lengths)[begins]}


def _placed(
    error: TokenizerError, sources: Sources, parts: Sequence[Part], tokenizer: Tokenizer
) -> TokenizerError:
    """The error of a batch with its place: each text once more, one by one."""
    for part in parts:
        try:
            tokenizer.encode(part.piece.text)
        except TokenizerError as e:
            return TokenizerError(f"{place_in(sources.files[part.file], part.piece.number)}: {e}")
    return error
