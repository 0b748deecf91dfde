"""Losses with their intervals, and the baselines they are held against."""

from wellfit.evaluate.baselines import Baselines, Counts, count_train, score
from wellfit.evaluate.bootstrap import Interval, Units, interval, mean_draws, units_of
from wellfit.evaluate.losses import block_nats
from wellfit.evaluate.measure import Measure

__all__ = [
    "Baselines",
    "Counts",
    "Interval",
    "Measure",
    "Units",
    "block_nats",
    "count_train",
    "interval",
    "mean_draws",
    "score",
    "units_of",
]
