"""A sum with its count, so that nothing is ever averaged twice."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Tally:
    """A sum over targets, and how many are in it.  Join freely; divide once, at the edge."""

    total: Tensor  # () float32
    count: Tensor  # () int64

    def joined(self, other: Tally) -> Tally:
        """The tally of both parts together.  Associative up to float rounding of ``total``."""
        return Tally(self.total + other.total, self.count + other.count)

    def mean(self) -> float:
        """The mean as a Python number.  Synchronises with the device."""
        return float(self.total.detach()) / int(self.count)
