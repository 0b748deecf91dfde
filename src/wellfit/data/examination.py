"""What a person should know of examples: what counts, what is too long, how they look."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from wellfit import config
from wellfit.data.encode import Corpus, coding_of
from wellfit.data.labels import class_counts
from wellfit.data.overlap import mixed
from wellfit.data.reading import place_in
from wellfit.data.sources import Sources
from wellfit.data.stream import Labels, Split
from wellfit.errors import DataError
from wellfit.tokenizer import Tokenizer

_SHOWN = 100
_TOKENS_AT_ONCE = 1 << 20
_COMPARED = 1 << 21  # examples whose answers are compared; of more, a share
_FACTOR = np.uint64(0x9E3779B97F4A7C15)


class Preview(NamedTuple):
    """An example as it is trained on."""

    place: str  # "train.jsonl:12"
    pieces: tuple[tuple[str, bool], ...]  # stretches of its text, each with whether it is learned
    labels: tuple[str, ...]  # the classes, or each target with its number


def lengths_of(split: Split) -> npt.NDArray[np.int64]:
    """Tokens of each document.  Shapes: (n_documents,)."""
    return np.diff(split.doc_starts, append=split.n_tokens)


def too_long(split: Split, context: int) -> npt.NDArray[np.int64]:
    """The numbers of the examples that a context does not hold whole.

    Where tokens are learned the last one is only a target, so one more fits.
    """
    return np.flatnonzero(lengths_of(split) > context + (split.learned is not None))


def places_of(
    sources: Sources, split: Split, documents: Sequence[int] | npt.NDArray[np.int64]
) -> list[str]:
    """Where examples stand in the files, as messages name it: ``train.jsonl:12``."""
    assert split.places is not None, split.name
    found = split.places[np.asarray(documents, dtype=np.int64)].tolist()
    return [place_in(sources.files[file], number) for file, number in found]


def preview(
    split: Split, tokenizer: Tokenizer, labels: Labels | None, sources: Sources, *, n: int = 3
) -> list[Preview]:
    """Some examples of a split, spread evenly over it, in the pieces that count or do not."""
    count = min(n, split.n_documents)
    documents = [split.n_documents * i // count for i in range(count)]
    ends = split.doc_starts + lengths_of(split)
    found = []
    for document, place in zip(documents, places_of(sources, split, documents), strict=True):
        first, last = int(split.doc_starts[document]), int(ends[document])
        ids = split.tokens[first:last]
        learned = np.zeros(len(ids), np.bool_)
        if split.learned is not None:
            learned = split.learned[first:last]
        borders = np.flatnonzero(np.diff(learned)) + 1
        runs = zip(np.split(ids, borders), np.split(learned, borders), strict=True)
        pieces = tuple((tokenizer.decode(run), bool(flags[0])) for run, flags in runs if len(run))
        found.append(Preview(place, pieces, _named(split, labels, document)))
    return found


def _named(split: Split, labels: Labels | None, document: int) -> tuple[str, ...]:
    if labels is None or split.labels is None:
        return ()
    row = split.labels[document]
    if labels.means:
        return tuple(f"{name} {value:g}" for name, value in zip(labels.names, row, strict=True))
    chosen = np.flatnonzero(row) if labels.several else row.astype(np.int64)
    return tuple(labels.names[i] for i in chosen)


def examples_audit(
    corpus: Corpus, tokenizer: Tokenizer, splits: Mapping[str, Split], labels: Labels | None
) -> dict[str, Any]:
    """Counts of what is learned from; JSON can hold it as it is.

    Raises ``DataError`` for a split without a single token that counts.
    """
    how = coding_of(corpus, tokenizer)
    assert how is not None and corpus.form is not None
    audit: dict[str, Any] = {
        "task": how.task.kind,
        "begin": tokenizer.decode(how.before),
        "end": tokenizer.decode(how.after),
        "lengths": {name: _lengths(split) for name, split in splits.items()},
    }
    if not isinstance(how.task, (config.Complete, config.Chat)) or how.task.learn != "all":
        audit["conflicts"] = {name: conflicts(split) for name, split in splits.items()}
    match how.task:
        case config.Complete() | config.Chat():
            audit["learned"] = {
                name: _learned(split, corpus.sources) for name, split in splits.items()
            }
        case config.Classify() if labels is not None:
            audit["labels"] = {
                name: dict(zip(labels.names, class_counts(split, labels).tolist(), strict=True))
                for name, split in splits.items()
            }
        case config.Regress() if labels is not None:
            audit["targets"] = {name: _targets(split, labels) for name, split in splits.items()}
        case _:
            raise AssertionError(how.task)
    return audit


def _lengths(split: Split) -> dict[str, int]:
    lengths = lengths_of(split)
    quantiles = {"median": 0.5, "p90": 0.9, "p99": 0.99, "longest": 1.0}
    found = np.quantile(lengths, list(quantiles.values()), method="higher").tolist()
    return dict(zip(quantiles, map(int, found), strict=True))


def _learned(split: Split, sources: Sources) -> dict[str, Any]:
    assert split.learned is not None
    counts = np.add.reduceat(split.learned, split.doc_starts, dtype=np.int64)
    without = np.flatnonzero(counts == 0)
    if len(without) == split.n_documents:
        first = places_of(sources, split, [0])[0]
        raise DataError(
            f"no token of {split.name} counts: none of its {split.n_documents:,} examples has "
            f"anything to learn, from {first} on. Check data.path and the keys of task"
        )
    return {
        "tokens": int(counts.sum()),
        "share": float(counts.sum() / split.n_tokens),
        "without": len(without),
        "without_at": places_of(sources, split, without[:_SHOWN]),
    }


def _targets(split: Split, labels: Labels) -> dict[str, dict[str, float]]:
    assert split.labels is not None
    found = {}
    for name, column in zip(labels.names, split.labels.T.astype(np.float64), strict=True):
        found[name] = {
            "mean": float(column.mean()),
            "deviation": float(column.std()),
            "lowest": float(column.min()),
            "highest": float(column.max()),
        }
    return found


def conflicts(split: Split) -> int:
    """How many texts stand in the split with more than one answer.

    Texts and answers are compared by hash; of more than two million examples a share is, and the
    count scaled up.
    """
    every = np.uint64(1 + split.n_documents // _COMPARED)
    parts = [part[part[:, 0] % every == 0] for part in _hashes(split)]
    pairs = np.unique(np.concatenate(parts), axis=0)
    _, answers = np.unique(pairs[:, 0], return_counts=True)
    return int((answers > 1).sum()) * int(every)


def _hashes(split: Split) -> Iterator[npt.NDArray[np.uint64]]:
    """For each example a hash of what is given and one of the answer.  Shapes: (n, 2)."""
    lengths = lengths_of(split)
    first = 0
    while first < split.n_documents:
        begin = int(split.doc_starts[first])
        last = int(np.searchsorted(split.doc_starts, begin + _TOKENS_AT_ONCE, side="right"))
        end = split.n_tokens if last == split.n_documents else int(split.doc_starts[last])
        starts = split.doc_starts[first:last] - begin
        tokens = np.asarray(split.tokens[begin:end]).astype(np.uint64)
        places = np.arange(len(tokens)) - np.repeat(starts, lengths[first:last])
        terms = mixed(tokens + places.astype(np.uint64) * _FACTOR + np.uint64(1))
        if split.labels is not None:
            rows = split.labels[first:last].view(np.uint32).astype(np.uint64)
            answers = mixed(rows + np.arange(rows.shape[1], dtype=np.uint64) * _FACTOR).sum(axis=1)
            yield np.stack([np.add.reduceat(terms, starts), answers], axis=1)
        else:
            assert split.learned is not None
            learned = split.learned[begin:end]
            given = np.add.reduceat(np.where(learned, np.uint64(0), terms), starts)
            yield np.stack([given, np.add.reduceat(terms, starts)], axis=1)
        first = last
