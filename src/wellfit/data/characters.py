"""Which characters occur in a lot of text, at the speed of a memory copy."""

from __future__ import annotations

import numpy as np

_CODES = 0x110000  # Unicode ends before this
_AT_ONCE = 1 << 18  # characters: small texts are looked at together, since each look has its price


class Characters:
    """A set of characters that text is added to."""

    def __init__(self, characters: str = "") -> None:
        self._seen = np.zeros(_CODES, dtype=np.bool_)
        self._held = [characters]  # not looked at yet
        self._n_held = 0

    def add(self, text: str) -> None:
        """Add every character of ``text``."""
        self._held.append(text)
        self._n_held += len(text)
        if self._n_held > _AT_ONCE:
            self._look()

    def _look(self) -> None:
        text = "".join(self._held)
        if text.isascii():
            self._seen[np.frombuffer(text.encode("ascii"), dtype=np.uint8)] = True
        else:
            self._seen[np.frombuffer(text.encode("utf-32-le"), dtype="<u4")] = True
        self._held, self._n_held = [], 0

    def merge(self, other: Characters) -> None:
        """Add every character of ``other``."""
        other._look()
        self._seen |= other._seen

    def text(self) -> str:
        """The characters, sorted."""
        self._look()
        return np.flatnonzero(self._seen).astype("<u4").tobytes().decode("utf-32-le")
