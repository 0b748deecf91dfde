"""What a person should know about the data before trusting a number that comes from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wellfit.data.encode import Corpus
from wellfit.data.overlap import WINDOW_BYTES, overlap
from wellfit.data.stream import Split
from wellfit.data.vocabulary import RoundTrip
from wellfit.tokenizer import Tokenizer

_SHOWN = 100  # characters of val or test that train lacks; of Chinese text there may be thousands


def audit_of(
    corpus: Corpus,
    tokenizer: Tokenizer,
    splits: Mapping[str, Split],
    characters: Mapping[str, str],
    came_back: RoundTrip | None,
) -> dict[str, Any]:
    """Counts of everything read, kept and left out; JSON can hold it as it is."""
    sources, noticed = corpus.sources, corpus.table.noticed
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
        "overlap": _overlaps(splits),
        "characters": _characters(characters),
        "tokenizer": {
            "kind": tokenizer.kind,
            "vocab_size": tokenizer.vocab_size,
            "eos_id": tokenizer.eos_id,
            "round_trip": came_back._asdict() if came_back is not None else None,
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
    found = {}
    for name, split in splits.items():
        if name == "train":
            continue
        seen = overlap(split, train)
        if not seen.windows:  # the whole split is shorter than a window
            continue
        found[name] = {
            "share": seen.found / seen.windows,
            "windows": seen.windows,
            "found": seen.found,
            "window_tokens": seen.window_tokens,
            "window_bytes": WINDOW_BYTES,
        }
    return found


def _characters(characters: Mapping[str, str]) -> dict[str, Any]:
    """How many there are, and which of val and test a model never meets in train."""
    known = set(characters.get("train", ""))
    strange = {
        name: "".join(sorted(set(text) - known)[:_SHOWN])
        for name, text in characters.items()
        if name != "train" and known
    }
    return {"distinct": len(set().union(*characters.values())), "not_in_train": strange}
