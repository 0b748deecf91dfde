"""Examples as they are trained on, to be looked at before a step is taken."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from wellfit.data.audit import places_of
from wellfit.data.prepared import Prepared
from wellfit.data.sources import Sources
from wellfit.data.stream import Labels, Split


class Preview(NamedTuple):
    """An example as it is trained on."""

    place: str  # "train.jsonl:12"
    pieces: tuple[tuple[str, bool], ...]  # stretches of its text, each with whether it is learned
    labels: tuple[str, ...]  # the classes, or each target with its number


def preview(made: Prepared, sources: Sources, *, n: int = 3, split: str = "train") -> list[Preview]:
    """Some examples of a split, spread evenly over it, in the pieces that count or do not."""
    shown, found = made.splits[split], []
    count = min(n, shown.n_documents)
    documents = [shown.n_documents * i // count for i in range(count)]
    for document, place in zip(documents, places_of(sources, shown, documents), strict=True):
        first = shown.doc_starts[document]
        tokens = slice(first, first + shown.lengths[document])
        ids = shown.tokens[tokens]
        learned = np.zeros(len(ids), np.bool_) if shown.learned is None else shown.learned[tokens]
        borders = np.flatnonzero(np.diff(learned)) + 1
        runs = zip(np.split(ids, borders), np.split(learned, borders), strict=True)
        pieces = tuple((made.tokenizer.decode(run), bool(flags[0])) for run, flags in runs)
        found.append(Preview(place, pieces, _named(shown, made.labels, document)))
    return found


def _named(split: Split, labels: Labels | None, document: int) -> tuple[str, ...]:
    if labels is None or split.labels is None:
        return ()
    row = split.labels[document]
    if labels.means:
        return tuple(f"{name} {value:g}" for name, value in zip(labels.names, row, strict=True))
    chosen = np.flatnonzero(row) if labels.several else row.astype(np.int64)
    return tuple(labels.names[i] for i in chosen)
