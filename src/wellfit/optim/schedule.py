"""Learning-rate schedules: pure functions of the step and the horizon.

Each gives the multiplier of the peak rate at ``step`` (0-based, before the update).  Nothing here
has state, so there is nothing to resume; what a plateau has cut is in the training state.
"""

from __future__ import annotations

import math
from typing import assert_never

from wellfit.config import optim as kinds
from wellfit.config.optim import Schedule
from wellfit.units import Duration


def lr_scale(cfg: Schedule, step: int, *, total: int) -> float:
    """Multiplier of every peak rate at ``step`` (0-based) of a run of ``total`` steps."""
    rising = steps_of(cfg.warmup, total=total)
    if isinstance(cfg, kinds.OneCycle):
        return one_cycle(step, rise=rising, total=total, start=cfg.start, floor=cfg.floor)
    if step + 1 < rising:  # never 0, so that step 0 learns
        return (step + 1) / rising * (cfg.floor if isinstance(cfg, kinds.Cyclic) else 1.0)
    since = max(0, step - rising)
    # The last update is at step total - 1 and still learns: progress 1 would come after it.
    progress = min(1.0, since / max(1, total - rising))
    match cfg:
        case kinds.Linear():
            return falling(1 - progress, floor=cfg.floor)
        case kinds.Cosine():
            return falling(half_cosine(progress), floor=cfg.floor)
        case kinds.CosineRestarts(cycles=cycles, growth=growth):
            within = cycle_progress(progress, cycles=cycles, growth=growth)
            return falling(half_cosine(within), floor=cfg.floor)
        case kinds.Polynomial():
            return falling((1 - progress) ** cfg.power, floor=cfg.floor)
        case kinds.Exponential():
            return float(cfg.gamma ** (since / max(1, steps_of(cfg.every, total=total))))
        case kinds.StepDecay():
            return float(cfg.gamma ** (since // max(1, steps_of(cfg.every, total=total))))
        case kinds.MultiStep():
            passed = [m for m in cfg.milestones if step >= steps_of(m, total=total)]
            return float(cfg.gamma ** len(passed))
        case kinds.InverseSqrt():
            return math.sqrt(max(1, rising) / float(max(1, rising) + since))
        case kinds.Wsd():
            return stable_decay(progress, decay=cfg.decay, floor=cfg.floor)
        case kinds.Cyclic():
            cycle = max(2, steps_of(cfg.cycle, total=total))
            height = float(cfg.gamma ** (since // cycle))
            return falling(height * triangle(since, cycle=cycle), floor=cfg.floor)
        case kinds.Plateau() | kinds.Constant():
            return 1.0
        case never:
            assert_never(never)


def steps_of(span: Duration | float, *, total: int) -> int:
    """Steps of a span: as given, or as a share of the run."""
    if isinstance(span, Duration):
        assert span.unit == "steps", f"an undecided span {span} reached the schedule"
        return min(total, int(span.amount))
    return round(span * total)


def falling(left: float, *, floor: float) -> float:
    """``left`` of the way from the floor to the peak."""
    return floor + (1 - floor) * left


def half_cosine(progress: float) -> float:
    """From 1 to 0 along half a cosine as ``progress`` goes from 0 to 1 (arXiv:1608.03983)."""
    return 0.5 * (1 + math.cos(math.pi * progress))


def cycle_progress(progress: float, *, cycles: int, growth: int) -> float:
    """How far the cycle has come in which ``progress`` lies, each ``growth`` times the last."""
    if growth == 1:
        at = progress * cycles
        begun = math.floor(at + 1e-9)  # a border belongs to the cycle that begins there
        return max(0.0, at - begun)
    # The first i cycles are (growth**i - 1) / (growth - 1) times the first one.
    at = progress * float(growth**cycles - 1) + 1
    begun = math.floor(math.log(at, growth) + 1e-9)
    length = float(growth**begun)
    return max(0.0, (at - length) / (length * (growth - 1)))


def stable_decay(progress: float, *, decay: float, floor: float) -> float:
    """Stay at 1, then fall linearly over the last ``decay`` share (WSD, arXiv:2404.06395)."""
    if decay <= 0:
        return 1.0
    return falling(1 - max(0.0, (progress - (1 - decay)) / decay), floor=floor)


def triangle(since: int, *, cycle: int) -> float:
    """From 0 up to 1 in the middle of each cycle and down again (arXiv:1506.01186)."""
    at = 2 * (since % cycle) / cycle
    return at if at <= 1 else 2 - at


def one_cycle(step: int, *, rise: int, total: int, start: float, floor: float) -> float:
    """Half a cosine from ``start`` up to 1, then one down to ``floor`` at the last step.

    Source  torch.optim.lr_scheduler.OneCycleLR, whose steps it takes.
    """
    top, last = rise - 1, total - 1
    if step < top:
        return falling(1 - half_cosine(step / top), floor=start)
    return falling(half_cosine(min(1.0, (step - top) / max(1, last - top))), floor=floor)
