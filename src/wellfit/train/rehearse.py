"""Measure before step 0: a step, an evaluation, and whether compiling pays.

What is measured is then fixed in resolved.yaml, so that the schedule and every resume are
exact; what was computed to measure it is thrown away.
"""

from __future__ import annotations

import copy
import shutil
import statistics
import time
from dataclasses import replace
from typing import NamedTuple

import torch

from wellfit.config import known
from wellfit.errors import ConfigError, Diverged
from wellfit.plan import Decision, Rehearsal, decide_horizon, laws
from wellfit.train import ranks as group
from wellfit.train.average import measured_weights
from wellfit.train.job import Job, batch_stream, job_loss, new_state
from wellfit.train.learn import LossOf
from wellfit.train.measure import evaluate
from wellfit.train.samples import write_sample
from wellfit.train.state import TrainState
from wellfit.train.step import NonFinite, train_step
from wellfit.train.stopping import watch

_MEASURE_FRAC = 0.03  # of a budget in minutes is spent on measuring a step
_LEAST_S, _MOST_S = 1.0, 10.0
_LEAST_STEPS, _MOST_STEPS = 5, 200


class Rehearsed(NamedTuple):
    """The job with its horizon, a state as before step 0, the loss, and what was measured."""

    job: Job
    state: TrainState
    loss_of: LossOf
    seen: Rehearsal


def rehearse(job: Job, *, t0: float) -> Rehearsed:
    """Run a few real steps and one evaluation, time them, put everything back, decide the horizon.

    ``t0`` is the monotonic moment at which the run began.  What cannot work fails here, before
    any work could be lost: raises ``ConfigError`` when a step does not fit in memory, and
    ``Diverged`` when the very first loss is not finite.
    """
    try:
        return _rehearse(job, t0=t0)
    except NonFinite as e:
        raise Diverged(
            f"the loss is not finite before any training ({e.loss}, gradient norm {e.grad_norm}): "
            "write train.precision=fp32, or check the model section"
        ) from e
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as e:
        if isinstance(e, RuntimeError) and "memory" not in str(e):
            raise
        problem = (
            f"train.micro_batch: one step with {job.recipe.train.micro_batch} sequences at once "
            f"does not fit in memory ({job.machine.summary()}). Halve it; the result stays the same"
        )
        raise ConfigError([problem]) from e


def _rehearse(job: Job, *, t0: float) -> Rehearsed:
    state = new_state(job)
    before = copy.deepcopy(state.contents())
    compiled = job.recipe.train.compile is True
    loss_of = job_loss(job, state.model, compiled=compiled)
    step_s = _time_steps(job, state, loss_of)
    if job.recipe.train.compile == "auto" and _worth_compiling(job, step_s):
        faster = job_loss(job, state.model, compiled=True)
        compiled_s = _time_steps(job, state, faster)
        if compiled := compiled_s < step_s:
            loss_of, step_s = faster, compiled_s
    # The faster of two: the first one also warms up.
    evaluation_s = min(_time_evaluation(job, state) for _ in range(2))
    state.restore(before)
    spent_s = time.monotonic() - t0
    mine = Rehearsal(step_s, evaluation_s, spent_s, compiled)._asdict()
    seen = Rehearsal(**group.agreed(job.ranks, mine))
    decision = decide_horizon(Decision(job.recipe, job.explained), job.feed, seen)
    job = replace(job, recipe=decision.recipe, explained=decision.explained)
    return Rehearsed(job, state, loss_of, seen)


def _time_steps(job: Job, state: TrainState, loss_of: LossOf) -> float:
    """Seconds of a step of rank 0: the lower quartile, as a neighbour can only make one slower.

    The first one, which warms up or compiles, is not counted unless it is the only one.
    """
    stream, times, long_enough_s = batch_stream(job), list[float](), _measure_for(job)
    for turn in range(_MOST_STEPS + 1):
        t0 = time.monotonic()
        train_step(
            state,
            list(stream(turn)),
            loss_of,
            # the work of a step without its effect; a line search has to move to be one
            lr_scale=1.0 if state.optimizers.searches else 0.0,
            how=job.recipe.regularize,
            seed=job.recipe.train.seed,
            ranks=job.ranks,
        )
        if turn == 0 and long_enough_s:
            continue
        times.append(time.monotonic() - t0)
        enough = sum(times) >= long_enough_s and len(times) >= _LEAST_STEPS
        enough |= sum(times) >= 3 * long_enough_s  # five steps of a large model could take minutes
        if group.agreed(job.ranks, enough):
            break
    lower = statistics.quantiles(times, n=4)[0] if len(times) > 1 else times[0]
    return group.agreed(job.ranks, lower)


def _measure_for(job: Job) -> float:
    """Seconds of steps to time; 0 where one step, to see that it works, is enough."""
    budget = job.recipe.train.budget
    if budget.unit == "seconds":
        return min(_MOST_S, max(_LEAST_S, _MEASURE_FRAC * budget.amount))
    return _LEAST_S if job.recipe.train.compile == "auto" else 0.0


def _worth_compiling(job: Job, step_s: float) -> bool:
    """Whether the run is long enough for a compiler to pay for itself, and there is one."""
    budget = job.recipe.train.budget
    batch = known(job.recipe.train.batch)
    tokens_per_s = batch * job.feed.n_targets / job.feed.n_rows / step_s
    one_s = {
        "seconds": 1.0,
        "steps": step_s,
        "tokens": 1 / tokens_per_s,
        "epochs": job.feed.n_targets / tokens_per_s,
    }
    has_compiler = job.device == "cuda" or shutil.which("g++") or shutil.which("clang++")
    pays_s = laws.COMPILE_PAYS_S[job.device]
    return bool(has_compiler) and budget.amount * one_s[budget.unit] >= pays_s


def _time_evaluation(job: Job, state: TrainState) -> float:
    """Seconds of an evaluation as it will happen, with its sample; the results are thrown away."""
    t0 = time.monotonic()
    with measured_weights(state):
        _, val = evaluate(job, state)
        watch(job.recipe.stop, val)  # a metric that is not there is found before any work
        write_sample(job, state)
    return time.monotonic() - t0
