"""How far preparing has come, for whoever shows it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

from wellfit.data.reading import OnRead

Stage: TypeAlias = Literal["wait", "fingerprint", "read", "tokenizer", "encode", "audit"]
_EVERY_S = 0.1


class Progress(NamedTuple):
    """Bytes of the files on disk that a stage has got through, of how many.

    Stages follow each other in the order of ``Stage``; ``wait`` means that another process is
    preparing the same data, and ``audit`` has no bytes to count.
    """

    stage: Stage
    done_bytes: int
    total_bytes: int


Listener: TypeAlias = Callable[[Progress], None]


class Reporter:
    """Adds up bytes and tells the listener, at most ten times a second."""

    def __init__(self, listener: Listener | None, total_bytes: int) -> None:
        self._listener = listener
        self._total = total_bytes
        self._told_s = 0.0

    def stage(self, stage: Stage) -> OnRead:
        """Begin a stage; the function it returns is told of bytes as they are read."""
        self._tell(Progress(stage, 0, self._total))
        done = 0

        def on_read(n_bytes: int) -> None:
            nonlocal done
            done += n_bytes
            if time.monotonic() - self._told_s >= _EVERY_S:
                self._tell(Progress(stage, min(done, self._total), self._total))

        return on_read

    def _tell(self, progress: Progress) -> None:
        self._told_s = time.monotonic()
        if self._listener is not None:
            self._listener(progress)
