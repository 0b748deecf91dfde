"""Measure before step 0: a step, an evaluation, and whether compiling pays.

What is measured is then fixed in resolved.yaml, so that the schedule and every resume are
exact; what was computed to measure it is thrown away.
"""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

from wellfit.config import known
from wellfit.plan import Rehearsal, laws
from wellfit.train import ranks as group
from wellfit.train.job import Job, batch_stream, nats_of, new_state
from wellfit.train.measure import evaluate
from wellfit.train.samples import write_sample
from wellfit.train.state import TrainState
from wellfit.train.step import NatsOf, train_step

_LONG_ENOUGH_S = 2.0  # of measured steps
_MOST_STEPS = 20


class Rehearsed(NamedTuple):
    """A state as before step 0, the loss function to train it with, and what was measured."""

    state: TrainState
    nats: NatsOf
    seen: Rehearsal


def rehearse(job: Job, *, t0: float) -> Rehearsed:
    """Run a few real steps and one evaluation, time them, and put everything back.

    ``t0`` is the monotonic moment at which the run began.  Running out of memory or failing to
    compile happens here, before any work could be lost.
    """
    state = new_state(job)
    compiled = job.recipe.train.compile is True
    nats = nats_of(state.model, compiled=compiled)
    timed = job.recipe.train.budget.unit == "seconds" or job.recipe.train.compile == "auto"
    step_s = _time_steps(job, state, nats, long_enough_s=_LONG_ENOUGH_S if timed else 0.0)
    if job.recipe.train.compile == "auto" and _worth_compiling(job, step_s):
        faster = nats_of(state.model, compiled=True)
        compiled_s = _time_steps(job, state, faster, long_enough_s=_LONG_ENOUGH_S)
        compiled = group.agreed(job.ranks, compiled_s < step_s)
        if compiled:
            nats, step_s = faster, compiled_s
    evaluation_s = _seconds(lambda: _evaluate_once(job, state))
    state = reset(job, state)
    spent_s = time.monotonic() - t0
    seen = Rehearsal(step_s, evaluation_s, spent_s, compiled)
    return Rehearsed(state, nats, group.agreed(job.ranks, seen))


def reset(job: Job, state: TrainState) -> TrainState:
    """The state before step 0, in the same model object, so that a compiled loss stays valid."""
    fresh = new_state(job)
    state.model.load_state_dict(fresh.model.state_dict())
    for part in state.optimizers.parts:
        part.state.clear()
    return TrainState(state.model, state.optimizers)


def _time_steps(job: Job, state: TrainState, nats: NatsOf, *, long_enough_s: float) -> float:
    """Median seconds of a step; the first one, which warms up or compiles, is not counted."""
    stream, times, total_s = batch_stream(job), list[float](), 0.0
    clip = job.recipe.regularize.clip
    for turn in range(_MOST_STEPS + 1):
        t0 = time.monotonic()
        batches = list(stream(turn))
        train_step(
            state,
            batches,
            nats,
            lr_scale=0.0,  # the work of a step without its effect
            clip=None if clip is None else clip.max,
            ranks=job.ranks,
        )
        elapsed_s = time.monotonic() - t0
        if turn == 0 and long_enough_s:
            continue
        times.append(elapsed_s)
        total_s += elapsed_s
        if group.agreed(job.ranks, len(times) >= 3 and total_s >= long_enough_s):
            break
        if not long_enough_s:
            break
    return group.agreed(job.ranks, statistics.median(times))


def _worth_compiling(job: Job, step_s: float) -> bool:
    """Whether the run is long enough for a compiler to pay for itself, and there is one."""
    budget = job.recipe.train.budget
    batch = known(job.recipe.train.batch)
    tokens_per_s = batch * job.shape.context / step_s
    match budget.unit:
        case "seconds":
            expected_s = budget.amount
        case "steps":
            expected_s = budget.amount * step_s
        case "tokens":
            expected_s = budget.amount / tokens_per_s
        case "epochs":
            expected_s = budget.amount * job.data.splits["train"].n_tokens / tokens_per_s
    has_compiler = job.device == "cuda" or shutil.which("g++") or shutil.which("clang++")
    return bool(has_compiler) and expected_s >= laws.COMPILE_PAYS_S


def _evaluate_once(job: Job, state: TrainState) -> None:
    """An evaluation as it will happen, and its sample; the results are thrown away."""
    evaluate(job, state)
    write_sample(job, state)


def _seconds(work: Callable[[], None]) -> float:
    t0 = time.monotonic()
    work()
    return time.monotonic() - t0
