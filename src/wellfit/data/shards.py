"""Token files that grow, and the journal that a killed process is resumed from.

Each split is one file of tokens and one of document starts; where the documents are examples,
further files lie beside them.  After every stretch of text both are
flushed to disk and the journal gets a line with their lengths.  Whoever comes after a kill cuts
the files back to what the last line says and goes on from the character it names.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from wellfit.data.characters import Characters
from wellfit.data.sources import SplitName


class Beside(NamedTuple):
    """What a further file of a split holds for each token, or each document."""

    dtype: np.dtype[Any]
    of: Literal["token", "document"]
    width: int = 1  # numbers for each


class Totals(NamedTuple):
    """How far one split has come."""

    n_tokens: int = 0
    n_documents: int = 0
    n_bytes: int = 0  # UTF-8 text that the tokens stand for


def token_file(folder: Path, name: str) -> Path:
    """Where a split's tokens lie."""
    return folder / f"{name}.tokens"


def starts_file(folder: Path, name: str) -> Path:
    """Where the places of a split's documents lie, as 64-bit integers."""
    return folder / f"{name}.starts"


def beside_file(folder: Path, name: str, kind: str) -> Path:
    """Where a further file of a split lies: its ``learned``, ``labels`` or ``places``."""
    return folder / f"{name}.{kind}"


@dataclass
class _Shard:
    tokens: BinaryIO
    starts: BinaryIO
    beside: dict[str, BinaryIO]
    totals: Totals
    seen: Characters = field(default_factory=Characters)


class Shards:
    """The files of all splits, open for writing at the place the journal vouches for."""

    def __init__(
        self,
        folder: Path,
        names: Sequence[SplitName],
        dtype: np.dtype[Any],
        beside: Mapping[str, Beside] | None = None,
    ) -> None:
        self._stack = ExitStack()
        self._dtype = dtype
        self.beside = dict(beside or {})
        journal = folder / "journal.jsonl"
        vouched = _last_line(journal)
        self.position: int = vouched.get("position", 0)
        self._shards = {name: self._open(folder, name, vouched) for name in names}
        self._journal = self._stack.enter_context(journal.open("a", encoding="utf-8"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _open(self, folder: Path, name: SplitName, vouched: Mapping[str, Any]) -> _Shard:
        totals = Totals(*vouched.get("totals", {}).get(name, ()))
        n = {"token": totals.n_tokens, "document": totals.n_documents}
        return _Shard(
            self._cut_back(token_file(folder, name), totals.n_tokens * self._dtype.itemsize),
            self._cut_back(starts_file(folder, name), totals.n_documents * 8),
            {
                kind: self._cut_back(
                    beside_file(folder, name, kind), n[held.of] * held.dtype.itemsize * held.width
                )
                for kind, held in self.beside.items()
            },
            totals,
            Characters(vouched.get("characters", {}).get(name, "")),
        )

    def _cut_back(self, path: Path, size: int) -> BinaryIO:
        path.touch()
        file = self._stack.enter_context(path.open("r+b"))
        file.truncate(size)
        file.seek(size)
        return file

    def append(
        self,
        name: SplitName,
        ids: npt.NDArray[Any],
        starts: npt.NDArray[np.int64],
        text: str,
        **beside: npt.NDArray[Any],
    ) -> None:
        """Add tokens to a split; ``starts`` are places in ``ids`` where documents begin."""
        assert beside.keys() == self.beside.keys(), (list(beside), list(self.beside))
        shard = self._shards[name]
        shard.tokens.write(ids.astype(self._dtype, copy=False).tobytes())
        shard.starts.write((starts + shard.totals.n_tokens).astype("<i8").tobytes())
        for kind, values in beside.items():
            shard.beside[kind].write(values.astype(self.beside[kind].dtype, copy=False).tobytes())
        shard.seen.add(text)
        shard.totals = Totals(
            shard.totals.n_tokens + len(ids),
            shard.totals.n_documents + len(starts),
            shard.totals.n_bytes + (len(text) if text.isascii() else len(text.encode())),
        )

    def commit(self, position: int) -> None:
        """Vouch for everything appended so far: the text before ``position`` is done."""
        for shard in self._shards.values():
            for file in (shard.tokens, shard.starts, *shard.beside.values()):
                file.flush()
                os.fsync(file.fileno())
        line = {
            "position": position,
            "totals": {name: list(shard.totals) for name, shard in self._shards.items()},
            "characters": {name: shard.seen.text() for name, shard in self._shards.items()},
        }
        self._journal.write(json.dumps(line) + "\n")
        self._journal.flush()
        os.fsync(self._journal.fileno())
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
