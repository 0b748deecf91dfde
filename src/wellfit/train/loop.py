"""A run, from step 0 or where it was left, to its verdict."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from typing import NamedTuple

from wellfit.checkpoint import commit, prune
from wellfit.config import known
from wellfit.config.optim import Plateau
from wellfit.errors import Diverged, WellfitError
from wellfit.optim import lr_scale
from wellfit.probe.timing import during
from wellfit.train import ranks as group
from wellfit.train.average import measured_weights, take_average
from wellfit.train.finish import conclude_diverged, finish
from wellfit.train.interrupt import Interrupt
from wellfit.train.job import Job, batches
from wellfit.train.learn import LossOf
from wellfit.train.ledger import Ledger
from wellfit.train.measure import evaluate, save_best
from wellfit.train.profile import profiled
from wellfit.train.samples import write_sample
from wellfit.train.state import TrainState
from wellfit.train.step import NonFinite, StepRecord, train_step
from wellfit.train.stopping import watch
from wellfit.units import Duration

_STOP, _SAVE = 1, 2  # bits that ranks agree on after each step


class Outcome(NamedTuple):
    """How a run ended: ``finished``, or ``stopped`` by a signal and resumable."""

    status: str
    step: int


def train_steps(job: Job, state: TrainState, loss_of: LossOf) -> Iterator[StepRecord]:
    """Train to the horizon, one optimizer step at each turn of the iterator.

    Owns the order of things and nothing else: what is due after a step is the caller's affair.
    """
    recipe, stream, total = job.recipe, batches(job), job.steps_total
    while state.step < total:
        rate = lr_scale(recipe.schedule, state.step, total=total) * state.plateau.scale
        with during("data"):
            # A line search builds on the last one: every step must see the same rows.
            micro_batches = stream(0 if state.optimizers.searches else state.step)
        record = train_step(
            state,
            micro_batches,
            loss_of,
            lr_scale=rate,
            how=recipe.regularize,
            seed=recipe.train.seed,
            ranks=job.ranks,
        )
        if recipe.regularize.average is not None:
            take_average(state, recipe.regularize.average, total=total)
        yield record


def run(job: Job, state: TrainState, loss_of: LossOf, ledger: Ledger) -> Outcome:
    """Train, watch, save, and finish: everything that happens in a run, in the order it happens.

    Raises ``Diverged`` when the guard stops it; whatever was committed stays resumable.
    """
    t0 = time.monotonic() - state.elapsed_s  # as if earlier attempts had just been made
    saved_s, saved_evaluation = state.elapsed_s, state.evaluated_step
    stop, schedule = job.recipe.stop, job.recipe.schedule

    def save() -> None:
        nonlocal saved_s, saved_evaluation
        state.elapsed_s = time.monotonic() - t0
        if job.ranks.leads:
            ledger.flush()  # first, so that the record reaches at least as far as the checkpoint
            at = commit(job.run.checkpoints, state.step, state.contents())
            keep = job.recipe.checkpoint.keep
            prune(job.run.checkpoints, keep=keep, best_step=state.stop.best_step)
            ledger.event("saved", state.step, path=at.path.name, generation=at.generation)
        saved_s, saved_evaluation = time.monotonic() - t0, state.evaluated_step

    def look() -> None:
        sample = None
        with measured_weights(state):
            train, val = evaluate(job, state)
            state.evaluated_step = state.step
            seen, gain = watch(stop, val), stop.min_gain if stop else 0.0
            if state.stop.observe(state.step, seen, min_gain=gain) and job.ranks.leads:
                save_best(job, state)
            try:
                sample = write_sample(job, state)
            except WellfitError as e:  # a text to look at is not worth a run
                ledger.warned(state.step, f"no sample at step {state.step}: {e}")
        if job.judge.missing:
            ledger.warned(state.step, job.judge.missing)
        ledger.evaluated(state, train, val, sample)
        if isinstance(schedule, Plateau) and state.plateau.observe(seen, schedule):
            scale, lr = state.plateau.scale, state.plateau.scale * state.optimizers.peak_lr
            ledger.event("lowered-rate", state.step, share_of_peak=scale, lr=lr)
            ledger.screen.say(f"val has stopped improving: the learning rate is {lr:.3g} from here")

    def look_due() -> bool:
        return _due(job.recipe.evaluate.every, state.step) or state.step == job.steps_total

    def stale() -> bool:
        return stop is not None and state.stop.stale >= stop.patience

    def stopped(number: int | None) -> Outcome:
        name = signal.Signals(number).name if number else "another rank"
        ledger.event("stopped", state.step, signal=name)
        return Outcome("stopped", state.step)

    with Interrupt() as interrupt:
        try:
            if look_due() and state.evaluated_step < state.step:
                look()  # step 0, or a checkpoint that was saved just before its evaluation
            for record in profiled(ledger, train_steps(job, state, loss_of)) if not stale() else ():
                elapsed_s = time.monotonic() - t0
                ledger.stepped(state, record, elapsed_s=elapsed_s)
                asked = _STOP * (interrupt.signal is not None)
                asked |= _SAVE * _save_due(job, state.step, elapsed_s - saved_s)
                asked = group.any_of(job.ranks, asked)
                if asked or look_due():
                    save()  # before the evaluation: nothing that measures can lose training
                if asked & _STOP:
                    return stopped(interrupt.signal)
                if look_due():
                    look()
                if stale():
                    break
            if stop is not None and stale():
                best = state.stop.best_step
                ledger.event("early-stop", state.step, best_step=best, metric=stop.metric)
                ledger.screen.say(
                    f"stopped early at step {state.step}: val {stop.metric} has not improved for "
                    f"{state.stop.stale} evaluations (best at step {best})"
                )
            if saved_evaluation != state.evaluated_step:
                save()  # once more, so that a resumed run knows the last evaluation's outcome
        except NonFinite as e:
            save()
            batch = known(job.recipe.train.batch)
            rows = {"first_row": (e.step - 1) * batch, "rows": batch}
            ledger.event("diverged", e.step, loss=e.loss, grad_norm=e.grad_norm, **rows)
            conclude_diverged(job, state, ledger)
            raise Diverged(
                f"the loss became non-finite ({e.loss}, gradient norm {e.grad_norm}) at step "
                f"{e.step}, before the update; the weights are those of step {state.step}. "
                f"Nothing is lost. Halve the learning rate in a new run, or look at the curves: "
                f"wellfit report {job.run.path}"
            ) from e
        if finish(job, state, ledger, interrupt):
            return Outcome("finished", state.step)
        return stopped(interrupt.signal)


def _due(every: Duration | str, step: int) -> bool:
    """Whether something that happens every so many steps happens at this one."""
    assert isinstance(every, Duration) and every.unit == "steps", f"undecided interval {every}"
    return step % int(every.amount) == 0


def _save_due(job: Job, step: int, since_s: float) -> bool:
    """Whether a checkpoint is due.  By the clock, its moment may differ between runs; no more."""
    every = job.recipe.checkpoint.every
    if every.unit == "seconds":
        return job.ranks.leads and since_s >= every.amount
    return _due(every, step)
