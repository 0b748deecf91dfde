"""Try a recipe without running it: one real step, and what the whole would cost."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wellfit.config import Loaded, known
from wellfit.data import find_sources, preview
from wellfit.plan import Rehearsal, laws, peak_memory_bytes, this_machine
from wellfit.report import Screen
from wellfit.store import RunDir, counted_by
from wellfit.train.examined import example_problems, inspected
from wellfit.train.job import Here, Job
from wellfit.train.learn import loss_unit_of, unit_of
from wellfit.train.ranks import Ranks
from wellfit.train.rehearse import rehearse
from wellfit.train.setup import decided_job, prepared
from wellfit.units import format_bytes

_FEW_BLOCKS = 8
_MUCH_OVERLAP_FRAC = 0.01


def trial(loaded: Loaded, screen: Screen) -> dict[str, Any]:
    """What ``wellfit check --json`` prints: cost, problems, and the audit of the data.

    Raises what a real start would raise, before any run directory exists.
    """
    here = Here(this_machine(), Ranks(), screen)
    data = prepared(loaded.recipe, here.ranks, screen)
    t0 = time.monotonic()
    decided = decided_job(loaded.recipe, data, RunDir(Path("unused")), here)
    job, state, _, seen = rehearse(decided, t0=t0)
    sources = find_sources(loaded.recipe.data)
    audit = inspected(job, sources)
    weights = list(state.model.parameters())
    parameters = sum(p.numel() for p in weights)
    # A checkpoint holds the weights, and at most two moments of each.
    state_bytes = 3 * sum(p.numel() * p.element_size() for p in weights)
    disk_bytes = state_bytes * (job.recipe.checkpoint.keep + 1) + 8 * parameters
    peak_bytes = peak_memory_bytes(job.device)
    per_step = known(job.recipe.train.batch) * job.feed.n_targets / job.feed.n_rows
    problems = _problems(job, peak_bytes=peak_bytes, disk_bytes=disk_bytes)
    return {
        "parameters": parameters,
        "peak_memory_bytes": peak_bytes,
        "seconds": _seconds(job, seen),
        "disk_bytes": disk_bytes,
        "problems": [*problems, *example_problems(audit)],
        "audit": audit,
        "preview": [shown._asdict() for shown in preview(job.data, sources)] if job.fitted else [],
        "unit": unit_of(job.recipe.task),
        "loss_unit": loss_unit_of(job.recipe.task),
        "steps": job.steps_total,
        "step_seconds": seen.step_s,
        f"{counted_by(job.recipe.task.kind)}_per_s": per_step / seen.step_s,
        "epochs": job.steps_total * per_step / job.feed.n_targets,
        "baselines": dict(job.baselines.losses),
        "explained": [line._asdict() for line in job.explained],
    }


def _seconds(job: Job, seen: Rehearsal) -> float:
    """Training, its evaluations, and the whole splits at the end, in float32 and so slower."""
    sizes = {name: split.n_targets for name, split in job.data.splits.items()}
    whole = 2 * sizes["val"] + sizes.get("test", 0)  # train is measured as far as val goes
    followed = job.train_blocks.n_targets + job.val_blocks.n_targets
    slower = 1.0 if job.recipe.train.precision == "fp32" else 3.0
    final_s = slower * seen.evaluation_s * whole / followed
    return job.steps_total * seen.step_s + laws.EVALUATIONS * seen.evaluation_s + final_s


def _problems(job: Job, *, peak_bytes: int, disk_bytes: int) -> Iterator[str]:
    """What would spoil the run, or what its numbers would mean, each with what to type."""
    free_bytes = shutil.disk_usage(Path.cwd()).free
    if disk_bytes > free_bytes:
        yield (
            f"the run needs about {format_bytes(disk_bytes)} of disk, and "
            f"{format_bytes(free_bytes)} are free: write checkpoint.keep=1, or make room"
        )
    if peak_bytes > 0.9 * job.machine.memory_bytes and job.device == "cpu":
        yield (
            f"one step took {format_bytes(peak_bytes)} of "
            f"{format_bytes(job.machine.memory_bytes)}: halve train.micro_batch"
        )
    if len(job.val_blocks) < _FEW_BLOCKS:
        what = "examples" if job.fitted else f"blocks of {job.shape.context} tokens"
        all_of_it = job.val_blocks.n_targets >= 0.99 * job.data.splits["val"].n_targets
        yield (
            f"val has only {len(job.val_blocks)} {what}, too few for an interval: "
            f"raise {'data.split.val' if all_of_it else 'evaluate.tokens'}"
        )
    for split, overlap in job.data.audit["overlap"].items():
        # conversations share their template and often their system prompt
        if overlap["share"] > _MUCH_OVERLAP_FRAC and job.recipe.task.kind != "chat":
            yield (
                f"{overlap['share']:.1%} of {split} also occurs in train, so its loss will look "
                "too good: remove the repeated text"
            )
    if job.steps_total < 10:
        yield f"the budget is only {job.steps_total} steps: raise train.budget"
