"""How long to train, on how much at a time, and on what."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from wellfit.config.fields import CountOrAuto, Length, Section, Seed, SwitchOrAuto


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
