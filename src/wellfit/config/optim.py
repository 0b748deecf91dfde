"""How the weights are updated, and how the learning rate moves over the run."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, model_validator

from wellfit.config.fields import (
    Betas,
    Fraction,
    Momentum,
    Positive,
    PositiveOrAuto,
    Section,
    Span,
    conflict,
    write_percent,
)


class Muon(Section):
    """Muon for the hidden matrices, AdamW for embeddings, the output layer and vectors."""

    kind: Literal["muon"] = "muon"
    lr: Annotated[PositiveOrAuto, Field(examples=[0.02])] = "auto"
    """Peak learning rate of the hidden matrices."""
    momentum: Momentum = 0.95
    """Share of the running gradient that is kept at each step.

    Source  Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks".
    """
    adam_lr: Annotated[PositiveOrAuto, Field(examples=[3e-3])] = "auto"
    """Peak learning rate of everything that AdamW updates."""
    betas: Betas = (0.9, 0.95)
    """Decay rates of AdamW's two averages."""
    eps: Annotated[Positive, Field(examples=[1e-8])] = 1e-8
    """Added to AdamW's denominator, so that it is never zero."""


class AdamW(Section):
    """AdamW for every weight."""

    kind: Literal["adamw"] = "adamw"
    lr: Annotated[PositiveOrAuto, Field(examples=[6e-4])] = "auto"
    """Peak learning rate."""
    betas: Betas = (0.9, 0.95)
    """Decay rates of the two averages.

    Source  GPT-3, arXiv:2005.14165, appendix B.
    """
    eps: Annotated[Positive, Field(examples=[1e-8])] = 1e-8
    """Added to the denominator, so that it is never zero."""


Optim: TypeAlias = Annotated[Muon | AdamW, Field(discriminator="kind")]


class Warmed(Section):
    """What all schedules have in common."""

    kind: str
    warmup: Span = 0.02
    """How long the rate rises from zero: a share of the run, or a duration."""


class Linear(Warmed):
    """Up over the warm-up, then in a straight line down to the floor."""

    kind: Literal["linear"] = "linear"
    floor: Fraction = 0.0
    """The rate at the end, as a share of the peak.

    Source  arXiv:2502.15938: straight to zero beats stopping at 10%.
    """


class Cosine(Warmed):
    """Up over the warm-up, then half a cosine down to the floor."""

    kind: Literal["cosine"] = "cosine"
    floor: Fraction = 0.1
    """The rate at the end, as a share of the peak.

    Source  Chinchilla, arXiv:2203.15556.
    """


class Wsd(Warmed):
    """Warm-up, then level at the peak (stable), then a straight decay to the floor."""

    kind: Literal["wsd"] = "wsd"
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


class Constant(Warmed):
    """Up over the warm-up, then level at the peak."""

    kind: Literal["constant"] = "constant"


Schedule: TypeAlias = Annotated[Linear | Cosine | Wsd | Constant, Field(discriminator="kind")]
