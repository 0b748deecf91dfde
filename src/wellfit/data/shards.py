"""Token files that grow, and the journal that a killed process is resumed from.

Each split is one file of tokens and one of document starts; where the documents are examples,
further files lie beside them.  After every stretch of text all are
flushed to disk and the journal gets a line with their lengths.  Whoever comes after a kill cuts
the files back to what the last line says and goes on from the character it names.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from wellfit.data.cache import grown, synced
from wellfit.data.characters import Characters
from wellfit.data.sources import SplitName


class Held(NamedTuple):
    """What a file of a split holds for each token, or each document."""

    dtype: np.dtype[Any]
    of: Literal["token", "document"]
    width: int = 1  # numbers for each


class Totals(NamedTuple):
    """How far one split has come."""

    n_tokens: int = 0
    n_documents: int = 0
    n_bytes: int = 0  # UTF-8 text that the tokens stand for


def plain_files(dtype: np.dtype[Any]) -> dict[str, Held]:
    """The files that every split has: its tokens, and the places in them of its documents."""
    return {"tokens": Held(dtype, "token"), "starts": Held(np.dtype("<i8"), "document")}


def split_file(folder: Path, name: str, kind: str) -> Path:
    """Where a file of a split lies: its ``tokens``, ``starts``, ``learned``, ``labels``, ..."""
    return folder / f"{name}.{kind}"


@dataclass
class _Shard:
    files: dict[str, BinaryIO]
    totals: Totals
    seen: Characters


class Shards:
    """The files of all splits, open for writing at the place the journal vouches for."""

    def __init__(self, folder: Path, names: Sequence[SplitName], files: Mapping[str, Held]) -> None:
        self._stack = ExitStack()
        self.files = files
        journal = folder / "journal.jsonl"
        vouched = _last_line(journal)
        self.position: int = vouched.get("position", 0)
        self._shards = {name: self._open(folder, name, vouched) for name in names}
        self._journal = self._stack.enter_context(journal.open("a", encoding="utf-8"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def _open(self, folder: Path, name: SplitName, vouched: Mapping[str, Any]) -> _Shard:
        totals = Totals(*vouched.get("totals", {}).get(name, ()))
        n = {"token": totals.n_tokens, "document": totals.n_documents}
        files: dict[str, BinaryIO] = {}
        for kind, held in self.files.items():
            n_bytes = n[held.of] * held.dtype.itemsize * held.width
            files[kind] = self._stack.enter_context(grown(split_file(folder, name, kind), n_bytes))
        return _Shard(files, totals, Characters(vouched.get("characters", {}).get(name, "")))

    def append(self, name: SplitName, text: str, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Add tokens to a split; ``starts`` are places in ``tokens`` where documents begin."""
        assert arrays.keys() == self.files.keys(), (list(arrays), list(self.files))
        shard = self._shards[name]
        before = shard.totals
        for kind, values in arrays.items():
            values = values + before.n_tokens if kind == "starts" else values
            shard.files[kind].write(values.astype(self.files[kind].dtype, copy=False).tobytes())
        shard.seen.add(text)
        shard.totals = Totals(
            before.n_tokens + len(arrays["tokens"]),
            before.n_documents + len(arrays["starts"]),
            before.n_bytes + (len(text) if text.isascii() else len(text.encode())),
        )

    def commit(self, position: int) -> None:
        """Vouch for everything appended so far: the text before ``position`` is done."""
        for shard in self._shards.values():
            for file in shard.files.values():
                synced(file)
        line = {
            "position": position,
            "totals": {name: list(shard.totals) for name, shard in self._shards.items()},
            "characters": self.characters(),
        }
        self._journal.write(json.dumps(line) + "\n")
        synced(self._journal)
        self.position = position

    def totals(self) -> dict[str, Totals]:
        """Of each split."""
        return {name: shard.totals for name, shard in self._shards.items()}

    def characters(self) -> dict[str, str]:
        """The characters that each split's text has, sorted."""
        return {name: shard.seen.text() for name, shard in self._shards.items()}


def _last_line(journal: Path) -> dict[str, Any]:
    """The last line that was written whole; a torn one after it is cut off."""
    if not journal.exists():
        return {}
    data = journal.read_bytes()
    end = data.rfind(b"\n") + 1
    os.truncate(journal, end)
    begin = data.rfind(b"\n", 0, max(0, end - 1)) + 1
    found: dict[str, Any] = json.loads(data[begin:end]) if end else {}
    return found
