"""Losses with their intervals, and the baselines they are held against."""

from wellfit.evaluate.baselines import Baseline, Baselines, baseline_of, count_train, score
from wellfit.evaluate.losses import (
    BlockScores,
    Scorer,
    class_scorer,
    logits_scorer,
    number_scorer,
    score_blocks,
    token_scorer,
)
from wellfit.evaluate.measure import Measure, MetricsOf

__all__ = [
    "Baseline",
    "Baselines",
    "BlockScores",
    "Measure",
    "MetricsOf",
    "Scorer",
    "baseline_of",
    "class_scorer",
    "count_train",
    "logits_scorer",
    "number_scorer",
    "score",
    "score_blocks",
    "token_scorer",
]
