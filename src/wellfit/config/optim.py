"""How the weights are updated, and how the learning rate moves over the run."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from wellfit.config.fields import Betas, Momentum, Positive, PositiveOrAuto, Section


class Muon(Section):
    """Muon for the hidden matrices, AdamW for embeddings, the output layer and vectors."""

    kind: Literal["muon"] = "muon"
    """How the weights are updated."""
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
    """How the weights are updated."""
    lr: Annotated[PositiveOrAuto, Field(examples=[6e-4])] = "auto"
    """Peak learning rate."""
    betas: Betas = (0.9, 0.95)
    """Decay rates of the two averages.

    Source  GPT-3, arXiv:2005.14165, appendix B.
    """
    eps: Annotated[Positive, Field(examples=[1e-8])] = 1e-8
    """Added to the denominator, so that it is never zero."""


Optim: TypeAlias = Annotated[Muon | AdamW, Field(discriminator="kind")]
