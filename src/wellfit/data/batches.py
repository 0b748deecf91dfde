"""Rows for training and blocks for evaluation, each a pure function of what it is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, final

import numpy as np
import numpy.typing as npt

from wellfit.data.permute import draw, draw_below, permuted
from wellfit.data.stream import Split
from wellfit.errors import DataError

IGNORE = -100
"""Target that no loss counts; the same number as ``objectives.IGNORE``, which needs torch."""


class Rows(NamedTuple):
    """The sequences of one step.  ``tokens[:, :-1]`` are the inputs, ``tokens[:, 1:]`` targets."""

    tokens: npt.NDArray[np.int64]  # (batch, context + 1)
    samples: npt.NDArray[np.int64]  # (batch,) number of each row, counted over the whole run

    def rows_for_rank(self, rank: int, world: int) -> Rows:
        """The rows of one of ``world`` processes: together they are the batch, in order."""
        batch = len(self.samples)
        part = slice(rank * batch // world, (rank + 1) * batch // world)
        return Rows(self.tokens[part], self.samples[part])


class EvalRows(NamedTuple):
    """Inputs and targets of some blocks; a padded place has input 0 and target ``IGNORE``."""

    inputs: npt.NDArray[np.int64]  # (n, context)
    targets: npt.NDArray[np.int64]  # (n, context)


def blocks_per_epoch(split: Split, *, context: int) -> int:
    """How many rows one pass over the split has.  Raises ``DataError`` when not even one fits.

    One block fewer than the stream holds, to leave room for the shift of the grid.
    """
    if split.n_tokens < context + 1:
        raise DataError(
            f"the {split.name} split has {split.n_tokens:,} tokens, and one row takes "
            f"{context + 1:,} (model.context={context} and one more). "
            f"Write model.context={max(1, split.n_tokens - 1)} or less, or give more text"
        )
    return max(1, (split.n_tokens - context) // context)


def train_rows(split: Split, *, seed: int, step: int, batch: int, context: int) -> Rows:
    """The rows of optimizer step ``step``, computed from nothing but the arguments.

    Rows are numbered over the run; row s belongs to epoch s // blocks_per_epoch.  An epoch cuts
    the stream into blocks of ``context`` targets, on a grid shifted by an offset of its own so
    that cuts fall elsewhere each time, and visits each block once in a shuffled order.
    """
    n_blocks = blocks_per_epoch(split, context=context)
    samples = np.arange(step * batch, (step + 1) * batch, dtype=np.int64)
    epochs, positions = np.divmod(samples, n_blocks)
    starts = np.empty(batch, dtype=np.int64)
    room = min(context, split.n_tokens - n_blocks * context)
    for epoch in np.unique(epochs).tolist():
        inside = epochs == epoch
        key = (split.fingerprint, seed, epoch)
        blocks = permuted(positions[inside], n=n_blocks, key=draw("order", *key))
        starts[inside] = blocks * context + draw_below(room, "offset", *key)
    return Rows(split.gather(starts, context + 1).astype(np.int64), samples)


@final
@dataclass(frozen=True, eq=False)
class Blocks:
    """Stretches of a split whose targets are scored: fixed, apart, in the order of the stream."""

    split: Split
    context: int
    starts: npt.NDArray[np.int64]  # (n,) position of each block's first input
    counts: npt.NDArray[np.int64]  # (n,) targets in each block; only the last can be short
    documents: npt.NDArray[np.int64]  # (n,) document that the first target of each block lies in

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def n_targets(self) -> int:
        """Targets in all blocks."""
        return int(self.counts.sum())

    @property
    def n_documents(self) -> int:
        """Documents that any target lies in."""
        first = self.split.documents_at(self.starts + 1)
        last = self.split.documents_at(self.starts + self.counts)
        covered = np.maximum.accumulate(last)
        seen_before = np.concatenate([[-1], covered[:-1]])
        return int((last - np.maximum(first - 1, seen_before)).sum())

    def rows(self, first: int, last: int) -> EvalRows:
        """Inputs and targets of blocks ``first`` to ``last`` (not included)."""
        starts, counts = self.starts[first:last], self.counts[first:last]
        places = starts[:, None] + np.arange(self.context + 1)
        tokens = self.split.tokens[np.minimum(places, self.split.n_tokens - 1)].astype(np.int64)
        padded = np.arange(self.context) >= counts[:, None]
        inputs, targets = tokens[:, :-1], tokens[:, 1:]
        return EvalRows(np.where(padded, 0, inputs), np.where(padded, IGNORE, targets))

    def n_bytes(self, token_bytes: npt.NDArray[np.int32], *, at_once: int = 1024) -> int:
        """UTF-8 bytes that the targets stand for, by the tokenizer's ``token_bytes``."""
        sizes = np.append(token_bytes, 0)  # IGNORE is sent to the last, which is nothing
        total = 0
        for first in range(0, len(self), at_once):
            targets = self.rows(first, first + at_once).targets
            total += int(sizes[np.where(targets == IGNORE, len(token_bytes), targets)].sum())
        return total


def eval_blocks(split: Split, *, context: int, max_targets: int | None = None) -> Blocks:
    """Blocks in which every token of the split but the first is a target once.

    The last block may be short.  ``max_targets`` keeps so many targets, or a block's worth if
    that is more, in blocks spread evenly over the split: always the same ones, so that losses
    measured at different times can be compared block by block.

    Raises ``DataError`` when the split has no target.
    """
    n_targets = split.n_tokens - 1
    if n_targets < 1:
        raise DataError(
            f"the {split.name} split has {split.n_tokens} token, and the first token of a "
            "stream is never a target. Give it more text: see data.split"
        )
    n_blocks = -(-n_targets // context)
    chosen = np.arange(n_blocks, dtype=np.int64)
    if max_targets is not None and max_targets < n_targets:
        n_chosen = max(1, max_targets // context)
        chosen = (2 * np.arange(n_chosen, dtype=np.int64) + 1) * n_blocks // (2 * n_chosen)
    starts = chosen * context
    counts = np.minimum(context, n_targets - starts)
    return Blocks(split, context, starts, counts, split.documents_at(starts + 1))
