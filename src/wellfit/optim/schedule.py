"""Learning-rate schedules: pure functions of the step and the horizon.

Each returns the multiplier of the peak rate at ``step`` (0-based, before the update), in
(0, 1].  Nothing here has state, so there is nothing to resume.
"""

from __future__ import annotations

import math


def warmup(step: int, *, steps: int) -> float:
    """Rise linearly to 1 over ``steps``; never 0, so that step 0 learns."""
    return min(1.0, (step + 1) / steps) if steps > 0 else 1.0


def linear(progress: float, *, floor: float) -> float:
    """Fall in a straight line from 1 to ``floor`` as ``progress`` goes from 0 to 1."""
    return floor + (1 - floor) * (1 - progress)


def cosine(progress: float, *, floor: float) -> float:
    """Fall along half a cosine from 1 to ``floor`` (SGDR, arXiv:1608.03983, one cycle)."""
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))


def stable_decay(progress: float, *, decay: float, floor: float) -> float:
    """Stay at 1, then fall linearly over the last ``decay`` share (WSD, arXiv:2404.06395)."""
    if decay <= 0:
        return 1.0
    return linear(max(0.0, (progress - (1 - decay)) / decay), floor=floor)
