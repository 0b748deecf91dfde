"""What keeps the model from learning the train split by heart, and its steps in bounds."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from wellfit.config.fields import Fraction, NotNegativeOrAuto, Positive, Section


class NormClip(Section):
    """Gradients longer than a bound are scaled down to it."""

    kind: Literal["norm"] = "norm"
    """How gradients are bounded: by the norm of all of them together."""
    max: Positive = 1.0
    """The longest gradient that is applied as it is."""


class Regularize(Section):
    """What keeps the model from learning the train split by heart, and its steps in bounds."""

    dropout: Annotated[Fraction, Field(examples=[0.1])] = 0.0
    """Share of activations set to zero in training; 0 is off, and faster."""
    weight_decay: Annotated[NotNegativeOrAuto, Field(examples=[0.1])] = "auto"
    """Pull of the weight matrices towards zero at each step, times the learning rate."""
    clip: NormClip | None = NormClip()
    """How gradients are bounded before a step; null for no bound."""
