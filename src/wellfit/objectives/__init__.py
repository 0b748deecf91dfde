"""Losses as functions on tensors; each returns a Tally."""

from wellfit.objectives.classification import class_loss, several_loss
from wellfit.objectives.language_model import token_loss
from wellfit.objectives.linear import linear_cross_entropy, linear_nats, pays
from wellfit.objectives.regression import regression_loss, regression_losses
from wellfit.objectives.tally import IGNORE, Tally, counted

__all__ = [
    "IGNORE",
    "Tally",
    "class_loss",
    "counted",
    "linear_cross_entropy",
    "linear_nats",
    "pays",
    "regression_loss",
    "regression_losses",
    "several_loss",
    "token_loss",
]
