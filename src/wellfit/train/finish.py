"""After the last step: the chosen weights, the full splits, the test split once, the verdict."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from wellfit.checkpoint import committed, load, named
from wellfit.config import Classify, Pretrained, Regress, Task
from wellfit.data import Blocks, Labels, eval_blocks
from wellfit.diagnose import verdict
from wellfit.diagnose.trajectory import trajectory
from wellfit.evaluate import BlockScores
from wellfit.model import Outputs, merge, write_adapter, write_published
from wellfit.model.publish import staged
from wellfit.report import page
from wellfit.store import Split, read_run, write_text_atomic
from wellfit.train import ranks as group
from wellfit.train.average import measured_weights, weights_to_measure
from wellfit.train.interrupt import Interrupt
from wellfit.train.job import Job
from wellfit.train.ledger import Ledger
from wellfit.train.measure import measure_of, save_best, written
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
        asked_to_stop = group.any_of(
            job.ranks, int(interrupt.signal is not None), device=job.device
        )
        if asked_to_stop:
            return False
        if split in job.data.splits and not _measured_before(job, split, chosen):
            try:
                _measure(job, state, ledger, split, chosen, interrupt)
            except _Stopped:
                return False
    if not job.ranks.leads:
        return True
    view = read_run(job.run.path)
    ledger.verdict(state.step, verdict(trajectory(view)))
    publish(job, state.model)
    ledger.finished(state, chosen)
    write_text_atomic(job.run.report, page(read_run(job.run.path)))
    return True


def publish(job: Job, model: Any) -> None:
    """Write the model for other tools; of a LoRA run the adapter, and the model with it merged."""
    asked = job.recipe.model
    if isinstance(asked, Pretrained) and asked.lora is not None:
        with staged(job.run.adapter, replace=True) as folder:
            write_adapter(folder, model, asked.lora, base=asked.path)
        model = merge(model)
    outputs = meaning(job.recipe.task, job.data.labels)
    write_published(job.run.model, model, job.data.tokenizer, outputs=outputs, replace=True)


def meaning(task: Task, labels: Labels | None) -> Outputs | None:
    """What the outputs of a labelled task mean, for other tools; None where there are none."""
    if labels is None:
        return None
    if isinstance(task, Regress):
        return Outputs(labels.names, "regression", labels.means, labels.deviations)
    several = isinstance(task, Classify) and task.several
    problem: Any = f"{'multi' if several else 'single'}_label_classification"
    return Outputs(labels.names, problem)


def conclude_diverged(job: Job, state: TrainState, ledger: Ledger) -> None:
    """Judge and report a run that the guard stopped."""
    if not job.ranks.leads:
        return
    ledger.verdict(state.step, verdict(trajectory(read_run(job.run.path))))
    write_text_atomic(job.run.report, page(read_run(job.run.path)))


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
    name = group.agreed(job.ranks, names[-1] if names else None, device=job.device)
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
    return group.agreed(job.ranks, found, device=job.device)


class _Stopped(Exception):
    """A signal came while a split was being measured."""


def _measure(
    job: Job,
    state: TrainState,
    ledger: Ledger,
    split: Split,
    chosen: int,
    interrupt: Interrupt,
) -> None:
    """Measure a whole split; of train, an evenly spread part as large as val."""

    def watch(done: int, total: int) -> None:
        ledger.screen.preparing(f"measuring all of {split}, blocks", done, total)
        # Ranks have to agree before they stop, and do so between splits.
        if interrupt.signal is not None and job.ranks.world == 1:
            raise _Stopped

    most = job.data.splits["val"].n_targets if split == "train" else None
    blocks = eval_blocks(
        job.data.splits[split],
        context=job.shape.context,
        max_targets=most,
        long=job.recipe.data.long,
    )
    ledger.looking(split, chosen)
    measure = measure_of(job, state)
    scores = measure.scores(blocks, watch=watch)
    found = measure.evaluation(scores, blocks, split, basis="full split", step=chosen)
    seen = {} if split == "train" else _seen(job, state, ledger, blocks, scores)
    # Whatever is measured during training: at the end all of it is.
    metrics = {**(found.metrics or job.judge.metrics(blocks, scores)), **seen.pop("metrics", {})}
    ledger.looked(replace(found, metrics=metrics), job.baseline(blocks), seen)


def _seen(
    job: Job, state: TrainState, ledger: Ledger, blocks: Blocks, scores: BlockScores
) -> dict[str, Any]:
    """What there is to see of a split beside its loss, and metrics that took writing."""
    seen = job.judge.outcomes(blocks, scores)
    if linear := job.judge.against_linear(blocks, scores):
        seen["linear"] = linear
    done = written(job, state.model, blocks, None)
    if job.judge.missing:
        ledger.warned(state.step, job.judge.missing)
    return {**seen, **done.outcomes, "metrics": done.metrics}
