"""After the last step: the chosen weights, the full splits, the test split once, the verdict."""

from __future__ import annotations

from typing import Any

import torch

from wellfit.checkpoint import committed, load, named
from wellfit.config import Pretrained
from wellfit.data import Labels, eval_blocks
from wellfit.diagnose import verdict
from wellfit.diagnose.trajectory import trajectory
from wellfit.model import Outputs, merge, write_adapter, write_published
from wellfit.model.publish import staged
from wellfit.store import Split, read_run, write_text_atomic
from wellfit.train import ranks as group
from wellfit.train.average import measured_weights, weights_to_measure
from wellfit.train.interrupt import Interrupt
from wellfit.train.job import Job
from wellfit.train.ledger import Ledger
from wellfit.train.measure import save_best, scored, written
from wellfit.train.state import TrainState, load_weights


def finish(job: Job, state: TrainState, ledger: Ledger, interrupt: Interrupt) -> bool:
    """Choose, measure, judge, publish and report; False when a signal cut it short.

    May be run again after a crash: what the record already holds of the test split is not
    looked at a second time.
    """
    chosen = choose(job, state, ledger)
    state.model.compute = torch.float32  # so that any other float32 program gets the same loss
    names: tuple[Split, ...] = ("train", "val", "test")
    for split in names:
        if group.any_of(job.ranks, int(interrupt.signal is not None)):
            return False
        if split in job.data.splits and not _measured_before(job, split, chosen):
            try:
                _measure(job, state, ledger, split, chosen, interrupt)
            except _Stopped:
                return False
    if job.ranks.leads:
        ledger.verdict(state.step, verdict(trajectory(read_run(job.run.path))))
        publish(job, state.model)
        ledger.event("finished", state.step, chosen_step=chosen)
        _report(job)
    return True


def conclude_diverged(job: Job, state: TrainState, ledger: Ledger) -> None:
    """Judge and report a run that the guard stopped."""
    if job.ranks.leads:
        ledger.verdict(state.step, verdict(trajectory(read_run(job.run.path))))
        _report(job)


def _report(job: Job) -> None:
    from wellfit.report.page import page  # not before the first step: templates and charts

    write_text_atomic(job.run.report, page(read_run(job.run.path)))


def publish(job: Job, model: Any) -> None:
    """Write the model for other tools; of a LoRA run the adapter, and the model with it merged."""
    asked = job.recipe.model
    if isinstance(asked, Pretrained) and asked.lora is not None:
        with staged(job.run.adapter, replace=True) as folder:
            write_adapter(folder, model, asked.lora, base=asked.path)
        model = merge(model)
    outputs = meaning(job.data.labels)
    write_published(job.run.model, model, job.data.tokenizer, outputs=outputs, replace=True)


def meaning(labels: Labels | None) -> Outputs | None:
    """What the outputs of a labelled task mean, for other tools; None where there are none."""
    if labels is None:
        return None
    kind = "multi_label_classification" if labels.several else "single_label_classification"
    problem: Any = "regression" if labels.means else kind
    return Outputs(labels.names, problem, labels.means, labels.deviations)


def choose(job: Job, state: TrainState, ledger: Ledger) -> int:
    """Load the weights that val chose into the model, and return their step.

    Rank 0 names them, and has committed them by then; without waiting for it, another rank
    might look before they are there.  Where the recipe wants the last weights, they are
    committed as the chosen ones first.
    """
    if job.recipe.stop is not None and not job.recipe.stop.restore_best:
        state.stop.best_step = state.step
        if job.ranks.leads:
            with measured_weights(state):
                save_best(job, state)
    best = committed(job.run.checkpoints, "best") if job.ranks.leads else []
    names = [c.path.name for c in best if c.step == state.stop.best_step]
    name = group.agreed(job.ranks, names[-1] if names else None)
    if name is None:
        wanted = f"the weights that val chose, of step {state.stop.best_step}, are gone"
        ledger.warned(state.step, f"{wanted}; the model is the one of step {state.step}")
        for p, w in weights_to_measure(state).items():
            p.data = w
        return state.step
    chosen = named(job.run.checkpoints, name)
    load_weights(state.model, load(chosen).tensors["model"])
    return chosen.step


def _measured_before(job: Job, split: Split, chosen: int) -> bool:
    """Whether an earlier attempt has measured these weights on the whole of the split."""
    found = False
    if job.ranks.leads:
        looks = read_run(job.run.path).evaluations(split)
        found = any(e.basis == "full split" and e.checkpoint_step == chosen for e in looks)
    return group.agreed(job.ranks, found)


class _Stopped(Exception):
    """A signal came while a split was being measured."""


def _measure(
    job: Job, state: TrainState, ledger: Ledger, split: Split, chosen: int, interrupt: Interrupt
) -> None:
    """Measure a whole split; of train, an evenly spread part as large as val."""

    def watch(done: int, total: int) -> None:
        ledger.screen.preparing(f"measuring all of {split}, blocks", done, total)
        # Ranks have to agree before they stop, and do so between splits.
        if interrupt.signal is not None and job.ranks.world == 1:
            raise _Stopped

    most = job.data.splits["val"].n_targets if split == "train" else None
    context, long = job.shape.context, job.recipe.data.long
    blocks = eval_blocks(job.data.splits[split], context=context, max_targets=most, long=long)
    if split == "test":  # written down before it happens
        ledger.event("looked-at-test", chosen, checkpoint_step=chosen)
    scores, judge = scored(job, state.model, blocks, watch), job.judge
    metrics, seen = dict(judge.metrics(blocks, scores)), {}
    if split != "train":
        done = written(job, state.model, blocks, None)
        metrics |= done.metrics
        seen = judge.outcomes(blocks, scores) | done.outcomes
        if judge.missing:
            ledger.warned(state.step, judge.missing)
    found = judge.evaluation(blocks, scores, basis="full split", step=chosen, metrics=metrics)
    ledger.looked(found, judge.baseline(blocks), seen)
