"""Which characters occur in a lot of text, at the speed of a memory copy."""

from __future__ import annotations

import numpy as np

_CODES = 0x110000  # Unicode ends before this


class Characters:
    """A set of characters that text is added to."""

    def __init__(self, characters: str = "") -> None:
        self._seen = np.zeros(_CODES, dtype=np.bool_)
        self.any = False
        self.add(characters)

    def add(self, text: str) -> None:
        """Add every character of ``text``."""
        if text.isascii():
            codes = np.frombuffer(text.encode("ascii"), dtype=np.uint8)
            self._seen[codes] = True
        else:
            self._seen[np.frombuffer(text.encode("utf-32-le"), dtype="<u4")] = True
        self.any = self.any or bool(text)

    def merge(self, other: Characters) -> None:
        """Add every character of ``other``."""
        self._seen |= other._seen
        self.any = self.any or other.any

    def clear(self) -> None:
        """Forget everything; costs nothing when there is nothing."""
        if self.any:
            self._seen[:] = False
            self.any = False

    def text(self) -> str:
        """The characters, sorted."""
        return np.flatnonzero(self._seen).astype("<u4").tobytes().decode("utf-32-le")
