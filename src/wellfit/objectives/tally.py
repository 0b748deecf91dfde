"""A sum with its count, so that nothing is ever averaged twice."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Tally(NamedTuple):
    """A sum over targets and the number of targets in it.  Join freely; divide once, at the edge."""

    total: Tensor  # () float32
    count: Tensor  # () int64

    def joined(self, other: Tally) -> Tally:
        """The tally of both parts together.  Associative up to float rounding of ``total``."""
        return Tally(self.total + other.total, self.count + other.count)

    def mean(self) -> float:
        """The mean as a Python number.  Synchronises with the device."""
        return float(self.total.detach()) / int(self.count)
