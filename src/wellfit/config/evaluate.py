"""When training stops early, what is measured during it, and what is saved."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from wellfit.config.fields import (
    Count,
    CountOrAuto,
    Length,
    LengthOrAuto,
    NotNegative,
    Section,
    Text,
)
from wellfit.units import Duration


class Stop(Section):
    """When training ends before its budget."""

    patience: Annotated[Count, Field(examples=[5])] = 5
    """Evaluations of val in a row without a gain after which training stops."""
    min_gain: NotNegative = 0.0
    """How much val loss must fall to count as a gain.  Units: nats per token."""


class Sample(Section):
    """A text written by the model at each evaluation."""

    prompt: Text = ""
    """What the text begins with; empty for the start of a document."""
    tokens: Annotated[Count, Field(examples=[160])] = 160
    """How much is written.  Units: tokens."""
    temperature: NotNegative = 0.8
    """How freely: 0 always writes the likeliest token, 1 draws as the model says."""


class Evaluate(Section):
    """What is measured during training, and how often."""

    every: Annotated[LengthOrAuto, Field(examples=["200 steps"])] = "auto"
    """How often the train subset and val are measured."""
    tokens: Annotated[CountOrAuto, Field(examples=[100000])] = "auto"
    """How much of each is measured during training; the last time all of it.  Units: tokens."""
    sample: Sample | None = Sample()
    """The text written at each evaluation; null for none."""


class Checkpoint(Section):
    """How often the run is saved, so that it can go on after a crash."""

    every: Annotated[Length, Field(examples=["5 minutes"])] = Duration(300.0, "seconds")
    """How often the run is saved."""
    keep: Annotated[Count, Field(examples=[3])] = 3
    """How many checkpoints are kept, besides the best by val."""
