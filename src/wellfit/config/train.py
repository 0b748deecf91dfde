"""How long to train and on what, what bounds it, what is measured during it, and what is saved."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from wellfit.config.fields import (
    Count,
    CountOrAuto,
    Fraction,
    Length,
    LengthOrAuto,
    NotNegative,
    NotNegativeOrAuto,
    Positive,
    Section,
    Seed,
    Switch,
    SwitchOrAuto,
    Text,
)
from wellfit.units import Duration


class Train(Section):
    """How long to train, on how much at a time, and on what."""

    budget: Annotated[Length, Field(examples=["10 minutes"])]
    """How long to train: minutes, steps, tokens or epochs.

    Minutes become a number of steps after a short measured warm-up, and stay that number.
    """
    batch: Annotated[CountOrAuto, Field(examples=[64])] = "auto"
    """Sequences per optimizer step, on all devices together."""
    micro_batch: Annotated[CountOrAuto, Field(examples=[16])] = "auto"
    """Most sequences in one forward pass; a batch of more is accumulated, with the same result."""
    seed: Seed = 1
    """The number that every random draw of the run is made from."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic of the forward and backward pass; auto is bf16 where it is fast."""
    compile: SwitchOrAuto = "auto"
    """Whether to compile the model; auto compiles when it pays within the budget."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """What to train on; auto is the GPU when there is one."""
    threads: Annotated[CountOrAuto, Field(examples=[2])] = "auto"
    """CPU threads for arithmetic; auto is the number of cores this process may use."""


class NormClip(Section):
    """Gradients longer than a bound are scaled down to it."""

    kind: Literal["norm"] = "norm"
    max: Positive = 1.0
    """The longest gradient that is applied as it is."""


class Dropout(Section):
    """Where activations are set to zero in training, and which share of them.

    One number in place of the mapping is that of embedding, attention and residual, as in GPT-2.
    """

    spread: ClassVar[tuple[str, ...]] = ("embedding", "attention", "residual")

    embedding: Annotated[Fraction, Field(examples=[0.1])] = 0.0
    """Share of the embedding."""
    attention: Annotated[Fraction, Field(examples=[0.1])] = 0.0
    """Share of the weights by which a token looks at those before it."""
    residual: Annotated[Fraction, Field(examples=[0.1])] = 0.0
    """Share of what attention and MLP of each block add."""
    mlp: Annotated[Fraction, Field(examples=[0.1])] = 0.0
    """Share of the hidden layer of each MLP."""
    head: Annotated[Fraction, Field(examples=[0.1])] = 0.0
    """Share of the last vectors, before the output layer."""

    @model_validator(mode="before")
    @classmethod
    def _one_for_all(cls, given: Any) -> Any:
        return given if isinstance(given, dict | cls) else dict.fromkeys(cls.spread, given)


class Regularize(Section):
    """What keeps the model from learning the train split by heart, and its steps in bounds."""

    dropout: Dropout = Dropout()
    """Share of activations set to zero in training: one number, or one for each place."""
    stochastic_depth: Annotated[Fraction, Field(examples=[0.1])] = 0.0
    """Share of texts that skip the last block in training; of earlier ones evenly fewer.

    Source  arXiv:1603.09382.
    """
    neftune: Annotated[NotNegative, Field(examples=[5.0])] = 0.0
    """Noise on the embeddings in training, over the root of their number; 5 is usual in tuning.

    Source  NEFTune, arXiv:2310.05914.
    """
    weight_decay: Annotated[NotNegativeOrAuto, Field(examples=[0.1])] = "auto"
    """Pull of the weight matrices towards zero at each step, times the learning rate."""
    clip: NormClip | None = NormClip()
    """How gradients are bounded before a step; null for no bound."""

    @property
    def disturbs(self) -> bool:
        """Whether a pass through the model is another each time."""
        return any((*self.dropout.model_dump().values(), self.stochastic_depth, self.neftune))


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


class Generate(Section):
    """How completions are written when they are compared with references (BLEU, chrF, ROUGE)."""

    examples: Annotated[Count, Field(examples=[100])] = 100
    """How many, evenly spread over val, during training; at the end of the run all of them."""
    tokens: Annotated[Count, Field(examples=[128])] = 128
    """The longest completion that is written.  Units: tokens."""
    beams: Annotated[Count, Field(examples=[4])] = 1
    """How many candidates are kept at each token; 1 is greedy."""


class Evaluate(Section):
    """What is measured during training, and how often."""

    every: Annotated[LengthOrAuto, Field(examples=["200 steps"])] = "auto"
    """How often the train subset and val are measured."""
    tokens: Annotated[CountOrAuto, Field(examples=[100000])] = "auto"
    """How much of each is measured during training; the last time all of it.  Units: tokens."""
    metrics: Switch = True
    """Whether the task's metrics are measured with every evaluation; at the end they always are."""
    generate: Generate = Generate()
    """How completions and answers are written, to be held against their references."""
    sample: Sample | None = Sample()
    """The text written at each evaluation; null for none."""


class Checkpoint(Section):
    """How often the run is saved, so that it can go on after a crash."""

    every: Annotated[Length, Field(examples=["5 minutes"])] = Duration(300.0, "seconds")
    """How often the run is saved."""
    keep: Annotated[Count, Field(examples=[3])] = 3
    """How many checkpoints are kept, besides the best by val."""
