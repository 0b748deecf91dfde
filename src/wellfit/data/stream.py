"""A split: one stream of tokens on disk, and where its documents begin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np
import numpy.typing as npt


@final
@dataclass(frozen=True)
class Labels:
    """What the numbers beside the examples of a labelled task mean.

    classify  ``Split.labels`` is (n, 1), the index of the class, or with ``several`` (n, classes)
              of 0 and 1
    regress   ``Split.labels`` is (n, targets), in the units of the data; ``means`` and
              ``deviations`` are those of the train split
    """

    names: tuple[str, ...]  # of the classes, sorted; or of the target columns
    several: bool = False
    means: tuple[float, ...] = ()
    deviations: tuple[float, ...] = ()


@final
@dataclass(frozen=True, eq=False)
class Split:
    """The documents of train, val or test, one after the other, as ids mapped from disk.

    Nothing is read until it is asked for, so a split may be larger than memory.
    ``n_bytes`` counts the UTF-8 text that the tokens stand for: the ends of documents add none.
    """

    name: str
    tokens: npt.NDArray[Any]  # (n_tokens,) uint16 or uint32
    doc_starts: npt.NDArray[np.int64]  # (n_documents,) where each document begins in tokens
    n_bytes: int
    fingerprint: str  # of the prepared data and the split's name: what the batch order hangs on
    # Of a task with examples, each of which is a document:
    learned: npt.NDArray[np.bool_] | None = None  # (n_tokens,) which of them are targets
    labels: npt.NDArray[np.float32] | None = None  # (n_documents, n_labels), see Labels
    places: npt.NDArray[np.int64] | None = None  # (n_documents, 2) file, and record in it

    @property
    def n_tokens(self) -> int:
        """Tokens in the stream, ends of documents included."""
        return len(self.tokens)

    @property
    def n_targets(self) -> int:
        """Targets in the whole of it, of plain text about as many as tokens."""
        if self.labels is not None:
            return len(self.labels)
        return self.n_tokens if self.learned is None else int(self.learned.sum())

    @property
    def n_documents(self) -> int:
        """Documents in the stream; one that a tail split cut in two counts in both splits."""
        return len(self.doc_starts)

    @property
    def are_examples(self) -> bool:
        """Whether each document is an example of a task, and not plain text."""
        return self.learned is not None or self.labels is not None

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Tokens of each document.  Shapes: (n_documents,)."""
        return np.diff(self.doc_starts, append=self.n_tokens)

    def gather(self, starts: npt.NDArray[np.int64], length: int) -> npt.NDArray[Any]:
        """``length`` tokens from each start, as (len(starts), length) of the stored type.

        Raises ``ValueError`` for a row that would leave the stream.
        """
        if len(starts) and not 0 <= starts.min() <= starts.max() <= self.n_tokens - length:
            raise ValueError(
                f"rows of {length} tokens from {starts.min()}..{starts.max()} leave the "
                f"{self.n_tokens} tokens of {self.name}"
            )
        rows: npt.NDArray[Any] = self.tokens[starts[:, None] + np.arange(length)]
        return rows

    def documents_at(self, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The number of the document that each position of the stream lies in."""
        return np.searchsorted(self.doc_starts, positions, side="right").astype(np.int64) - 1
