"""After the last step: the chosen weights, the full splits, the test split once, the verdict."""

from __future__ import annotations

import torch

from wellfit.checkpoint import committed, load
from wellfit.data import eval_blocks
from wellfit.diagnose import verdict
from wellfit.diagnose.trajectory import trajectory
from wellfit.evaluate import score
from wellfit.model import write_published
from wellfit.report import page
from wellfit.store import Evaluation, Split, read_run, write_text_atomic
from wellfit.train.interrupt import Interrupt
from wellfit.train.job import Job
from wellfit.train.ledger import Ledger
from wellfit.train.measure import measure_of
from wellfit.train.state import TrainState, load_weights


def finish(job: Job, state: TrainState, ledger: Ledger, interrupt: Interrupt) -> bool:
    """Choose, measure, judge, publish and report; False when a signal cut it short.

    May be run again after a crash: what the record already holds of the test split is not
    looked at a second time.
    """
    chosen = choose(job, state)
    state.model.compute = torch.float32  # so that any other float32 program gets the same loss
    done: dict[str, Evaluation] = {}
    names: tuple[Split, ...] = ("train", "val", "test")
    for split in names:
        if interrupt.signal is not None:
            return False
        if split not in job.data.splits:
            continue
        seen = ledger.seen_before(split, chosen)
        done[split] = seen or _full(job, state, ledger, split, chosen)
    if not job.ranks.leads:
        return True
    view = read_run(job.run.path)
    ledger.verdict(state.step, verdict(trajectory(view)))
    write_published(job.run.model, state.model, job.data.tokenizer, replace=True)
    ledger.finished(state, chosen)
    write_text_atomic(job.run.report, page(read_run(job.run.path)))
    return True


def conclude_diverged(job: Job, state: TrainState, ledger: Ledger) -> None:
    """Judge and report a run that the guard stopped."""
    if not job.ranks.leads:
        return
    ledger.verdict(state.step, verdict(trajectory(read_run(job.run.path))))
    write_text_atomic(job.run.report, page(read_run(job.run.path)))


def choose(job: Job, state: TrainState) -> int:
    """Load the weights that val chose into the model, and return their step."""
    best = [c for c in committed(job.run.checkpoints, "best") if c.step == state.stop.best_step]
    if not best:
        return state.step  # never evaluated: what there is, is what was asked for
    load_weights(state.model, load(best[-1]).tensors["model"])
    return best[-1].step


def _full(job: Job, state: TrainState, ledger: Ledger, split: Split, chosen: int) -> Evaluation:
    """A whole split; of train, an evenly spread part as large as val."""
    most = job.data.splits["val"].n_tokens if split == "train" else None
    blocks = eval_blocks(job.data.splits[split], context=job.shape.context, max_targets=most)
    ledger.looking(split, chosen)
    evaluation = measure_of(job, state)(blocks, split, basis="full split", step=chosen)
    ledger.looked(evaluation, score(job.counts, blocks))
    return evaluation
