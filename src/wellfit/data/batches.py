"""Rows for training, each batch a pure function of (data, seed, step); blocks for evaluation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, final

import numpy as np
import numpy.typing as npt

from wellfit.data.fitting import Ints, Long, Packing, fit_examples, pack
from wellfit.data.permute import draw, draw_below, stretch
from wellfit.data.stream import Split
from wellfit.errors import DataError

IGNORE = -100
"""Target that no loss counts; the same number as ``objectives.IGNORE``, which needs torch."""

_STEP = 16  # rows of examples are as long as the longest, up to a multiple of this


class Rows(NamedTuple):
    """Rows of tokens with what is to be predicted: of a step, or of some blocks."""

    inputs: Ints  # (B, T); 0 where padded
    targets: Ints  # (B, T) the next token, ``IGNORE`` where it does not count; (B, 0) if labelled
    samples: Ints  # (B,) number of each row, over the whole run or among the blocks
    segments: Ints | None = None  # (B, T) which example of its row a token is of; -1 padding
    lengths: Ints | None = None  # (B,) tokens of each labelled example
    labels: npt.NDArray[np.float32] | None = None  # (B, n_labels)

    def part(self, start: int, end: int) -> Rows:
        """Some of the rows."""
        return Rows(*(None if a is None else a[start:end] for a in self))  # type: ignore[arg-type]

    def rows_for_rank(self, rank: int, world: int) -> Rows:
        """The rows of one of ``world`` processes: together they are the batch, in order."""
        batch = len(self.samples)
        return self.part(rank * batch // world, (rank + 1) * batch // world)


class Feed(ABC):
    """What training reads: a number of rows in an epoch, in an order of its own each time."""

    split: Split
    context: int
    n_rows: int  # in an epoch
    n_targets: int  # in an epoch
    one_length: bool = True  # every row is as long as every other, at each step
    room: int = 1  # how many places the grid of an epoch's cuts can have

    @abstractmethod
    def gather(self, rows: Ints, samples: Ints, offsets: Ints) -> Rows:
        """These rows; ``offsets`` in [0, ``room``) shift each one's cut where there is one."""

    @final
    def step(self, step: int, *, batch: int, seed: int) -> Rows:
        """The rows of an optimizer step, computed from nothing but the arguments.

        Rows are numbered over the run; row s belongs to epoch s // n_rows, and an epoch has each
        row once, in a shuffled order.
        """
        samples = np.arange(step * batch, (step + 1) * batch, dtype=np.int64)
        epochs, positions = np.divmod(samples, self.n_rows)
        rows, offsets = np.empty_like(samples), np.zeros_like(samples)
        for epoch in np.unique(epochs).tolist():
            inside = epochs == epoch
            key = (self.split.fingerprint, seed, epoch)
            first, last = int(positions[inside][0]), int(positions[inside][-1]) + 1
            rows[inside] = stretch(first, last, n=self.n_rows, key=draw("order", *key))
            offsets[inside] = draw_below(self.room, "offset", *key)
        return self.gather(rows, samples, offsets)


@final
class StreamFeed(Feed):
    """Plain text: stretches of one stream, cut anew in each epoch."""

    def __init__(self, split: Split, *, context: int) -> None:
        """Raises ``DataError`` when not even one row fits."""
        self.split, self.context = split, context
        if split.n_tokens < context + 1:
            raise DataError(
                f"the {split.name} split has {split.n_tokens:,} tokens, and one row takes "
                f"{context + 1:,} (model.context={context} and one more). "
                f"Write model.context={max(1, split.n_tokens - 1)} or less, or give more text"
            )
        # One block fewer than the stream holds, to leave room for the shift of the grid.
        self.n_rows = max(1, (split.n_tokens - context) // context)
        self.n_targets = self.n_rows * context
        self.room = min(context, split.n_tokens - self.n_targets)

    def gather(self, rows: Ints, samples: Ints, offsets: Ints) -> Rows:
        """Stretches of ``context`` inputs."""
        tokens = self.split.gather(rows * self.context + offsets, self.context + 1).astype(np.int64)
        return Rows(tokens[:, :-1], tokens[:, 1:], samples)


@final
class ExampleFeed(Feed):
    """Examples, several in a row where they are packed; a labelled one has a row of its own."""

    def __init__(self, split: Split, *, context: int, long: Long, packed: bool) -> None:
        """Raises ``DataError`` as ``fit_examples`` does."""
        self.split, self.context = split, context
        self.fitted = fit_examples(split, context=context, long=long)
        self.one_length = self.packed = packed and split.labels is None
        n = len(self.fitted.starts)
        self.packing = Packing(np.arange(n), np.arange(n + 1))  # a row for each
        if self.packed:
            self.packing = pack(self.fitted.inputs, context=context, key=(split.fingerprint,))
        self.n_rows = len(self.packing.borders) - 1
        self.n_targets = int(self.fitted.counts.sum())

    def gather(self, rows: Ints, samples: Ints, offsets: Ints) -> Rows:
        """Rows as long as the longest of them; packed ones as long as the context."""
        first, last = self.packing.borders[rows], self.packing.borders[rows + 1]
        counts = last - first
        members = self.packing.members[_ranges(first, counts)]
        row = np.repeat(np.arange(len(rows)), counts)
        layout = Layout(row, samples, self.fitted.numbers[members])
        starts, inputs = self.fitted.starts[members], self.fitted.inputs[members]
        return laid_out(self.split, starts, inputs, layout, context=self.context, full=self.packed)


class Layout(NamedTuple):
    """Where examples go: example e into ``row[e]``, after those before it in the same row."""

    row: Ints
    samples: Ints  # number of each row
    documents: Ints  # of each example


def laid_out(
    split: Split, starts: Ints, inputs: Ints, layout: Layout, *, context: int, full: bool
) -> Rows:
    """Rows that hold the examples; as long as the longest row, or with ``full`` as the context."""
    n_rows = len(layout.samples)
    before = np.cumsum(inputs) - inputs  # inputs of all earlier examples
    first = np.searchsorted(layout.row, np.arange(n_rows))  # of each row: its first example
    column = before - before[np.minimum(first, len(inputs) - 1)][layout.row]
    longest = int(np.bincount(layout.row, weights=inputs, minlength=n_rows).max())
    width = context if full else min(context, -(-longest // _STEP) * _STEP)
    places = np.repeat(layout.row * width + column, inputs) + _ranges(np.zeros_like(inputs), inputs)
    source = _ranges(starts, inputs)
    tokens = np.zeros((n_rows, width), dtype=np.int64)
    tokens.reshape(-1)[places] = split.tokens[source]
    if split.labels is not None:
        none = np.empty((n_rows, 0), dtype=np.int64)
        return Rows(tokens, none, layout.samples, None, inputs, split.labels[layout.documents])
    assert split.learned is not None, split.name
    following, segments = split.tokens[source + 1].astype(np.int64), None
    following[~split.learned[source + 1]] = IGNORE
    targets = np.full((n_rows, width), IGNORE, dtype=np.int64)
    targets.reshape(-1)[places] = following
    if full or len(inputs) > n_rows:  # a right-padded row of one text needs none
        segments = np.full((n_rows, width), -1, dtype=np.int64)
        segments.reshape(-1)[places] = np.repeat(np.arange(len(inputs)) - first[layout.row], inputs)
    return Rows(tokens, targets, layout.samples, segments)


def _ranges(starts: Ints, counts: Ints) -> Ints:
    """``counts[i]`` numbers from ``starts[i]`` on, for each i, one after the other."""
    shift = starts - (np.cumsum(counts) - counts)
    return np.repeat(shift, counts) + np.arange(int(counts.sum()))


def train_feed(split: Split, *, context: int, long: Long, packed: bool) -> Feed:
    """The feed that suits a split: of plain text, or of examples.  Raises ``DataError``."""
    if split.are_examples:
        return ExampleFeed(split, context=context, long=long, packed=packed)
    return StreamFeed(split, context=context)


@final
@dataclass(frozen=True, eq=False)
class Blocks:
    """What is scored of a split, block by block: stretches of plain text, or examples.

    Stretches are apart and in the order of the stream.  Examples are ordered by length, so that
    neighbours pad each other little.
    """

    split: Split
    context: int
    starts: Ints  # (n,) position of each block's first input
    inputs: Ints  # (n,) tokens the model is shown
    counts: Ints  # (n,) targets in each block
    documents: Ints  # (n,) document that the first target of each block lies in

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def n_targets(self) -> int:
        """Targets in all blocks."""
        return int(self.counts.sum())

    @property
    def n_documents(self) -> int:
        """Documents that any target lies in."""
        if self.split.are_examples:
            return len(self)
        first = self.split.documents_at(self.starts + 1)
        last = self.split.documents_at(self.starts + self.counts)
        covered = np.maximum.accumulate(last)
        seen_before = np.concatenate([[-1], covered[:-1]])
        return int((last - np.maximum(first - 1, seen_before)).sum())

    def rows(self, first: int, last: int) -> Rows:
        """Blocks ``first`` to ``last`` (not included), one in a row."""
        numbers = np.arange(first, min(last, len(self)), dtype=np.int64)
        starts, inputs = self.starts[numbers], self.inputs[numbers]
        if self.split.are_examples:
            layout = Layout(numbers - first, numbers, self.documents[numbers])
            return laid_out(self.split, starts, inputs, layout, context=self.context, full=False)
        places = starts[:, None] + np.arange(self.context + 1)
        tokens = self.split.tokens[np.minimum(places, self.split.n_tokens - 1)].astype(np.int64)
        padded = np.arange(self.context) >= inputs[:, None]
        shown, targets = tokens[:, :-1], tokens[:, 1:]
        return Rows(np.where(padded, 0, shown), np.where(padded, IGNORE, targets), numbers)

    def batches(self, most_inputs: int, *, most_rows: int = 64) -> Iterator[Rows]:
        """All blocks, so many at a time that together they take at most ``most_inputs`` places."""
        first = 0
        while first < len(self):
            longest = self.context
            if self.split.are_examples:
                longest = max(1, int(self.inputs[first : first + most_rows].max()))
            size = max(1, min(most_rows, most_inputs // longest))
            yield self.rows(first, first + size)
            first += size

    def n_bytes(self, token_bytes: npt.NDArray[np.int32], *, at_once: int = 1024) -> int:
        """UTF-8 bytes that the targets stand for, by the tokenizer's ``token_bytes``."""
        sizes = np.append(token_bytes, 0)  # IGNORE is sent to the last, which is nothing
        total = 0
        for first in range(0, len(self), at_once):
            targets = self.rows(first, first + at_once).targets
            total += int(sizes[np.where(targets == IGNORE, len(token_bytes), targets)].sum())
        return total


def eval_blocks(
    split: Split, *, context: int, max_targets: int | None = None, long: Long = "error"
) -> Blocks:
    """Blocks in which every target of the split is scored once.

    Of plain text that is every token but the first, and the last block may be short.
    ``max_targets`` keeps about so many targets, or a block's worth if that is more, in blocks
    spread evenly over the split: always the same ones, so that losses measured at different
    times can be compared block by block.  ``long`` as in the recipe, for examples.

    Raises ``DataError`` when the split has no target.
    """
    if split.are_examples:
        return _example_blocks(split, context=context, max_targets=max_targets, long=long)
    n_targets = split.n_tokens - 1
    if n_targets < 1:
        raise DataError(
            f"the {split.name} split has {split.n_tokens} token, and the first token of a "
            "stream is never a target. Give it more text: see data.split"
        )
    n_blocks = -(-n_targets // context)
    chosen = np.arange(n_blocks, dtype=np.int64)
    if max_targets is not None and max_targets < n_targets:
        chosen = _spread(n_blocks, max(1, max_targets // context))
    starts = chosen * context
    counts = np.minimum(context, n_targets - starts)
    return Blocks(split, context, starts, counts, counts, split.documents_at(starts + 1))


def _example_blocks(split: Split, *, context: int, max_targets: int | None, long: Long) -> Blocks:
    fitted = fit_examples(split, context=context, long=long)
    n, total = len(fitted.counts), int(fitted.counts.sum())
    chosen = np.arange(n, dtype=np.int64)
    if max_targets is not None and max_targets < total:
        chosen = _spread(n, max(1, n * max_targets // total))
    chosen = chosen[np.argsort(fitted.inputs[chosen], kind="stable")]
    starts, inputs, counts, numbers = (values[chosen] for values in fitted[:4])
    return Blocks(split, context, starts, inputs, counts, numbers)


def _spread(n: int, n_chosen: int) -> Ints:
    """``n_chosen`` of n numbers, evenly spread."""
    return (2 * np.arange(n_chosen, dtype=np.int64) + 1) * n // (2 * n_chosen)
