"""Losses and metrics with their intervals, and the baselines they are held against."""

from wellfit.evaluate.baselines import Baselines, Counts, count_train, score
from wellfit.evaluate.classification import (
    ClassReport,
    class_metrics,
    class_report,
    class_score,
    label_metrics,
    label_score,
)
from wellfit.evaluate.generation import Generation, generation_metrics
from wellfit.evaluate.likelihood import (
    Question,
    Reader,
    last_words,
    minimal_pairs,
    multiple_choice,
    perplexity,
    strided_nats,
)
from wellfit.evaluate.linear import (
    FromTexts,
    linear_classifier,
    linear_labeller,
    linear_regressor,
    majority_classifier,
    majority_labeller,
    mean_regressor,
)
from wellfit.evaluate.losses import block_nats
from wellfit.evaluate.measure import Measure
from wellfit.evaluate.metric import Comparison, Metric, Score, compared, mean_score, measured
from wellfit.evaluate.regression import regression_metrics, regression_score

__all__ = [
    "Baselines",
    "ClassReport",
    "Comparison",
    "Counts",
    "FromTexts",
    "Generation",
    "Measure",
    "Metric",
    "Question",
    "Reader",
    "Score",
    "block_nats",
    "class_metrics",
    "class_report",
    "class_score",
    "compared",
    "count_train",
    "generation_metrics",
    "label_metrics",
    "label_score",
    "last_words",
    "linear_classifier",
    "linear_labeller",
    "linear_regressor",
    "majority_classifier",
    "majority_labeller",
    "mean_regressor",
    "mean_score",
    "measured",
    "minimal_pairs",
    "multiple_choice",
    "perplexity",
    "regression_metrics",
    "regression_score",
    "score",
    "strided_nats",
]
