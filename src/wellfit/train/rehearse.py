"""Measure before step 0: a step, an evaluation, and whether compiling pays.

What is measured is then fixed in resolved.yaml, so that the schedule and every resume are
exact; what was computed to measure it is thrown away.
"""

from __future__ import annotations

import copy
import math
import shutil
import statistics
import time
from dataclasses import replace
from typing import NamedTuple

import torch

from wellfit.config import known
from wellfit.config.optim import Lbfgs
from wellfit.errors import ConfigError, Diverged
from wellfit.plan import Decision, Rehearsal, decide_horizon, laws
from wellfit.plan.decide import in_steps
from wellfit.train import ranks as group
from wellfit.train.average import measured_weights
from wellfit.train.job import Job, batches, job_loss, new_state
from wellfit.train.kernels import WORKSPACE, kernels
from wellfit.train.learn import How, LossOf
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
        with kernels(job):
            return _rehearse(job, t0=t0)
    except NonFinite as e:
        raise Diverged(
            f"the loss is not finite before any training ({e.loss}, gradient norm {e.grad_norm}): "
            "write train.precision=fp32, or check the model section"
        ) from e
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as e:
        if job.recipe.train.deterministic and "deterministic" in str(e):
            hint = f"set {WORKSPACE} before Python starts, or write train.deterministic: false"
            raise ConfigError([f"train.deterministic: {hint} ({str(e)[:300]})"]) from e
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
    fastest = _fastest(job, state)
    # The faster of two: the first one also warms up.
    evaluation_s = min(_time_evaluation(job, state) for _ in range(2))
    state.restore(before)
    spent_s = time.monotonic() - t0
    mine = Rehearsal(fastest.step_s, evaluation_s, spent_s, fastest.compiled)._asdict()
    seen = Rehearsal(**group.agreed(job.ranks, mine))
    decision = decide_horizon(Decision(job.recipe, job.explained), job.feed, seen)
    job = replace(job, recipe=decision.recipe, explained=decision.explained)
    return Rehearsed(job, state, fastest.loss_of, seen)


class _Timed(NamedTuple):
    """A way to compile, as train.compile has it, and what its steps took and gave."""

    compiled: How
    loss_of: LossOf
    step_s: float  # the lower quartile, as a neighbour can only make a step slower
    norms: list[float]  # of the gradient of each step

    def agrees(self, other: _Timed) -> bool:
        """Whether the steps that both took gave the same gradients, up to rounding."""
        both = zip(self.norms, other.norms, strict=False)
        return all(math.isclose(a, b, rel_tol=0.02) for a, b in both)


def _fastest(job: Job, state: TrainState) -> _Timed:
    """The way to compile that the recipe asks for, or of those worth trying the fastest."""
    asked = job.recipe.train.compile
    if asked == "cuda-graphs" and not _in_one_pass(job):
        what = "cuda-graphs need the whole batch in one pass: raise train.micro_batch, or write"
        raise ConfigError([f"train.compile: {what} train.compile: true"])
    best = _time_steps(job, state, False if asked == "auto" else asked)
    if asked != "auto" or not _worth_compiling(job, best.step_s):
        return best
    other = _time_steps(job, state, True)
    best = other if other.step_s < best.step_s else best
    small = best.compiled and best.step_s < laws.GRAPHS_MAY_PAY_S
    if small and job.device == "cuda" and job.ranks.world == 1 and _in_one_pass(job):
        try:
            other = _time_steps(job, state, "cuda-graphs")
        except (RuntimeError, NonFinite):  # a gain that was hoped for is not worth a run
            state.optimizers.zero_grad()
        best = other if other.step_s < best.step_s and other.agrees(best) else best
    return best


def _in_one_pass(job: Job) -> bool:
    """Whether a step is one pass, of the same size each time: graphs own the gradients they make.

    A second pass would write over the first one's before they are added (pytorch#96693).
    """
    rows = -(-known(job.recipe.train.batch) // job.ranks.world)
    searches = isinstance(job.recipe.optim, Lbfgs)
    return rows <= known(job.recipe.train.micro_batch) and job.feed.one_length and not searches


def _time_steps(job: Job, state: TrainState, compiled: How) -> _Timed:
    """Steps of rank 0, compiled in this way.

    The first one, which warms up or compiles, is not counted unless it is the only one.
    """
    loss_of, norms = job_loss(job, state.model, compiled=compiled), list[float]()
    stream, times, long_enough_s = batches(job), list[float](), _measure_for(job)
    counted = job.recipe.train.budget.unit != "seconds"
    for turn in range(_MOST_STEPS + 1):
        t0 = time.monotonic()
        record = train_step(
            state,
            stream(turn),
            loss_of,
            # the work of a step without its effect; a line search has to move to be one
            lr_scale=1.0 if state.optimizers.searches else 0.0,
            how=job.recipe.regularize,
            seed=job.recipe.train.seed,
            ranks=job.ranks,
        )
        norms.append(float(record.grad_norm))
        if turn == 0 and long_enough_s:
            continue
        times.append(time.monotonic() - t0)
        enough = sum(times) >= long_enough_s and len(times) >= _LEAST_STEPS
        enough |= sum(times) >= 3 * long_enough_s  # five steps of a large model could take minutes
        if counted and not compiled and len(times) >= _LEAST_STEPS:
            enough |= not _worth_compiling(job, max(times))  # then there is nothing to choose from
        if group.agreed(job.ranks, enough):
            break
    lower = statistics.quantiles(times, n=4)[0] if len(times) > 1 else times[0]
    return _Timed(compiled, loss_of, group.agreed(job.ranks, lower), norms)


def _measure_for(job: Job) -> float:
    """Seconds of steps to time; 0 where one step, to see that it works, is enough."""
    budget = job.recipe.train.budget
    if budget.unit == "seconds":
        return min(_MOST_S, max(_LEAST_S, _MEASURE_FRAC * budget.amount))
    return _LEAST_S if job.recipe.train.compile == "auto" else 0.0


def _worth_compiling(job: Job, step_s: float) -> bool:
    """Whether the run is long enough for a compiler to pay for itself, and there is one."""
    steps = in_steps(job.recipe.train.budget, recipe=job.recipe, feed=job.feed, step_s=step_s)
    has_compiler = job.device == "cuda" or shutil.which("g++") or shutil.which("clang++")
    return bool(has_compiler) and steps.amount * step_s >= laws.COMPILE_PAYS_S[job.device]


def _time_evaluation(job: Job, state: TrainState) -> float:
    """Seconds of an evaluation as it will happen, with its sample; the results are thrown away."""
    t0 = time.monotonic()
    with measured_weights(state):
        _, val = evaluate(job, state)
        watch(job.recipe.stop, val)  # a metric that is not there is found before any work
        write_sample(job, state)
    return time.monotonic() - t0
