"""What a run writes down and shows: the loop says what happened, this says it to store and screen.

Nothing here can change training; only rank 0 has a record, the others' ledgers do nothing.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from wellfit.checkpoint import Committed
from wellfit.data import said_of_fit
from wellfit.diagnose import Finding
from wellfit.evaluate.baselines import Baselines
from wellfit.plan import gpu
from wellfit.report import LiveState
from wellfit.report.measures import most_telling
from wellfit.store import Evaluation, Record, Sample, Status, read_run
from wellfit.store.record import EventKind
from wellfit.train.job import Here, Job
from wellfit.train.learn import loss_unit_of, unit_of
from wellfit.train.state import TrainState
from wellfit.train.step import StepRecord
from wellfit.units import per_second

_ENDS = ("stopped", "diverged", "finished")  # events that are how an attempt stands after them
_FLUSH_S = 1.0
_HISTORY = 400  # losses kept for the sparkline
_SMOOTHING = 0.95  # of the loss that the screen shows; the record keeps the raw one


class Ledger:
    """The record and the screen of one attempt at a run."""

    def __init__(self, job: Job, record: Record | None, here: Here) -> None:
        self.job, self.record, self.screen = job, record, here.screen
        self.profile = here.profile and record is not None  # whether to look where time goes
        self._live = LiveState(
            steps_total=job.steps_total,
            baselines=job.baselines.losses,
            status="starting",
            unit=loss_unit_of(job.recipe.task),
        )
        self._losses: deque[float] = deque(maxlen=_HISTORY)
        self._noted = 0
        self._warned: set[str] = set()
        self._went_on_at = time.monotonic()
        self._span_s, self._span_tokens = 0.0, 0  # of training since the slow series were noted

    def began(self, state: TrainState, rehearsal: Mapping[str, float], budget: str) -> None:
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
            "unit": unit_of(self.job.recipe.task),
            "task": job.recipe.task.kind,
        }
        if job.device == "cuda" and (peak := gpu.peak_flops_per_s(job.machine.gpu)):
            flops = gpu.flops_per_token(job.recipe, job.shape)
            facts |= {"peak_flops_per_s": peak * job.ranks.world, "flops_per_token": flops}
        for key, value in facts.items():
            self.record.fact(key, value)
        self.event("started", state.step)
        self.event("rehearsed", state.step, **rehearsal)
        if said_of_fit(job.fitted, job.shape.context):
            self.event("fitted", state.step, context=job.shape.context, **job.fitted)

    def resumed(self, state: TrainState, rejected: Sequence[tuple[Committed, str]]) -> None:
        """A later attempt takes over at the state's step."""
        if self.record is None:
            return
        for checkpoint, why in rejected:
            self.event("fell-back", state.step, passed_over=checkpoint.path.name, why=why)
            self.screen.say(f"passed over a damaged checkpoint: {why}")
        self.event("resumed", state.step)
        if not read_run(self.job.run.path).facts().get("steps_total"):
            self.began(state, {}, str(self.job.recipe.train.budget))

    def stepped(self, state: TrainState, step: StepRecord, *, elapsed_s: float) -> None:
        """A step was made."""
        if self.record is None:
            return
        loss, smooth = step.loss.mean(), self._live.smoothed_loss or 0.0
        self._losses.append(loss)
        self._noted += 1
        share = max(1 - _SMOOTHING, 1 / self._noted)  # a plain mean until there are enough
        self.record.series(step.step, {"loss": loss, "grad_norm": float(step.grad_norm)})
        now = time.monotonic()
        self._span_s += now - self._went_on_at
        self._span_tokens += step.n_targets
        self._went_on_at = now
        rate, is_due = self._live.tokens_per_s, self._span_s >= _FLUSH_S
        is_due |= state.step == self.job.steps_total
        if is_due or not rate:
            rate = per_second(self._span_tokens, self._span_s)
        if is_due:  # the slower series, once a second rather than once a step
            lr = step.lr_scale * state.optimizers.peak_lr
            slow = {"lr": lr, "tokens": float(state.tokens_seen), "elapsed_s": elapsed_s}
            self.record.series(state.step, {**slow, "tokens_per_s": rate})
            self.record.flush()
            self._span_s, self._span_tokens = 0.0, 0
        self._live = replace(
            self._live,
            step=state.step,
            loss=loss,
            smoothed_loss=smooth + share * (loss - smooth),
            tokens_per_s=rate,
            time_left_s=(self.job.steps_total - state.step) * elapsed_s / state.step,
            elapsed_s=elapsed_s,
            history=tuple(self._losses),
            status="training",
        )
        self.screen.show(self._live)

    def flush(self) -> None:
        """Everything noted so far reaches the disk."""
        if self.record is not None:
            self.record.flush()

    def event(self, kind: EventKind, step: int, **facts: object) -> None:
        """Something happened between two steps; the time that it took is not training speed."""
        if self.record is not None:
            self.record.event(kind, step, **facts)
            if kind in _ENDS:
                self.record.status(cast(Status, kind))
            self._went_on_at = time.monotonic()

    def evaluated(
        self, state: TrainState, train: Evaluation, val: Evaluation, sample: Sample | None
    ) -> None:
        """Train and val were measured, and a sample was written."""
        if self.record is None:
            return
        self.record.evaluation(train)
        self.record.evaluation(val)
        self.event("evaluated", state.step, train_loss=train.loss, val_loss=val.loss)
        values = {f"val/{name}": m["value"] for name, m in val.metrics.items()}
        values["tokens"] = float(state.tokens_seen)  # a verdict's epochs must not hang on the clock
        self.record.series(state.step, {k: v for k, v in values.items() if v is not None})
        self._live = replace(self._live, step=state.step, val_loss=val.loss)
        telling = most_telling(self.job.recipe.task.kind, list(val.metrics))
        if telling and val.metrics[telling[0]]["value"] is not None:
            self._live = replace(self._live, metric=(telling[0], val.metrics[telling[0]]["value"]))
        if sample is not None:
            self.record.sample(sample.step, sample.prompt, sample.text)
            self._live = replace(self._live, sample=sample.prompt + sample.text)
        self.screen.show(self._live, now=True)

    def warned(self, step: int, text: str) -> None:
        """Something went wrong that does not concern training; said once."""
        if text not in self._warned:
            self._warned.add(text)
            self.event("warning", step, text=text)
            self.screen.say(text)

    def close(self, status: str) -> None:
        """The attempt is over, one way or another."""
        if self.record is not None:
            self.record.close(cast(Status, status))

    def looked(self, evaluation: Evaluation, baselines: Baselines, seen: Mapping[str, Any]) -> None:
        """A whole split was measured, and this is what there is to see of it."""
        if self.record is None:
            return
        self.record.evaluation(evaluation)
        facts = read_run(self.job.run.path).facts()
        for key, found in (("baselines_by_split", baselines.losses), ("outcomes", seen)):
            if found:
                self.record.fact(key, {**facts.get(key, {}), evaluation.split: dict(found)})
        if evaluation.split == "val":
            self.record.fact("baselines", dict(baselines.losses))

    def verdict(self, step: int, finding: Finding) -> None:
        """The run was judged."""
        if self.record is not None:
            plain = finding.as_dict()
            self.record.findings(step, [plain])
            keys = ("code", "claim", "confidence", "evidence", "advice", "change")
            self.record.fact("verdict", {key: plain[key] for key in keys})
