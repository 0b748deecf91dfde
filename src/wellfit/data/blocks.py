"""Blocks for evaluation: what is scored, always the same, so that losses can be paired."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

from wellfit.data.batches import IGNORE, Layout, Rows, laid_out
from wellfit.data.fitting import Ints, Long, fit_examples
from wellfit.data.stream import Split
from wellfit.errors import DataError


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
    split: Split,
    *,
    context: int,
    max_targets: int | None = None,
    long: Long = "error",
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
