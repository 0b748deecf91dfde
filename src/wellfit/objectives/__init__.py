"""Losses as functions on tensors; each returns a Tally."""

from wellfit.objectives.language_model import IGNORE, next_token_nats
from wellfit.objectives.tally import Tally

__all__ = ["IGNORE", "Tally", "next_token_nats"]
