"""What a person should know about the data before trusting a number that comes from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from wellfit import config
from wellfit.data.coding import Coding, class_counts
from wellfit.data.encode import Corpus
from wellfit.data.overlap import WINDOW_BYTES, mixed, overlap
from wellfit.data.reading import place_in
from wellfit.data.sources import Sources
from wellfit.data.stream import Labels, Split
from wellfit.errors import DataError
from wellfit.tokenizer import Tokenizer

_TOKENS_AT_ONCE = 1 << 20
_COMPARED = 1 << 21  # examples whose answers are compared; of more, a share
_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_SHOWN = 100  # places; characters that train lacks, of which Chinese text may have thousands


def audit_of(
    corpus: Corpus,
    tokenizer: Tokenizer,
    splits: Mapping[str, Split],
    characters: Mapping[str, str],
    came_back: dict[str, int] | None,
) -> dict[str, Any]:
    """Counts of everything read, kept and left out; JSON can hold it as it is."""
    sources, noticed, near = corpus.sources, corpus.table.noticed, corpus.assignment.near
    return {
        "files": {
            "read": len(sources.files),
            "bytes": sources.n_bytes,
            "ignored": dict(sources.ignored),
        },
        "splits": {name: _counts(split) for name, split in splits.items()},
        "skipped": {
            "records": sum(noticed.skipped.values()),
            "kinds": noticed.skipped,
            "at": noticed.skipped_at,
            "empty": noticed.empty,
            "left_out": corpus.assignment.left_out,
        },
        "column": noticed.column,
        "duplicates": corpus.assignment.copies._asdict(),
        "near_duplicates": near and near._asdict(),
        "overlap": _overlaps(splits),
        "characters": _characters(characters),
        "tokenizer": {
            "kind": tokenizer.kind,
            "vocab_size": tokenizer.vocab_size,
            "eos_id": tokenizer.eos_id,
            "round_trip": came_back,
        },
    }


def _counts(split: Split) -> dict[str, Any]:
    return {
        "documents": split.n_documents,
        "tokens": split.n_tokens,
        "bytes": split.n_bytes,
        "bytes_per_token": split.n_bytes / max(1, split.n_tokens),
    }


def _overlaps(splits: Mapping[str, Split]) -> dict[str, Any]:
    """Per split other than train: the share of its windows that train has word for word."""
    train = splits.get("train")
    if train is None:
        return {}
    found = {name: overlap(split, train) for name, split in splits.items() if name != "train"}
    return {
        name: {"share": o.found / o.windows, **o._asdict(), "window_bytes": WINDOW_BYTES}
        for name, o in found.items()
        if o.windows  # else the whole split is shorter than a window
    }


def _characters(characters: Mapping[str, str]) -> dict[str, Any]:
    """How many there are, and which of val and test a model never meets in train."""
    known = set(characters.get("train", ""))
    strange = {
        name: "".join(sorted(set(text) - known)[:_SHOWN])
        for name, text in characters.items()
        if name != "train" and known
    }
    return {"distinct": len(set().union(*characters.values())), "not_in_train": strange}


def places_of(
    sources: Sources, split: Split, documents: Sequence[int] | npt.NDArray[np.int64]
) -> list[str]:
    """Where examples stand in the files, as messages name it: ``train.jsonl:12``."""
    assert split.places is not None, split.name
    found = split.places[np.asarray(documents, dtype=np.int64)].tolist()
    return [place_in(sources.files[file], number) for file, number in found]


def examples_audit(
    corpus: Corpus, how: Coding, splits: Mapping[str, Split], labels: Labels | None
) -> dict[str, Any]:
    """Counts of what is learned from; JSON can hold it as it is.

    Raises ``DataError`` for a split without a single token that counts.
    """
    audit: dict[str, Any] = {
        "task": how.task.kind,
        "begin": how.tokenizer.decode(how.before),
        "end": how.tokenizer.decode(how.after),
        "lengths": {name: _lengths(split) for name, split in splits.items()},
    }
    if not isinstance(how.task, (config.Complete, config.Chat)) or how.task.learn != "all":
        audit["conflicts"] = {name: conflicts(split) for name, split in splits.items()}
    if labels is None:
        audit["learned"] = {
            name: _learned(split, corpus.sources, how.end) for name, split in splits.items()
        }
    elif labels.means:
        audit["targets"] = {name: _targets(split, labels) for name, split in splits.items()}
    else:
        audit["labels"] = {
            name: dict(zip(labels.names, class_counts(split, labels).tolist(), strict=True))
            for name, split in splits.items()
        }
    if (dress := corpus.dress) is not None and how.end is not None:
        audit |= {
            "template": dress.origin,
            "forms": corpus.table.noticed.forms,
            "end": how.tokenizer.decode([how.end]),
            "end_added": bool(how.after),  # by us, for the template has none
        }
    return audit


def _lengths(split: Split) -> dict[str, int]:
    quantiles = {"median": 0.5, "p90": 0.9, "p99": 0.99, "longest": 1.0}
    found = np.quantile(split.lengths, list(quantiles.values()), method="higher").tolist()
    return dict(zip(quantiles, map(int, found), strict=True))


def _learned(split: Split, sources: Sources, end: int | None) -> dict[str, Any]:
    assert split.learned is not None
    ends, parts = 0, []
    for _, tokens, starts in _stretches(split):
        learned = split.learned[tokens]
        parts.append(np.add.reduceat(learned, starts, dtype=np.int64))
        ends += int(np.count_nonzero((split.tokens[tokens] == end) & learned))
    counts = np.concatenate(parts)
    without = np.flatnonzero(counts == 0)
    if len(without) == split.n_documents:
        first = places_of(sources, split, [0])[0]
        raise DataError(
            f"no token of {split.name} counts: none of its {split.n_documents:,} examples has "
            f"anything to learn, from {first} on. Check data.path and the keys of task"
        )
    return {
        "tokens": int(counts.sum()),
        "ends": ends,
        "share": float(counts.sum() / split.n_tokens),
        "without": len(without),
        "without_at": places_of(sources, split, without[:_SHOWN]),
    }


def _targets(split: Split, labels: Labels) -> dict[str, dict[str, float]]:
    assert split.labels is not None
    columns = zip(labels.names, split.labels.T.astype(np.float64), strict=True)
    return {
        name: {
            "mean": float(column.mean()),
            "deviation": float(column.std()),
            "lowest": float(column.min()),
            "highest": float(column.max()),
        }
        for name, column in columns
    }


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
    for documents, places, starts in _stretches(split):
        tokens = np.asarray(split.tokens[places]).astype(np.uint64)
        is_answer = np.zeros(len(tokens), np.bool_)
        if split.learned is not None:
            is_answer = split.learned[places]
        answers = _sums(tokens, is_answer, starts)
        if split.labels is not None:
            rows = split.labels[documents].view(np.uint32).astype(np.uint64)
            answers = mixed(rows + np.arange(rows.shape[1], dtype=np.uint64) * _FACTOR).sum(axis=1)
        yield np.stack([_sums(tokens, ~is_answer, starts), answers], axis=1)


def _stretches(split: Split) -> Iterator[tuple[slice, slice, npt.NDArray[np.int64]]]:
    """Whole examples, so many at a time that no pass needs much memory.

    Their numbers, their tokens, and where in those each begins.
    """
    first = 0
    while first < split.n_documents:
        begin = int(split.doc_starts[first])
        last = int(np.searchsorted(split.doc_starts, begin + _TOKENS_AT_ONCE, side="right"))
        end = split.n_tokens if last == split.n_documents else int(split.doc_starts[last])
        yield slice(first, last), slice(begin, end), split.doc_starts[first:last] - begin
        first = last


def _sums(
    tokens: npt.NDArray[np.uint64], counted: npt.NDArray[np.bool_], starts: npt.NDArray[np.int64]
) -> npt.NDArray[np.uint64]:
    """A hash of the counted tokens of each document, whatever stands between them."""
    so_far = np.cumsum(counted, dtype=np.int64)
    before = np.repeat(so_far[starts] - counted[starts], np.diff(starts, append=len(tokens)))
    terms = mixed(tokens + (so_far - before).astype(np.uint64) * _FACTOR)
    return np.add.reduceat(np.where(counted, terms, np.uint64(0)), starts)
