"""A shuffled order that is computed, not stored: position i of n without the other n - 1."""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
import numpy.typing as npt

_WINDOW = 1024  # neighbours shuffled at once: a few take as long as all of them
_ROUNDS = 8  # four make a Feistel network hard to tell from chance; eight serve tiny n as well


def draw(*purpose: object) -> bytes:
    """32 bytes that are a pure function of the words and numbers given."""
    return hashlib.sha256("\x1f".join(str(part) for part in purpose).encode()).digest()


def draw_below(n: int, *purpose: object) -> int:
    """A number in [0, n), even to one part in 2**64 / n."""
    return int.from_bytes(draw(*purpose)[:8], "little") % n


def stretch(first: int, last: int, *, n: int, key: bytes) -> npt.NDArray[np.int64]:
    """Where the positions from ``first`` up to but not including ``last`` land; see ``permuted``.

    Quick to ask for piece after piece, as the windows looked at last are remembered.
    """
    at = first // _WINDOW
    windows = [_window(i, n, key) for i in range(at, -(-last // _WINDOW))]
    return np.concatenate(windows)[first - at * _WINDOW : last - at * _WINDOW]


@lru_cache(maxsize=8)
def _window(i: int, n: int, key: bytes) -> npt.NDArray[np.int64]:
    return permuted(np.arange(i * _WINDOW, min((i + 1) * _WINDOW, n)), n=n, key=key)


def permuted(positions: npt.NDArray[np.int64], *, n: int, key: bytes) -> npt.NDArray[np.int64]:
    """Where each position lands in the shuffle of [0, n) that ``key`` names.

    A Feistel network shuffles a power of four; what lands outside [0, n) is sent through again
    until it lands inside, which keeps the map one-to-one and takes fewer than four passes on
    average.  Memory and time do not depend on n.

    Source   Black and Rogaway, "Ciphers with arbitrary finite domains", CT-RSA 2002.
    """
    assert len(positions) == 0 or 0 <= positions.min() <= positions.max() < n, (n, positions)
    half_bits = np.uint64(max(1, ((n - 1).bit_length() + 1) // 2))
    round_keys = np.frombuffer(hashlib.shake_256(key).digest(8 * _ROUNDS), dtype="<u8")
    landed = _feistel(positions.astype(np.uint64), half_bits, round_keys)
    while (outside := np.flatnonzero(landed >= n)).size:
        landed[outside] = _feistel(landed[outside], half_bits, round_keys)
    return landed.astype(np.int64)


def _feistel(
    values: npt.NDArray[np.uint64], half_bits: np.uint64, round_keys: npt.NDArray[np.uint64]
) -> npt.NDArray[np.uint64]:
    mask = (np.uint64(1) << half_bits) - np.uint64(1)
    left, right = values >> half_bits, values & mask
    for round_key in round_keys:
        left, right = right, left ^ (_mixed(right + round_key) & mask)
    return (left << half_bits) | right


def _mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The finaliser of splitmix64: each bit in sways each bit out.  Overflow is meant."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
