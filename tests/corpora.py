"""Small corpora on disk, and their documents as the reader gives them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import zstandard

from wellfit import config
from wellfit.data import Prepared, Split, find_sources, prepare
from wellfit.data.formats import pieces_of


def write(path: Path, content: str | bytes) -> Path:
    """Write a file as its name says: text in UTF-8, packed for .gz and .zst."""
    data = content.encode() if isinstance(content, str) else content
    if path.suffix == ".gz":
        data = gzip.compress(data)
    if path.suffix == ".zst":
        data = zstandard.compress(data)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def write_jsonl(path: Path, *records: dict[str, Any]) -> Path:
    """Write one JSON object per line."""
    return write(path, "".join(json.dumps(record) + "\n" for record in records))


def data_of(path: Path | list[Path], **fields: Any) -> config.Data:
    """The recipe's data section for a path."""
    paths = [str(p) for p in path] if isinstance(path, list) else str(path)
    return config.Data(path=paths, **fields)


def read(path: Path | list[Path], **fields: Any) -> list[str]:
    """Each document's text; of a bad one, ``BAD`` and the kind of trouble."""
    data = data_of(path, **fields)
    found, text = [], ""
    for file in find_sources(data).files:
        for piece in pieces_of(file, data, lambda _: None):
            text += piece.text
            if piece.ends:
                found.append(f"BAD {piece.bad.kind}" if piece.bad else text)
                text = ""
    return found


def prepared(
    path: Path | list[Path], cache: Path, tokenizer: config.Tokenizer | None = None, **fields: Any
) -> Prepared:
    """Prepare with bytes as tokens, unless another tokenizer is asked for."""
    return prepare(data_of(path, **fields), tokenizer or config.ByteTokenizer(), cache=cache)


def examples(
    path: Path | list[Path] | dict[str, Path],
    cache: Path,
    task: config.Task,
    tokenizer: config.Tokenizer | None = None,
    **fields: Any,
) -> Prepared:
    """Prepare the examples of a task, with bytes as tokens unless told otherwise."""
    named = {k: str(p) for k, p in path.items()} if isinstance(path, dict) else None
    data = config.Data(path=named, **fields) if named else data_of(path, **fields)  # type: ignore[arg-type]
    return prepare(data, tokenizer or config.ByteTokenizer(), task=task, cache=cache)


def learned(made: Prepared, name: str) -> list[list[tuple[str, bool]]]:
    """The documents of a split as runs of text that are learned, or are not."""
    split = made.splits[name]
    assert split.learned is not None
    documents = []
    borders = split.doc_starts[1:]
    for ids, flags in zip(
        np.split(split.tokens, borders), np.split(split.learned, borders), strict=True
    ):
        at = np.flatnonzero(np.diff(flags)) + 1
        runs = zip(np.split(ids, at), np.split(flags, at), strict=True)
        documents.append([(made.tokenizer.decode(run), bool(flag[0])) for run, flag in runs])
    return documents


def spelled(made: Prepared, name: str) -> list[str]:
    """The documents of a split, decoded from its tokens, each with its end if it has one."""
    split = made.splits[name]
    parts = np.split(split.tokens, split.doc_starts[1:])
    return [made.tokenizer.decode(part) for part in parts]


def stream(tokens: list[int] | np.ndarray, *, doc_starts: list[int] | None = None) -> Split:
    """A split that lies in memory."""
    ids = np.asarray(tokens, dtype=np.uint16)
    starts = np.asarray(doc_starts if doc_starts is not None else [0], dtype=np.int64)
    return Split("train", ids, starts, len(ids), "a" * 64)


def examples_in_memory(
    sizes: list[int], *, learned: list[int] | None = None, labels: np.ndarray | None = None
) -> Split:
    """A split of examples in memory: tokens count up from 1; the last ``learned`` of each count."""
    starts = np.cumsum([0, *sizes[:-1]], dtype=np.int64)
    ids = np.arange(1, sum(sizes) + 1, dtype=np.uint16)
    counted = None
    if learned is not None:
        inside = [np.arange(n) >= n - k for n, k in zip(sizes, learned, strict=True)]
        counted = np.concatenate(inside)
    return Split("train", ids, starts, len(ids), "b" * 64, learned=counted, labels=labels)
