"""Axes: where a value lies on the page, and which values deserve a tick."""

from __future__ import annotations

import math
from dataclasses import dataclass

from wellfit.units import format_count


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps [lo, hi] to [at_lo, at_hi], evenly or by powers of ten."""

    lo: float
    hi: float
    at_lo: float
    at_hi: float
    log: bool = False

    def __call__(self, value: float) -> float:
        lo, hi, value = self._bent(self.lo), self._bent(self.hi), self._bent(value)
        return self.at_lo + (value - lo) / ((hi - lo) or 1.0) * (self.at_hi - self.at_lo)

    def holds(self, value: float) -> bool:
        """Whether the value lies on the axis."""
        return self.lo <= value <= self.hi

    def held(self, value: float) -> float:
        """Where the value lies, or the end of the axis beyond which it does."""
        lo, hi = sorted((self.at_lo, self.at_hi))
        return min(max(self(value), lo), hi)

    def _bent(self, value: float) -> float:
        # a logarithmic axis begins at its first value: step 0 lies on the edge, not at infinity
        return math.log10(max(value, self.lo)) if self.log else value

    def ticks(self, count: int, *, whole: bool = False) -> list[tuple[float, str]]:
        """About ``count`` round values inside [lo, hi], each with its text; whole numbers alone."""
        found = log_ticks(self.lo, self.hi, count) if self.log else ticks(self.lo, self.hi, count)
        found = [value for value in found if not whole or float(value).is_integer()]
        return [*zip(found, tick_texts(found), strict=True)]


def ticks(lo: float, hi: float, count: int) -> list[float]:
    """About ``count`` multiples of 1, 2 or 5 times a power of ten inside [lo, hi]."""
    if not lo < hi:
        return [lo]
    gap = round_gap((hi - lo) / max(1, count))
    first = math.ceil(lo / gap - 1e-9)
    last = math.floor(hi / gap + 1e-9)
    # by multiplication: adding up the gap would end in 0.30000000000000004
    digits = max(0, -math.floor(math.log10(gap)))
    return [round(i * gap, digits) + 0.0 for i in range(first, last + 1)]


def round_gap(gap: float) -> float:
    """Of 1, 2 and 5 times a power of ten, the one nearest to ``gap`` by ratio."""
    power = 10.0 ** math.floor(math.log10(gap))
    return min((m * power for m in (1, 2, 5, 10)), key=lambda round: abs(math.log(round / gap)))


def log_ticks(lo: float, hi: float, count: int) -> list[float]:
    """Powers of ten inside [lo, hi]; with their doubles and fivefolds where there is room."""
    first, last = math.floor(math.log10(lo)), math.ceil(math.log10(hi))
    factors = (1, 2, 5) if 3 * (last - first) <= 2 * count else (1,)
    found = [m * 10.0**p for p in range(first, last + 1) for m in factors]
    return [value for value in found if lo * (1 - 1e-9) <= value <= hi * (1 + 1e-9)]


def tick_texts(values: list[float]) -> list[str]:
    """Tick labels with as many decimals as the closest two need, all alike."""
    if not values:
        return []
    gaps = [b - a for a, b in zip(values, values[1:], strict=False)]
    gap = min(gaps, default=abs(values[0]) or 1.0)
    if max(map(abs, values)) >= 10_000:
        return [format_count(value) if value else "0" for value in values]
    if gap < 1e-4:
        return [f"{value:.0e}".replace("e-0", "e-") if value else "0" for value in values]
    digits = max(0, -math.floor(math.log10(gap) + 1e-9))
    return [f"{value:,.{digits}f}" if value else "0" for value in values]


def padded(lo: float, hi: float, share: float = 0.05) -> tuple[float, float]:
    """The range with a little air on both sides; a single value gets a range around it."""
    if lo == hi:
        lo, hi = lo - (abs(lo) or 1.0) * 0.1, hi + (abs(hi) or 1.0) * 0.1
    air = (hi - lo) * share
    return lo - air, hi + air
