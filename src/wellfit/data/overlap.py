"""How much of val and test stands word for word in train."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from wellfit.data.stream import Split

WINDOW_BYTES = 75
"""About 13 English words, the n-gram that GPT-3's authors searched for (arXiv:2005.14165, C)."""

_LEAST_TOKENS = 8
_SAMPLE = 200_000
_TOKENS_AT_ONCE = 1 << 17
_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd, so its powers never vanish modulo 2**64
_FILTER_BITS = 22


class Overlap(NamedTuple):
    """Of so many windows of a split looked at, so many also stand in train."""

    windows: int
    found: int
    window_tokens: int


def overlap(split: Split, train: Split) -> Overlap:
    """Look for windows of ``split`` in ``train``; a window is about 75 bytes of text.

    Windows are compared by hash.  Of more than 200,000 those with certain hashes are looked at,
    in both splits the same, so that the share found is right on average; train is read whole.
    """
    bytes_per_token = max(1, train.n_bytes) / max(1, train.n_tokens)
    width = max(_LEAST_TOKENS, round(WINDOW_BYTES / bytes_per_token))
    every = np.uint64(1 + max(0, split.n_tokens - width) // _SAMPLE)
    parts = [hashes[hashes % every == 0] for hashes in _window_hashes(split.tokens, width)]
    wanted = np.concatenate([np.empty(0, dtype=np.uint64), *parts])
    if not len(wanted):
        return Overlap(0, 0, width)
    known = np.unique(wanted)
    there = np.zeros(len(known), dtype=np.bool_)
    may_be = np.zeros(1 << _FILTER_BITS, dtype=np.bool_)  # spares most windows the search
    may_be[known >> np.uint64(64 - _FILTER_BITS)] = True
    for hashes in _window_hashes(train.tokens, width):
        likely = hashes[may_be[hashes >> np.uint64(64 - _FILTER_BITS)]]
        at = np.minimum(np.searchsorted(known, likely), len(known) - 1)
        there[at[known[at] == likely]] = True
    return Overlap(len(wanted), int(there[np.searchsorted(known, wanted)].sum()), width)


def _window_hashes(tokens: npt.NDArray[Any], width: int) -> Iterator[npt.NDArray[np.uint64]]:
    """One hash for each window of ``width`` tokens, from differences of a running sum.

    The sum of mixed tokens times powers of an odd factor, modulo 2**64, over a window is a
    difference of two running sums; times the inverse power it no longer depends on the place.
    """
    n_windows = len(tokens) - width + 1
    length = min(_TOKENS_AT_ONCE, max(0, n_windows)) + width
    powers = _powers(_FACTOR, length)
    inverse = _powers(np.uint64(pow(int(_FACTOR), -1, 1 << 64)), length)
    for first in range(0, n_windows, _TOKENS_AT_ONCE):
        part = np.asarray(tokens[first : first + _TOKENS_AT_ONCE + width - 1]).astype(np.uint64)
        terms = mixed(part + np.uint64(1)) * powers[: len(part)]
        sums = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(terms, dtype=np.uint64)])
        yield mixed((sums[width:] - sums[:-width]) * inverse[: len(part) - width + 1])


def _powers(factor: np.uint64, n: int) -> npt.NDArray[np.uint64]:
    factors = np.full(n, factor, dtype=np.uint64)
    factors[:1] = 1
    return np.cumprod(factors, dtype=np.uint64)


def mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Each number as one in which every bit hangs on every bit.  Overflow is meant."""
    values = (values ^ (values >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    return values ^ (values >> np.uint64(32))
