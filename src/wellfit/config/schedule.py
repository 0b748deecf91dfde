"""How the learning rate moves over the run, as a multiple of its peak."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, model_validator

from wellfit.config.fields import Fraction, Section, Span, conflict, write_percent


class Linear(Section):
    """Up over the warm-up, then in a straight line down to the floor."""

    kind: Literal["linear"] = "linear"
    """How the learning rate moves over the run."""
    warmup: Span = 0.02
    """How long the rate rises from zero: a share of the run, or a duration."""
    floor: Fraction = 0.0
    """The rate at the end, as a share of the peak.

    Source  arXiv:2502.15938: straight to zero beats stopping at 10%.
    """


class Cosine(Section):
    """Up over the warm-up, then half a cosine down to the floor."""

    kind: Literal["cosine"] = "cosine"
    """How the learning rate moves over the run."""
    warmup: Span = 0.02
    """How long the rate rises from zero: a share of the run, or a duration."""
    floor: Fraction = 0.1
    """The rate at the end, as a share of the peak.

    Source  Chinchilla, arXiv:2203.15556.
    """


class Wsd(Section):
    """Warm-up, then level at the peak (stable), then a straight decay to the floor."""

    kind: Literal["wsd"] = "wsd"
    """How the learning rate moves over the run."""
    warmup: Span = 0.02
    """How long the rate rises from zero: a share of the run, or a duration."""
    decay: Fraction = 0.2
    """Share of the run, at its end, over which the rate falls.

    Source  arXiv:2405.18392.
    """
    floor: Fraction = 0.0
    """The rate at the end, as a share of the peak."""

    @model_validator(mode="after")
    def _fits(self) -> Wsd:
        if isinstance(self.warmup, float) and self.warmup + self.decay > 1:
            raise conflict(
                "decay",
                f"{write_percent(self.decay)} and the warm-up of {write_percent(self.warmup)} are "
                "more than the whole run; write less of one",
            )
        return self


class Constant(Section):
    """Up over the warm-up, then level at the peak."""

    kind: Literal["constant"] = "constant"
    """How the learning rate moves over the run."""
    warmup: Span = 0.02
    """How long the rate rises from zero: a share of the run, or a duration."""


Schedule: TypeAlias = Annotated[Linear | Cosine | Wsd | Constant, Field(discriminator="kind")]
