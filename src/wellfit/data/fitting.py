"""Examples made to fit a context, and several of them packed into a row.

Nothing is cut or left out in silence: what happened to whom is counted, and named.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from wellfit.data.permute import draw, permuted
from wellfit.data.stream import Split
from wellfit.errors import DataError

Ints = npt.NDArray[np.int64]
Long: TypeAlias = Literal["error", "drop", "cut"]
"""What is done with an example longer than the context; the recipe's data.long."""
_NAMED = 5
_LOST = {
    "cut": "cut to the context of {context} tokens",
    "dropped": "left out, longer than the context of {context} tokens",
    "unlearned": "left out, with no token that counts",
}


class Fitted(NamedTuple):
    """The examples of a split as they go into rows."""

    starts: Ints  # (n,) first token of each, in the split's stream
    inputs: Ints  # (n,) tokens the model is shown: of a labelled example all, else all but the last
    counts: Ints  # (n,) targets of each; of a labelled example one
    numbers: Ints  # (n,) which document of the split each is
    cut: Ints  # documents that lost tokens
    dropped: Ints  # documents left out: longer than the context
    unlearned: Ints  # documents left out: not one of their targets counts


def too_long(split: Split, context: int) -> Ints:
    """The numbers of the examples that a context does not hold whole.

    Where tokens are learned the last one is only a target, so one more fits.
    """
    return np.flatnonzero(split.lengths > context + (split.learned is not None))


def fit_examples(split: Split, *, context: int, long: Long) -> Fitted:
    """The split's examples, none with more than ``context`` inputs.

    A labelled text that is too long loses its end; any other example its start, because what is
    learned stands at its end.

    Raises ``DataError`` for ``error`` when one is too long, and when nothing is left.
    """
    starts, sizes, over = split.doc_starts, split.lengths, too_long(split, context)
    if len(over) and long == "error":
        raise DataError(
            f"{len(over):,} of {len(sizes):,} examples of {split.name} are longer than the "
            f"context of {context} tokens (the longest has {sizes.max():,}; "
            f"{named(split, over)}). Write data.long=cut to cut them, data.long=drop to leave "
            f"them out, or model.context={int(sizes.max())}"
        )
    cut, dropped = (over, over[:0]) if long == "cut" else (over[:0], over)
    n_targets = int(split.learned is not None)  # at the end of each that are no inputs
    shown = np.minimum(sizes, context + n_targets)
    counts = np.ones_like(sizes)
    if split.learned is not None:
        starts = starts + sizes - shown
        before = np.concatenate([[0], np.cumsum(split.learned, dtype=np.int64)])
        counts = before[starts + shown] - before[starts + np.minimum(1, shown)]
    keeps = counts > 0
    keeps[dropped] = False
    unlearned = np.setdiff1d(np.flatnonzero(counts == 0), dropped)
    numbers = np.flatnonzero(keeps)
    if not len(numbers):
        raise DataError(
            f"no example of {split.name} is left to learn from: {len(over):,} are longer than the "
            f"context of {context} tokens, {len(unlearned):,} have no token that counts. "
            "Raise model.context, or look at them with: wellfit check RECIPE"
        )
    starts, inputs, counts = starts[numbers], shown[numbers] - n_targets, counts[numbers]
    return Fitted(starts, inputs, counts, numbers, cut, dropped, unlearned)


def fit_counts(
    splits: Mapping[str, Split], *, context: int, long: Long
) -> dict[str, dict[str, int]]:
    """Of each split: its examples, and how many of them are cut, or left out and why.

    Empty for plain text, which goes on in the next row.  Raises ``DataError`` as ``fit_examples``.
    """
    counts = {}
    for name, split in splits.items():
        if split.are_examples:
            fitted = fit_examples(split, context=context, long=long)
            lost = {kind: len(getattr(fitted, kind)) for kind in _LOST}
            counts[name] = {"examples": split.n_documents, **lost}
    return counts


def said_of_fit(counts: Mapping[str, Mapping[str, int]], context: int) -> str:
    """What is not trained on whole, in a sentence; nothing where everything is."""
    told = []
    for kind, story in _LOST.items():
        found = [
            f"{n[kind]:,} of {n['examples']:,} ({name})" for name, n in counts.items() if n[kind]
        ]
        if found:
            told.append(f"{', '.join(found)} {story.format(context=context)}")
    return f"examples: {'; '.join(told)}" if told else ""


def named(split: Split, documents: Ints) -> str:
    """Where the first few of these examples come from, for a message."""
    shown = documents[:_NAMED].tolist()
    texts = [f"example {n}" for n in shown]
    if split.places is not None:
        texts = [f"record {int(split.places[n, 1])}" for n in shown]
    return ", ".join(texts) + (" and more" if len(documents) > _NAMED else "")


class Packing(NamedTuple):
    """Which examples share a row: those of row r are ``members[borders[r]:borders[r + 1]]``."""

    members: Ints  # (n,) positions in a ``Fitted``
    borders: Ints  # (rows + 1,)


def pack(sizes: Ints, *, context: int, key: tuple[object, ...]) -> Packing:
    """Put examples of these sizes into rows of ``context``, each where it leaves least room.

    They come in the shuffled order that ``key`` names rather than by falling size (as best-fit
    decreasing has it): that would fill rows a little better and put the short ones together.
    """
    order = permuted(np.arange(len(sizes)), n=len(sizes), key=draw("pack", *key))
    rows: list[list[int]] = []
    by_room: defaultdict[int, list[int]] = defaultdict(list)  # room left -> rows that have it
    has_room = np.zeros(context + 1, dtype=bool)  # by_room has a row with this much
    for example in order.tolist():
        size = int(sizes[example])
        room = size + int(has_room[size:].argmax())
        if has_room[room]:
            row = by_room[room].pop()
            has_room[room] = bool(by_room[room])
            rows[row].append(example)
        else:
            room, row = context, len(rows)
            rows.append([example])
        if room > size:
            by_room[room - size].append(row)
            has_room[room - size] = True
    lengths = [len(row) for row in rows]
    members = np.fromiter((e for row in rows for e in row), np.int64, len(sizes))
    return Packing(members, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))
