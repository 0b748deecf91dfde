"""Losses with their intervals, and the baselines they are held against."""

from wellfit.evaluate.baselines import Baselines, Counts, count_train, score
from wellfit.evaluate.losses import block_nats
from wellfit.evaluate.measure import Measure

__all__ = [
    "Baselines",
    "Counts",
    "Measure",
    "block_nats",
    "count_train",
    "score",
]
