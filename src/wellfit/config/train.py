"""How long to train and on what, what bounds it, what is measured during it, and what is saved."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from wellfit.config.fields import (
    Auto,
    Count,
    Fraction,
    Length,
    Momentum,
    Name,
    NotNegative,
    Positive,
    Section,
    Seed,
    Switch,
    SwitchOrAuto,
    Text,
    Wanted,
)
from wellfit.units import Duration

_COMPILE = "true, false, auto or cuda-graphs", "auto"


class Train(Section):
    """How long to train, on how much at a time, and on what."""

    budget: Annotated[Length, Field(examples=["10 minutes"])]
    """How long to train: minutes, steps, tokens or epochs.

    Minutes become a number of steps after a short measured warm-up, and stay that number.
    """
    batch: Annotated[Count | Auto, Field(examples=[64])] = "auto"
    """Sequences per optimizer step, on all devices together."""
    micro_batch: Annotated[Count | Auto, Field(examples=[16])] = "auto"
    """Most sequences in one forward pass; a batch of more is accumulated, with the same result."""
    seed: Seed = 1
    """The number that every random draw of the run is made from."""
    checkpoint_activations: SwitchOrAuto = "auto"
    """Whether blocks are computed again in the backward pass, so that only their inputs are kept.

    Exactly the same result, in about a third more time; auto does it where one sequence would not
    fit in memory otherwise.
    """
    precision: Literal["auto", "fp32", "bf16", "fp8"] = "auto"
    """Arithmetic of the forward and backward pass; auto is bf16 where it is fast, and never fp8.

    fp8 takes the matrix products of the blocks in 8 bits, scaled by tensor: on GPUs of capability
    8.9 and up, compiled, with torchao.  Below about 1B parameters bf16 is faster.

    Source  nanochat, dev/LOG.md: 1.17 times as fast at depth 26, slower at depth 12.
    """
    compile: Annotated[bool | Literal["auto", "cuda-graphs"], Wanted(*_COMPILE)] = "auto"
    """Whether to compile the model; auto measures what pays within the budget.

    cuda-graphs compiles, and starts all kernels of a pass at once: for small models on a GPU.
    """
    deterministic: Switch = False
    """Whether a GPU adds numbers in the same order each time, so that a resumed run is bit-equal.

    Slower: neither cuDNN's attention nor compiled kernels are used.  On a CPU runs always are.
    """
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """What to train on; auto is the GPU when there is one."""
    threads: Annotated[Count | Auto, Field(examples=[2])] = "auto"
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


class ValueClip(Section):
    """Each number of the gradient is cut at a bound."""

    kind: Literal["value"] = "value"
    max: Positive = 1.0
    """The largest number that is applied as it is, of either sign."""


class AdaptiveClip(Section):
    """Gradients whose length is an outlier are scaled down (ZClip, arXiv:2504.02507).

    Against the running mean and deviation of the length, known after 25 steps; until then
    nothing is cut.
    """

    kind: Literal["adaptive"] = "adaptive"
    z: Positive = 2.5
    """How many deviations above the mean a length may be; the further, the shorter it is cut."""
    memory: Momentum = 0.97
    """Share of the running mean and variance that is kept at each step."""


class GradientNoise(Section):
    """Gaussian noise on gradients, of variance eta / (1 + step) ** gamma (arXiv:1511.06807)."""

    eta: Annotated[Positive, Field(examples=[0.01])] = 0.01
    """Variance at the first step."""
    gamma: NotNegative = 0.55
    """How fast it falls."""


class EmaAverage(Section):
    """A running average of the weights, in which older ones fade."""

    kind: Literal["ema"] = "ema"
    decay: Annotated[Momentum, Field(examples=[0.999])] = 0.999
    """Share of the average that is kept at each step.

    At first less, (1 + n) / (10 + n) after n steps, so that the start of the run fades soon.
    """


class MeanAverage(Section):
    """The plain mean of the weights at regular steps of the last part of the run.

    Stochastic weight averaging (arXiv:1803.05407), or averaging of checkpoints.
    """

    kind: Literal["mean"] = "mean"
    over: Annotated[Fraction, Field(examples=["25%"])] = 0.25
    """The last part of the run, as a share of it."""
    every: Annotated[Length, Field(examples=["10 steps"])] = Duration(10.0, "steps")
    """How often the weights are taken, counted back from the last step."""


class Regularize(Section):
    """What keeps the model from learning the train split by heart, and its steps in bounds.

    Weight decay and penalties act on the matrices that multiply activations: not on embeddings,
    gains and biases.
    """

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
    weight_decay: Annotated[NotNegative | Auto, Field(examples=[0.1])] = "auto"
    """Pull of the weight matrices towards zero at each step, times the learning rate.

    Decoupled, with every optimizer: it does not go through the gradient, as l2 does.
    """
    l2: Annotated[NotNegative, Field(examples=[1e-4])] = 0.0
    """Weight of half the squared matrices, added to the gradient; 0 is off.

    What sgd and adam of other tools call weight decay.  The loss that is shown is without it.
    """
    l1: Annotated[NotNegative, Field(examples=[1e-5])] = 0.0
    """Weight of the absolute values of the matrices, added to the gradient; 0 is off.

    Together with l2 it is the elastic net.
    """
    clip: Annotated[NormClip | ValueClip | AdaptiveClip, Field(discriminator="kind")] | None = (
        NormClip()
    )
    """How gradients are bounded before a step; null for no bound."""
    gradient_noise: GradientNoise | None = None
    """Noise that is added to the gradients; null for none."""
    average: Annotated[EmaAverage | MeanAverage, Field(discriminator="kind")] | None = None
    """Average of the weights that is measured and published in their place; null for none.

    Training goes on from the weights themselves.
    """

    @property
    def disturbs(self) -> bool:
        """Whether a pass through the model is another each time."""
        return any((*self.dropout.model_dump().values(), self.stochastic_depth, self.neftune))


class Stop(Section):
    """When training ends before its budget, and which weights are kept."""

    metric: Annotated[Name, Field(examples=["accuracy"])] = "loss"
    """The metric of val that is watched: loss, or any that is measured with each evaluation.

    Higher is better for all but losses, errors and perplexities.
    """
    patience: Annotated[Count, Field(examples=[5])] = 5
    """Evaluations of val in a row without a gain after which training stops."""
    min_gain: NotNegative = 0.0
    """How large a gain has to be to count.  Units: standard errors of the metric.

    The standard error is a quarter of its 95% interval, or nearly: half of it over 1.96.
    """
    restore_best: Switch = True
    """Whether the weights that were best by the metric are published, or else the last ones."""


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

    every: Annotated[Length | Auto, Field(examples=["200 steps"])] = "auto"
    """How often the train subset and val are measured."""
    tokens: Annotated[Count | Auto, Field(examples=[100000])] = "auto"
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
