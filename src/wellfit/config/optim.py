"""How the weights are updated, and how the learning rate moves over the run."""

from __future__ import annotations

import math
from typing import Annotated, Literal, TypeAlias

from pydantic import (
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from wellfit.config.fields import (
    Auto,
    Betas,
    Count,
    Fraction,
    Momentum,
    Name,
    NotNegative,
    Positive,
    Section,
    Share,
    Span,
    Spans,
    Switch,
    Wanted,
    as_tuple,
    conflict,
    show,
    write_percent,
)

_GROUPS = "[{match: embed*, lr_scale: 0.1}]"


class Group(Section):
    """Parameters that are trained otherwise than the rest."""

    match: Name
    """Which: a pattern on their names, where * stands for anything."""
    lr_scale: NotNegative = 1.0
    """What their learning rate is multiplied by."""
    weight_decay: NotNegative | None = None
    """Their weight decay; null for what they would have."""


def _read_groups(value: object, read: ValidatorFunctionWrapHandler) -> object:
    """Groups from a list of mappings.  Raises ``ValueError`` for what is wrong inside of one."""
    try:
        return read(as_tuple(value))
    except ValidationError as e:
        error = e.errors()[0]
        if not error["loc"]:
            raise  # no list
        keys, at = ", ".join(Group.model_fields), show(".".join(map(str, error["loc"][1:])) or "it")
        wrong = f"a group has the keys {keys}, and of one {at} is wrong: {error['msg']}"
        raise ValueError(f"{wrong}; write for example {_GROUPS}") from None


Groups: TypeAlias = Annotated[
    tuple[Group, ...], WrapValidator(_read_groups), Wanted("a list of groups", _GROUPS)
]


class Rated(Section):
    """What all optimizers have in common."""

    kind: str
    lr: Annotated[Positive | Auto, Field(examples=[1e-3])] = "auto"
    """Peak learning rate."""


class Grouped(Rated):
    """What the optimizers have in common that treat parameters one by one."""

    groups: Groups = ()
    """Parameters that are trained otherwise: a list of {match, lr_scale, weight_decay}.

    `match` is a pattern on their names, `lr_scale` multiplies the learning rate, `weight_decay`
    replaces the decay.  The first group that matches a parameter is the one that counts.
    """


class Adaptive(Grouped):
    """What the relatives of Adam have in common."""

    betas: Betas = (0.9, 0.999)
    """Decay rates of the two averages, of the gradient and of its square."""
    eps: Annotated[Positive, Field(examples=[1e-8])] = 1e-8
    """Added to the denominator, so that it is never zero."""


class Lean(Adaptive):
    """Those whose moments may be kept in half the memory."""

    state: Literal["fp32", "bf16"] = "fp32"
    """What the moments are kept in between steps; a step itself is in fp32.

    bf16 halves their memory and rounds them by up to 1 part in 256.  A moment that moves by less at
    a step stands still, so momentum and both betas have to be 0.98 or less.

    Source  DeepSeek-V3, arXiv:2412.19437, sec. 3.3.3.
    """

    @model_validator(mode="after")
    def _moves(self) -> Lean:
        slow = max(*self.betas, getattr(self, "momentum", 0.0))
        if self.state == "bf16" and slow > 0.98:
            raise conflict("state", f"bf16 stands still at {slow:g}; write fp32, or at most 0.98")
        return self


class Muon(Lean):
    """Muon for the hidden matrices, AdamW for embeddings, the output layer and vectors."""

    kind: Literal["muon"] = "muon"
    lr: Annotated[Positive | Auto, Field(examples=[0.02])] = "auto"
    """Peak learning rate of the hidden matrices."""
    betas: Betas = (0.9, 0.95)
    """Decay rates of AdamW's two averages."""
    eps: Annotated[Positive, Field(examples=[1e-8])] = 1e-8
    """Added to AdamW's denominator, so that it is never zero."""
    momentum: Momentum = 0.95
    """Share of the running gradient that is kept at each step.

    Source  Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks".
    """
    normalize: Switch = True
    """Whether the neurons of a hidden matrix move by one length each.

    Source  Muon+, arXiv:2602.21545.
    """
    adam_lr: Annotated[Positive | Auto, Field(examples=[3e-3])] = "auto"
    """Peak learning rate of everything that AdamW updates."""


class AdamW(Lean):
    """AdamW for every weight (arXiv:1711.05101)."""

    kind: Literal["adamw"] = "adamw"
    betas: Betas = (0.9, 0.95)
    """Decay rates of the two averages.

    Source  GPT-3, arXiv:2005.14165, appendix B.
    """
    amsgrad: Switch = False
    """Whether the largest average of squares so far is the one that counts (AMSGrad)."""


class Adam(Adaptive):
    """Adam (arXiv:1412.6980)."""

    kind: Literal["adam"] = "adam"
    amsgrad: Switch = False
    """Whether the largest average of squares so far is the one that counts (AMSGrad)."""


class NAdam(Adaptive):
    """Adam with Nesterov momentum (Dozat 2016)."""

    kind: Literal["nadam"] = "nadam"
    momentum_decay: NotNegative = 0.004
    """How fast the momentum warms up; torch's name and default."""


class RAdam(Adaptive):
    """Adam whose first steps wait until their variance is known (arXiv:1908.03265)."""

    kind: Literal["radam"] = "radam"


class Adamax(Adaptive):
    """Adam by the largest gradient instead of the mean square (arXiv:1412.6980, sec. 7)."""

    kind: Literal["adamax"] = "adamax"


class ScheduleFreeAdamW(Adaptive):
    """AdamW at a constant rate, with averaging in place of a schedule (arXiv:2405.15682).

    Trained at one point and measured at another, the average; needs `schedule.kind: constant`.
    """

    kind: Literal["schedule-free-adamw"] = "schedule-free-adamw"

    @model_validator(mode="after")
    def _averages(self) -> ScheduleFreeAdamW:
        if self.betas[0] == 0:
            raise conflict("betas", "the first is the share of the average; write [0.9, 0.999]")
        return self


class Lion(Grouped):
    """Steps of the sign of a momentum (arXiv:2302.06675)."""

    kind: Literal["lion"] = "lion"
    betas: Betas = (0.9, 0.99)
    """Share of the momentum in the step, and in the next momentum."""


class Sgd(Grouped):
    """Stochastic gradient descent."""

    kind: Literal["sgd"] = "sgd"
    momentum: Momentum = 0.9
    """Share of the running gradient that is kept at each step; 0 is off."""
    dampening: Momentum = 0.0
    """Share of each new gradient that is left out of the running one."""
    nesterov: Switch = False
    """Whether the step looks ahead along the running gradient."""

    @model_validator(mode="after")
    def _can_look_ahead(self) -> Sgd:
        if self.nesterov and (self.momentum == 0 or self.dampening):
            hint = "write optim.momentum: 0.9 and optim.dampening: 0.0"
            raise conflict("nesterov", f"needs momentum, and no dampening; {hint}")
        return self


class RmsProp(Grouped):
    """Gradients divided by the root of their mean square (Hinton 2012)."""

    kind: Literal["rmsprop"] = "rmsprop"
    alpha: Momentum = 0.99
    """Share of the mean square that is kept at each step."""
    eps: Annotated[Positive, Field(examples=[1e-8])] = 1e-8
    """Added to the denominator, so that it is never zero."""
    momentum: Momentum = 0.0
    """Share of the running step that is kept; 0 is off."""
    centered: Switch = False
    """Whether to divide by the standard deviation instead."""


class Adagrad(Grouped):
    """Gradients divided by the root of the sum of all their squares (Duchi et al. 2011)."""

    kind: Literal["adagrad"] = "adagrad"
    lr_decay: NotNegative = 0.0
    """The rate is also divided by 1 + this times the number of steps."""
    eps: Annotated[Positive, Field(examples=[1e-10])] = 1e-10
    """Added to the denominator, so that it is never zero."""


class Adadelta(Grouped):
    """Steps in units of earlier steps (arXiv:1212.5701)."""

    kind: Literal["adadelta"] = "adadelta"
    rho: Momentum = 0.9
    """Share of both running averages that is kept at each step."""
    eps: Annotated[Positive, Field(examples=[1e-6])] = 1e-6
    """Added under both roots, so that steps can begin."""


class Adafactor(Grouped):
    """Adam with the squares of a matrix kept by row and by column alone (arXiv:1804.04235).

    The rate is relative: a step is so large a part of the weights' root mean square.
    """

    kind: Literal["adafactor"] = "adafactor"
    beta2_decay: Annotated[
        float, Field(lt=0, ge=-1), Wanted("a number from -1 up to but not including 0", "-0.8")
    ] = -0.8
    """The squares are kept by 1 - step ** this; torch's name and default."""
    clip_threshold: Annotated[float, Field(ge=1), Wanted("a number of at least 1", "1.0")] = 1.0
    """Largest root mean square of an update before the rate; torch calls it d."""


class Lbfgs(Rated):
    """L-BFGS with a strong Wolfe line search; one search along one direction a step.

    Only where the loss is a plain function of the weights: the batch is the whole train split,
    and nothing is drawn, clipped or scheduled.
    """

    kind: Literal["lbfgs"] = "lbfgs"
    lr: Annotated[Positive | Auto, Field(examples=[1.0])] = "auto"
    """Where along the direction each search begins."""
    history: Annotated[Count, Field(examples=[10])] = 10
    """How many earlier steps the curvature is known from."""
    evaluations: Annotated[Count, Field(examples=[25])] = 25
    """Most evaluations of the loss in one search."""


_OfAdam: TypeAlias = AdamW | Adam | NAdam | RAdam | Adamax | ScheduleFreeAdamW
_Others: TypeAlias = Lion | Sgd | RmsProp | Adagrad | Adadelta | Adafactor | Lbfgs
Optim: TypeAlias = Annotated[Muon | _OfAdam | _Others, Field(discriminator="kind")]


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


class CosineRestarts(Warmed):
    """Half a cosine down to the floor, again and again from the peak (SGDR, arXiv:1608.03983)."""

    kind: Literal["cosine-restarts"] = "cosine-restarts"
    cycles: Annotated[Count, Field(examples=[4])] = 4
    """How often it comes down."""
    growth: Annotated[Count, Field(examples=[2])] = 1
    """How many times as long as the one before each cycle is."""
    floor: Fraction = 0.0
    """The rate at the end of a cycle, as a share of the peak."""

    @model_validator(mode="after")
    def _can_be_told_apart(self) -> CosineRestarts:
        if self.growth > 1 and self.cycles * math.log(self.growth) > math.log(1e12):
            text = f"{self.cycles} cycles, each {self.growth} times the one before, are more than"
            raise conflict("cycles", f"{text} any run has steps for; write less, such as 4")
        return self


class Polynomial(Warmed):
    """Down to the floor with a power of what is left of the run."""

    kind: Literal["polynomial"] = "polynomial"
    power: Positive = 2.0
    """Which power; 1 is a straight line."""
    floor: Fraction = 0.0
    """The rate at the end, as a share of the peak."""


class Exponential(Warmed):
    """Multiplied by gamma over each stretch after the warm-up, smoothly."""

    kind: Literal["exponential"] = "exponential"
    every: Span = 0.1
    """The stretch: a share of the run, or a duration."""
    gamma: Annotated[Share, Field(examples=[0.5])] = 0.5
    """What the rate is multiplied by over each."""


class StepDecay(Warmed):
    """Multiplied by gamma after each stretch after the warm-up, at once."""

    kind: Literal["step"] = "step"
    every: Span = 0.25
    """The stretch: a share of the run, or a duration."""
    gamma: Annotated[Share, Field(examples=[0.1])] = 0.3
    """What the rate is multiplied by after each."""


class MultiStep(Warmed):
    """Multiplied by gamma at each milestone."""

    kind: Literal["multi-step"] = "multi-step"
    milestones: Spans = (0.5, 0.75)
    """When: shares of the run, or durations, from the start of the run."""
    gamma: Annotated[Share, Field(examples=[0.1])] = 0.1
    """What the rate is multiplied by at each."""


class InverseSqrt(Warmed):
    """Falls with the root of the step, at the end of the warm-up from the peak (T5)."""

    kind: Literal["inverse-sqrt"] = "inverse-sqrt"


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
            both = f"{write_percent(self.decay)} and the warm-up of {write_percent(self.warmup)}"
            raise conflict("decay", f"{both} are more than the whole run; write less of one")
        return self


class OneCycle(Warmed):
    """Half a cosine up to the peak over the warm-up, and half a cosine down to almost nothing.

    Its warm-up is the rise.
    """

    kind: Literal["one-cycle"] = "one-cycle"
    warmup: Span = 0.3
    """How long the rate rises: a share of the run, or a duration.

    Source  Super-convergence, arXiv:1708.07120; torch's defaults.
    """
    start: Fraction = 0.04
    """The rate at the first step, as a share of the peak."""
    floor: Fraction = 4e-6
    """The rate at the last step, as a share of the peak."""


class Cyclic(Warmed):
    """Straight up from the floor to the peak and down again, over and over (arXiv:1506.01186).

    Its warm-up ends at the floor.
    """

    kind: Literal["cyclic"] = "cyclic"
    cycle: Span = 0.1
    """How long one rise and fall take: a share of the run, or a duration."""
    gamma: Annotated[Share, Field(examples=[0.5])] = 1.0
    """What the height is multiplied by after each cycle; 0.5 is torch's triangular2."""
    floor: Fraction = 0.1
    """The rate between two cycles, as a share of the peak."""


class Plateau(Warmed):
    """Level at the peak, and cut whenever the watched metric of val no longer gains.

    The metric is that of `stop`; val loss where `stop` is null.
    """

    kind: Literal["plateau"] = "plateau"
    factor: Annotated[Share, Field(examples=[0.5])] = 0.5
    """What the rate is multiplied by at each cut."""
    patience: Annotated[Count, Field(examples=[2])] = 2
    """Evaluations in a row without a gain that are borne; the next one cuts."""
    threshold: NotNegative = 1e-4
    """The smallest gain that counts, as a share of the best value so far."""
    floor: Fraction = 0.01
    """The lowest rate, as a share of the peak."""


class Constant(Warmed):
    """Up over the warm-up, then level at the peak."""

    kind: Literal["constant"] = "constant"


_Falling: TypeAlias = Polynomial | Exponential | StepDecay | MultiStep | InverseSqrt | Wsd
_Cycling: TypeAlias = CosineRestarts | OneCycle | Cyclic
Schedule: TypeAlias = Annotated[
    Linear | Cosine | _Falling | _Cycling | Plateau | Constant, Field(discriminator="kind")
]
