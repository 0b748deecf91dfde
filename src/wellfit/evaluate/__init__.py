"""Losses with their intervals, and the baselines they are held against."""

from wellfit.evaluate.baselines import Baseline, Baselines, baseline_of
from wellfit.evaluate.losses import (
    BlockScores,
    Scorer,
    class_scorer,
    labels_of,
    number_scorer,
    score_blocks,
    token_scorer,
)

__all__ = [
    "Baseline",
    "Baselines",
    "BlockScores",
    "Scorer",
    "baseline_of",
    "class_scorer",
    "labels_of",
    "number_scorer",
    "score_blocks",
    "token_scorer",
]
