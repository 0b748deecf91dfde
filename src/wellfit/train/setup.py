"""From a recipe to a finished run, and from a run directory to where it was left."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from ruamel.yaml import YAML

from wellfit import config
from wellfit.checkpoint import Committed, load, named, newest_verified, sweep
from wellfit.config import Explained, Loaded, Pretrained, Recipe, known
from wellfit.data import Prepared, Progress, prepare, said_of_fit
from wellfit.errors import Diverged, RunError
from wellfit.model import weights_digest
from wellfit.plan import Decision, decide_parts, environment, this_machine
from wellfit.report import NoScreen, Screen
from wellfit.store import Record, RunDir, locked, read_run, write_text_atomic
from wellfit.train import ranks as group
from wellfit.train.job import Here, Job, job_loss, make_job, new_state
from wellfit.train.kernels import keep_memory, kernels
from wellfit.train.learn import LossOf
from wellfit.train.ledger import Ledger
from wellfit.train.loop import Outcome, run
from wellfit.train.profile import prepare_profiler
from wellfit.train.ranks import Ranks
from wellfit.train.rehearse import rehearse
from wellfit.train.state import TrainState


def start(loaded: Loaded, path: Path, screen: Screen, *, profile: bool = False) -> Outcome:
    """Begin a new run in ``path`` and train it to its end, or until a signal stops it.

    With ``profile`` it looks where the time of a few steps goes; see ``train.profile``.
    """
    here = _here(loaded.recipe, screen, profile=profile)
    run_dir = RunDir.create(path) if here.ranks.leads else RunDir(path.absolute())
    with _holding(run_dir, here.ranks):
        asked = {line.key: line for line in config.explain(loaded)}
        if here.ranks.leads:
            notes = {key: line.origin for key, line in asked.items() if line.origin != "default"}
            write_text_atomic(run_dir.recipe, config.dump_commented(loaded.recipe, notes))
        data = prepared(loaded.recipe, here.ranks, here.screen)
        t0 = time.monotonic()
        job = decided_job(loaded.recipe, data, run_dir, here)
        here.screen.say(_said(job))
        if lost := said_of_fit(job.fitted, job.shape.context):
            here.screen.say(lost)
        job, state, loss_of, seen = rehearse(job, t0=t0)
        if here.ranks.leads:
            _write_decided(job, asked)
        budget, measured = str(loaded.recipe.train.budget), seen._asdict()
        return _train(job, state, loss_of, here, lambda to: to.began(state, measured, budget))


def resume(path: Path, screen: Screen, *, profile: bool = False) -> Outcome:
    """Go on with the run in ``path`` exactly where its newest whole checkpoint is.

    ``profile`` is as for ``start``.

    Raises ``RunError`` when there is no run, ``CheckpointError`` when no checkpoint verifies.
    """
    run_dir = RunDir(Path(path).absolute())
    if not run_dir.resolved.is_file():
        if not run_dir.recipe.is_file():
            raise RunError(
                f"{path} is not a run directory: it holds no recipe. "
                "List runs with: wellfit runs ls"
            )
        screen.say("this run was stopped before its first step: starting it from its recipe")
        return start(config.load_recipe(run_dir.recipe), path, screen, profile=profile)
    decided = read_resolved(run_dir)
    recipe = decided.recipe
    here = _here(recipe, screen, profile=profile)
    with _holding(run_dir, here.ranks):
        done = run_dir.db.is_file() and read_run(run_dir.path).status == "finished"
        if group.agreed(here.ranks, done):
            here.screen.say("this run is finished: there is nothing to resume")
            return Outcome("finished", int(read_run(run_dir.path).summary()["step"]))
        data = prepared(recipe, here.ranks, here.screen)
        check_same_data(run_dir, data)
        job = decided_job(recipe, data, run_dir, here, decided=decided)
        _check_same_model(run_dir, recipe)
        state, rejected = _restored(job)
        here.screen.say(f"resuming at step {state.step} of {job.steps_total}")
        assert recipe.train.compile != "auto", "decided when the run began"
        loss_of = job_loss(job, state.model, compiled=recipe.train.compile)
        return _train(job, state, loss_of, here, lambda to: to.resumed(state, rejected))


def prepared(recipe: Recipe, ranks: Ranks, screen: Screen) -> Prepared:
    """The data of a recipe; rank 0 prepares it, the others wait and find it in the cache."""

    def show(at: Progress) -> None:
        screen.preparing(at.stage, at.done_bytes, at.total_bytes)

    if not ranks.leads:
        group.agreed(ranks, None)
    cache = None if recipe.data.cache is None else Path(recipe.data.cache)
    data = prepare(recipe.data, recipe.tokenizer, task=recipe.task, progress=show, cache=cache)
    if ranks.leads:
        group.agreed(ranks, None)
    return data


def decided_job(
    recipe: Recipe, data: Prepared, run: RunDir, here: Here, *, decided: Decision | None = None
) -> Job:
    """The job of a recipe, all but its horizon decided, or ``decided`` by an earlier attempt.

    Torch computes in the recipe's threads from here on.
    """
    decision, shape = decide_parts(recipe, data, here.machine)
    # rank 0's on all ranks: what was measured may have come out otherwise elsewhere
    decision = decided or _decision(group.agreed(here.ranks, _plain(decision)))
    torch.set_num_threads(known(decision.recipe.train.threads))
    return make_job(decision, data, shape, run, here)


def _restored(job: Job) -> tuple[TrainState, list[tuple[Committed, str]]]:
    """The state of the newest whole checkpoint, and those that were passed over, and why.

    Rank 0 chooses and the others follow: on a network disk they might see different ones.
    """
    root, rejected = job.run.checkpoints, list[tuple[Committed, str]]()
    found = None
    if job.ranks.leads:
        sweep(root)
        found = newest_verified(root, rejected=lambda c, why: rejected.append((c, why)))
    chosen = group.agreed(job.ranks, found[0].path.name if found else None)
    if chosen is None:
        return new_state(job), rejected
    state = new_state(job, weights=False)
    state.restore(found[1] if found is not None else load(named(root, chosen)))
    return state, rejected


def _train(
    job: Job, state: TrainState, loss_of: LossOf, here: Here, announce: Callable[[Ledger], None]
) -> Outcome:
    """Open the record, run, and leave the record saying how it ended."""
    record = Record.open(job.run, from_step=state.step) if here.ranks.leads else None
    ledger, status = Ledger(job, record, here), "failed"
    try:
        announce(ledger)
        with kernels(job):
            outcome = run(job, state, loss_of, ledger)
        status = outcome.status
        return outcome
    except Diverged:
        status = "diverged"
        raise
    finally:
        here.screen.close()
        ledger.close(status)


@contextmanager
def _holding(run_dir: RunDir, ranks: Ranks) -> Iterator[None]:
    """Be the run's one writer, and leave the group of ranks behind."""
    done = False
    try:
        with locked(run_dir) if ranks.leads else nullcontext():
            yield
        done = True
    finally:
        group.leave(ranks, done=done)


def _here(recipe: Recipe, screen: Screen, *, profile: bool) -> Here:
    if profile:
        prepare_profiler()
    machine, device = this_machine(), recipe.train.device
    if device == "auto":
        device = "cuda" if machine.gpu else "cpu"
    if device == "cpu":
        keep_memory()
    ranks = group.join(device)
    return Here(machine, ranks, screen if ranks.leads else NoScreen(), profile)


def _said(job: Job) -> str:
    n = job.shape
    why = {line.key: f" ({line.reason})" for line in job.explained}
    sizes = f"{n.family} decoder, depth {n.depth}, width {n.width}"
    if n.family == "ngrams":
        sizes = f"n-grams of up to {n.width} tokens, {n.words} words in {n.buckets} buckets"
    return (
        f"{sizes}, context {n.context}, "
        f"{job.recipe.train.precision} on {job.machine.summary()}{why.get('train.precision', '')}"
    )


def _write_decided(job: Job, asked: dict[str, Explained]) -> None:
    """resolved.yaml, environment.json and data.json: what a resume, and a reader, go by."""
    lines = {**asked, **{line.key: line for line in job.explained}}
    facts = {
        "fingerprint": job.data.fingerprint,
        "tokenizer": job.data.tokenizer.fingerprint,
        "splits": {
            name: {"tokens": s.n_tokens, "documents": s.n_documents, "bytes": s.n_bytes}
            for name, s in job.data.splits.items()
        },
        "labels": job.data.labels and asdict(job.data.labels),
        "audit": job.data.audit,
        "fitted": job.fitted,
    }
    if isinstance(job.recipe.model, Pretrained):
        path = job.recipe.model.path
        facts["model"] = {"path": path, "sha256": weights_digest(path)}
    about = environment(job.machine, threads=known(job.recipe.train.threads))
    about["precision"] = job.recipe.train.precision
    resolved = _plain(Decision(job.recipe, tuple(lines.values())))
    write_text_atomic(job.run.data, json.dumps(facts, indent=1))
    write_text_atomic(job.run.environment, json.dumps(about, indent=1))
    # Last, for its presence says that all is decided.  JSON is YAML, and says each value exactly.
    write_text_atomic(job.run.resolved, json.dumps(resolved, indent=1))


def read_resolved(run_dir: RunDir) -> Decision:
    """What was decided when the run began."""
    return _decision(YAML(typ="safe").load(run_dir.resolved.read_text()))


def _plain(decision: Decision) -> dict[str, Any]:
    """A decision as JSON can hold it."""
    lines = [line._asdict() for line in decision.explained]
    for line in lines:
        if not isinstance(line["value"], int | float | str | None | list):
            line["value"] = str(line["value"])
    return {"recipe": config.to_dict(decision.recipe), "explained": lines}


def _decision(plain: Mapping[str, Any]) -> Decision:
    lines = tuple(Explained(**line) for line in plain["explained"])
    return Decision(config.recipe_from_dict(plain["recipe"]), lines)


def check_same_data(run_dir: RunDir, data: Prepared) -> None:
    """Raise ``RunError`` where the data is not what the run began with."""
    if json.loads(run_dir.data.read_text())["fingerprint"] != data.fingerprint:
        raise RunError(
            f"the data of {run_dir.path} has changed since the run began, so it cannot go on "
            "exactly. Put the old files back, or start again with: "
            f"wellfit train {run_dir.recipe} --run DIR"
        )


def _check_same_model(run_dir: RunDir, recipe: Recipe) -> None:
    """Frozen weights are not in a checkpoint, so their files must be as they were."""
    if not isinstance(recipe.model, Pretrained) or recipe.model.lora is None:
        return
    recorded = json.loads(run_dir.data.read_text())["model"]
    if weights_digest(recipe.model.path) != recorded["sha256"]:
        raise RunError(
            f"the weights in {recipe.model.path} have changed since the run began, and it trains "
            "beside them. Put the old files back, or start a new run"
        )
