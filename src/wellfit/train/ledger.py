"""What a run writes down and shows: the loop says what happened, this says it to store and screen.

Nothing here can change training; only rank 0 has a record, the others' ledgers do nothing.
"""

from __future__ import annotations

import signal
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, cast

from wellfit.checkpoint import Committed
from wellfit.data import said_of_fit
from wellfit.diagnose import Finding
from wellfit.evaluate import Baselines
from wellfit.report import LiveState, Screen
from wellfit.report.measures import most_telling
from wellfit.store import Evaluation, Record, Sample, Status, read_run
from wellfit.train.job import Job
from wellfit.train.learn import loss_unit_of
from wellfit.train.state import TrainState
from wellfit.train.step import NonFinite, StepRecord
from wellfit.units import per_second

_FLUSH_S = 1.0
_HISTORY = 400  # losses kept for the sparkline
_SMOOTHING = 0.95  # of the loss that the screen shows; the record keeps the raw one


class Ledger:
    """The record and the screen of one attempt at a run."""

    def __init__(self, job: Job, record: Record | None, screen: Screen) -> None:
        self.job, self.record, self.screen = job, record, screen
        self._unit = loss_unit_of(job.recipe.task)
        self._losses: deque[float] = deque(maxlen=_HISTORY)
        self._smooth: float | None = None
        self._noted = 0
        self._val_loss: float | None = None
        self._sample = ""
        self._warned: set[str] = set()
        self._metric: tuple[str, float] | None = None  # the task's own, on val
        self._status = "starting"
        self._went_on_at = time.monotonic()
        self._span_s, self._span_tokens = 0.0, 0  # of training since the slow series were noted
        self._rate = 0.0
        self._elapsed_s = 0.0

    def began(self, state: TrainState, rehearsal: Mapping[str, float], *, budget: str) -> None:
        """The first attempt begins."""
        if self.record is None:
            return
        job = self.job
        facts = {
            "steps_total": job.steps_total,
            "epoch_tokens": job.feed.n_targets,
            "parameters": sum(p.numel() for p in state.model.parameters()),
            "budget": budget,
            "seed": job.recipe.train.seed,
            "machine": job.machine.facts(),
            "baselines": dict(job.baselines.losses),
            "mark": job.baselines.mark,
            "mark_losses": job.baselines.mark_losses.tolist(),
            "unit": job.unit,
            "task": job.recipe.task.kind,
        }
        for key, value in facts.items():
            self.record.fact(key, value)
        self.record.event("started", state.step)
        self.record.event("rehearsed", state.step, **rehearsal)
        if said_of_fit(job.fitted, job.shape.context):
            self.record.event("fitted", state.step, context=job.shape.context, **job.fitted)

    def resumed(self, state: TrainState, rejected: Sequence[tuple[Committed, str]]) -> None:
        """A later attempt takes over at the state's step."""
        if self.record is None:
            return
        for checkpoint, why in rejected:
            self.record.event("fell-back", state.step, passed_over=checkpoint.path.name, why=why)
            self.screen.say(f"passed over a damaged checkpoint: {why}")
        self.record.event("resumed", state.step)
        if not read_run(self.job.run.path).facts().get("steps_total"):
            self.began(state, {}, budget=str(self.job.recipe.train.budget))

    def stepped(self, state: TrainState, step: StepRecord, *, elapsed_s: float) -> None:
        """A step was made."""
        if self.record is None:
            return
        loss = step.loss.mean()
        self._elapsed_s = elapsed_s
        self._losses.append(loss)
        self._noted += 1
        share = max(1 - _SMOOTHING, 1 / self._noted)  # a plain mean until there are enough
        self._smooth = (
            loss if self._smooth is None else self._smooth + share * (loss - self._smooth)
        )
        self._status = "training"
        self.record.series(step.step, {"loss": loss, "grad_norm": float(step.grad_norm)})
        now = time.monotonic()
        self._span_s += now - self._went_on_at
        self._span_tokens += step.n_targets
        self._went_on_at = now
        last = state.step == self.job.steps_total
        if not self._rate or self._span_s >= _FLUSH_S or last:
            self._rate = per_second(self._span_tokens, self._span_s)
        if self._span_s >= _FLUSH_S or last:
            self._mark(state, lr=step.lr_scale * state.optimizers.peak_lr)
            self.record.flush()
            self._span_s, self._span_tokens = 0.0, 0
        self._show(state)

    def flush(self) -> None:
        """Everything noted so far reaches the disk."""
        if self.record is not None:
            self.record.flush()

    def saved(self, step: int, at: Committed) -> None:
        """A checkpoint was committed."""
        if self.record is not None:
            self.record.event("saved", step, path=at.path.name, generation=at.generation)
            self._went_on_at = time.monotonic()

    def evaluated(
        self, state: TrainState, train: Evaluation, val: Evaluation, sample: Sample | None
    ) -> None:
        """Train and val were measured, and a sample was written."""
        if self.record is None:
            return
        self.record.evaluation(train)
        self.record.evaluation(val)
        self.record.event("evaluated", state.step, train_loss=train.loss, val_loss=val.loss)
        values = {f"val/{name}": m["value"] for name, m in val.metrics.items()}
        self.record.series(state.step, {k: v for k, v in values.items() if v is not None})
        self._val_loss = val.loss
        telling = most_telling(self.job.recipe.task.kind, list(val.metrics))
        if telling and val.metrics[telling[0]]["value"] is not None:
            self._metric = telling[0], val.metrics[telling[0]]["value"]
        self.sample(sample)
        self._went_on_at = time.monotonic()  # time spent measuring is not training speed
        self._show(state, now=True)

    def sample(self, sample: Sample | None) -> None:
        """A sample was written."""
        if self.record is not None and sample is not None:
            self.record.sample(sample.step, sample.prompt, sample.text)
            self._sample = sample.prompt + sample.text

    def warned(self, step: int, text: str) -> None:
        """Something went wrong that does not concern training; said once."""
        if self.record is not None and text not in self._warned:
            self._warned.add(text)
            self.record.event("warning", step, text=text)
            self.screen.say(text)

    def early_stop(self, state: TrainState) -> None:
        """Patience ran out."""
        if self.record is None:
            return
        stop = self.job.recipe.stop
        metric = stop.metric if stop else "loss"
        facts = {"best_step": state.stop.best_step, "metric": metric}
        self.record.event("early-stop", state.step, **facts)
        self.screen.say(
            f"stopped early at step {state.step}: val {metric} has not improved for "
            f"{state.stop.stale} evaluations (best at step {state.stop.best_step})"
        )

    def lowered_rate(self, state: TrainState) -> None:
        """A plateau cut the learning rate."""
        if self.record is not None:
            scale = state.plateau.scale
            peak = scale * state.optimizers.peak_lr
            self.record.event("lowered-rate", state.step, share_of_peak=scale, lr=peak)
            self.screen.say(f"val has stopped improving: the learning rate is {peak:.3g} from here")

    def stopped(self, state: TrainState, number: int | None) -> None:
        """A signal ended the run; it can go on later."""
        if self.record is not None:
            name = signal.Signals(number).name if number else "another rank"
            self.record.event("stopped", state.step, signal=name)

    def diverged(self, state: TrainState, e: NonFinite) -> None:
        """The guard stopped the run before an update."""
        if self.record is None:
            return
        batch = self.job.recipe.train.batch
        assert isinstance(batch, int), "an undecided batch reached the ledger"
        rows = {"first_row": (e.step - 1) * batch, "rows": batch}
        self.record.event("diverged", e.step, loss=e.loss, grad_norm=e.grad_norm, **rows)

    def close(self, status: str) -> None:
        """The attempt is over, one way or another."""
        if self.record is not None:
            self.record.close(cast(Status, status))

    def looking(self, split: str, chosen: int) -> None:
        """A whole split is about to be measured; of test, that is written down first."""
        if self.record is not None and split == "test":
            self.record.event("looked-at-test", chosen, checkpoint_step=chosen)

    def looked(self, evaluation: Evaluation, baselines: Baselines, seen: Mapping[str, Any]) -> None:
        """A whole split was measured, and this is what there is to see of it."""
        if self.record is None:
            return
        self.record.evaluation(evaluation)
        known = read_run(self.job.run.path).facts().get("baselines_by_split", {})
        known[evaluation.split] = dict(baselines.losses)
        self.record.fact("baselines_by_split", known)
        if seen:
            outcomes = read_run(self.job.run.path).facts().get("outcomes", {})
            self.record.fact("outcomes", {**outcomes, evaluation.split: dict(seen)})
        if evaluation.split == "val":
            self.record.fact("baselines", dict(baselines.losses))

    def verdict(self, step: int, finding: Finding) -> None:
        """The run was judged."""
        if self.record is not None:
            self.record.findings(step, [finding.as_dict()])
            plain = finding.as_dict()
            keys = ("code", "claim", "confidence", "evidence", "advice", "change")
            self.record.fact("verdict", {key: plain[key] for key in keys})

    def finished(self, state: TrainState, chosen: int) -> None:
        """Everything is done."""
        if self.record is not None:
            self.record.event("finished", state.step, chosen_step=chosen)
            self.record.status("finished")

    def _mark(self, state: TrainState, *, lr: float) -> None:
        """The slower series, once a second rather than once a step."""
        assert self.record is not None
        values = {"lr": lr, "tokens": float(state.tokens_seen), "elapsed_s": self._elapsed_s}
        self.record.series(state.step, {**values, "tokens_per_s": self._rate})

    def _show(self, state: TrainState, *, now: bool = False) -> None:
        self.screen.show(self.live(state), now=now)

    def live(self, state: TrainState) -> LiveState:
        """The run as the screen shows it."""
        left = self.job.steps_total - state.step
        step_s = self._elapsed_s / state.step if state.step and self._elapsed_s else None
        return LiveState(
            step=state.step,
            steps_total=self.job.steps_total,
            loss=self._losses[-1] if self._losses else None,
            smoothed_loss=self._smooth,
            val_loss=self._val_loss,
            baselines=self.job.baselines.losses,
            tokens_per_s=self._rate,
            time_left_s=None if step_s is None else left * step_s,
            elapsed_s=self._elapsed_s,
            sample=self._sample,
            history=tuple(self._losses),
            status=self._status,
            unit=self._unit,
            metric=self._metric,
        )
