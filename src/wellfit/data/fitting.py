"""Examples made to fit a context, and several of them packed into a row.

Nothing is cut or left out in silence: what happened to whom is counted, and named.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from wellfit.data.permute import draw, permuted
from wellfit.data.stream import Split
from wellfit.errors import DataError

Ints = npt.NDArray[np.int64]
_NAMED = 5


class Fitted(NamedTuple):
    """The examples of a split as they go into rows."""

    starts: Ints  # (n,) first token of each, in the split's stream
    inputs: Ints  # (n,) tokens the model is shown: of a labelled example all, else all but the last
    numbers: Ints  # (n,) which document of the split each is
    cut: Ints  # documents that lost tokens
    dropped: Ints  # documents left out: longer than the context
    unlearned: Ints  # documents left out: not one of their targets counts


def fit_examples(split: Split, *, context: int, long: Literal["error", "drop", "cut"]) -> Fitted:
    """The split's examples, none with more than ``context`` inputs.

    ``long`` is the recipe's data.long.  A labelled text loses its end; any other example its
    start, because what is learned stands at its end.

    Raises ``DataError`` for ``error`` when one is too long, and when nothing is left.
    """
    ends = np.append(split.doc_starts[1:], split.n_tokens)
    starts, sizes = split.doc_starts.astype(np.int64), (ends - split.doc_starts).astype(np.int64)
    labelled = split.labels is not None
    most = context if labelled else context + 1
    over = np.flatnonzero(sizes > most)
    if len(over) and long == "error":
        raise DataError(
            f"{len(over):,} of {len(sizes):,} examples of {split.name} are longer than the "
            f"context of {context} tokens (the longest has {sizes.max():,}; "
            f"{named(split, over)}). Write data.long=cut to cut them, data.long=drop to leave "
            f"them out, or model.context={int(sizes.max())}"
        )
    if not labelled:
        starts = starts + np.maximum(0, sizes - most)
    sizes = np.minimum(sizes, most)
    keeps = np.ones(len(sizes), dtype=bool)
    if long == "drop":
        keeps[over] = False
    unlearned = np.empty(0, dtype=np.int64)
    if not labelled:
        assert split.learned is not None, split.name
        before = np.concatenate([[0], np.cumsum(split.learned, dtype=np.int64)])
        counted = before[starts + sizes] - before[np.minimum(starts + 1, starts + sizes)]
        unlearned = np.flatnonzero(keeps & (counted == 0))
        keeps[unlearned] = False
    numbers = np.flatnonzero(keeps)
    if not len(numbers):
        raise DataError(
            f"no example of {split.name} is left to learn from: {len(over):,} are longer than the "
            f"context of {context} tokens, {len(unlearned):,} have no token that counts. "
            "Raise model.context, or look at them with: wellfit check RECIPE"
        )
    return Fitted(
        starts=starts[numbers],
        inputs=sizes[numbers] - (0 if labelled else 1),
        numbers=numbers,
        cut=over if long == "cut" else over[:0],
        dropped=over if long == "drop" else over[:0],
        unlearned=unlearned,
    )


def fit_counts(
    splits: Mapping[str, Split], *, context: int, long: Literal["error", "drop", "cut"]
) -> dict[str, dict[str, int]]:
    """Of each split: its examples, and how many of them are cut, or left out and why.

    Empty for plain text, which goes on in the next row.  Raises ``DataError`` as ``fit_examples``.
    """
    counts = {}
    for name, split in splits.items():
        if split.learned is None and split.labels is None:
            continue
        fitted = fit_examples(split, context=context, long=long)
        counts[name] = {
            "examples": split.n_documents,
            "cut": len(fitted.cut),
            "dropped": len(fitted.dropped),
            "unlearned": len(fitted.unlearned),
        }
    return counts


def said_of_fit(counts: Mapping[str, Mapping[str, int]], context: int) -> str:
    """What is not trained on whole, in a sentence; nothing where everything is."""
    stories = {
        "cut": f"cut to the context of {context} tokens",
        "dropped": f"left out, longer than the context of {context} tokens",
        "unlearned": "left out, with no token that counts",
    }
    told = []
    for kind, story in stories.items():
        found = [
            f"{n[kind]:,} of {n['examples']:,} ({name})" for name, n in counts.items() if n[kind]
        ]
        if found:
            told.append(f"{', '.join(found)} {story}")
    return f"examples: {'; '.join(told)}" if told else ""


def named(split: Split, documents: Ints) -> str:
    """Where the first few of these examples come from, for a message."""
    shown = documents[:_NAMED].tolist()
    if split.places is None:
        texts = [f"example {n}" for n in shown]
    else:
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


def one_each(n: int) -> Packing:
    """A row for each example."""
    return Packing(np.arange(n, dtype=np.int64), np.arange(n + 1, dtype=np.int64))
