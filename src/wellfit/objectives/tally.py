"""A sum with its count, so that nothing is ever averaged twice."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

IGNORE = -100
"""Target that adds neither to a sum nor to its count (padding, prompts)."""


@dataclass(frozen=True, slots=True)
class Tally:
    """A sum over targets, and how many are in it.  Join freely; divide once, at the edge.

    Where targets have weights, the count is their sum: still what the total is divided by.
    """

    total: Tensor  # () float32
    count: Tensor  # () int64, or float32 where targets have weights

    def joined(self, other: Tally) -> Tally:
        """The tally of both parts together.  Associative up to float rounding of ``total``."""
        return Tally(self.total + other.total, self.count + other.count)

    def mean(self) -> float:
        """The mean as a Python number.  Synchronises with the device."""
        return float(self.total.detach()) / float(self.count)


def counted(targets: Tensor) -> Tensor:
    """Which targets count, a bool for each: not ``IGNORE`` among integers, not NaN among floats.

    Every loss counts by this, and so must whoever divides by the count before the loss is known.
    """
    return ~targets.isnan() if targets.is_floating_point() else targets != IGNORE
