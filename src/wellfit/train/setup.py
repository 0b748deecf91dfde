"""From a recipe to a finished run, and from a run directory to where it was left."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from ruamel.yaml import YAML

from wellfit.checkpoint import Committed, load, named, newest_verified, sweep
from wellfit.config import (
    Explained,
    Loaded,
    Pretrained,
    Recipe,
    dump_commented,
    explain,
    known,
    load_recipe,
    recipe_from_dict,
    to_dict,
)
from wellfit.data import (
    Prepared,
    Progress,
    eval_blocks,
    fit_counts,
    prepare,
    said_of_fit,
    train_feed,
)
from wellfit.errors import Diverged, RunError
from wellfit.model import Shape, weights_digest
from wellfit.plan import Decision, decide_horizon, decide_parts, environment, this_machine
from wellfit.plan.machine import Machine
from wellfit.report import NoScreen, Screen
from wellfit.store import Record, RunDir, locked, read_run, write_text_atomic
from wellfit.train import ranks as group
from wellfit.train.job import Job, job_loss, new_state
from wellfit.train.learn import LossOf, class_weights
from wellfit.train.ledger import Ledger
from wellfit.train.loop import Outcome, run
from wellfit.train.measure import baseline_for
from wellfit.train.outcomes import Judge
from wellfit.train.ranks import Ranks
from wellfit.train.rehearse import rehearse
from wellfit.train.state import TrainState


class Here(NamedTuple):
    """Where a run runs: the machine, the place of this process among the ranks, the screen."""

    machine: Machine
    device: str
    ranks: Ranks
    screen: Screen


def start(loaded: Loaded, path: Path, screen: Screen) -> Outcome:
    """Begin a new run in ``path`` and train it to its end, or until a signal stops it."""
    here = _here(loaded.recipe, screen)
    run_dir = RunDir.create(path) if here.ranks.leads else RunDir(path.absolute())
    return _holding(run_dir, here, lambda: _begin(loaded, run_dir, here))


def resume(path: Path, screen: Screen) -> Outcome:
    """Go on with the run in ``path`` exactly where its newest whole checkpoint is.

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
        return start(load_recipe(run_dir.recipe), path, screen)
    recipe, explained = read_resolved(run_dir)
    here = _here(recipe, screen)
    return _holding(run_dir, here, lambda: _continue(recipe, explained, run_dir, here))


def make_job(decision: Decision, data: Prepared, shape: Shape, run: RunDir, here: Here) -> Job:
    """The job of a decided recipe, with its evaluation blocks and baselines."""
    recipe = decision.recipe
    most, long = known(recipe.evaluate.tokens), recipe.data.long
    train = data.splits["train"]
    fitted = fit_counts(data.splits, context=shape.context, long=long)  # test too, before a step
    blocks = {
        split: eval_blocks(data.splits[split], context=shape.context, max_targets=most, long=long)
        for split in ("train", "val")
    }
    baseline = baseline_for(recipe, data)
    return Job(
        recipe=decision.recipe,
        explained=decision.explained,
        run=run,
        data=data,
        shape=shape,
        machine=here.machine,
        ranks=here.ranks,
        train_blocks=blocks["train"],
        val_blocks=blocks["val"],
        feed=train_feed(train, context=shape.context, long=long, packed=recipe.data.pack),
        fitted=fitted,
        weights_C=class_weights(recipe.task, data.labels, train),
        baseline=baseline,
        baselines=baseline(blocks["val"]),
        judge=Judge(recipe, data),
    )


def prepared(recipe: Recipe, here: Here) -> Prepared:
    """The data of a recipe; rank 0 prepares it, the others find it in the cache."""

    def show(at: Progress) -> None:
        here.screen.preparing(at.stage, at.done_bytes, at.total_bytes)

    cache = None if recipe.data.cache is None else Path(recipe.data.cache)
    if here.ranks.leads:
        data = prepare(recipe.data, recipe.tokenizer, task=recipe.task, progress=show, cache=cache)
    group.agreed(here.ranks, None, device=here.device)
    if here.ranks.leads:
        return data
    return prepare(recipe.data, recipe.tokenizer, task=recipe.task, cache=cache)


def _begin(loaded: Loaded, run_dir: RunDir, here: Here) -> Outcome:
    asked = {line.key: line for line in explain(loaded)}
    if here.ranks.leads:
        notes = {key: line.origin for key, line in asked.items() if line.origin != "default"}
        write_text_atomic(run_dir.recipe, dump_commented(loaded.recipe, notes))
    data = prepared(loaded.recipe, here)
    t0 = time.monotonic()
    decision, shape = decide_parts(loaded.recipe, data, here.machine)
    decision = _same_everywhere(decision, here)
    torch.set_num_threads(known(decision.recipe.train.threads))
    job = make_job(decision, data, shape, run_dir, here)
    here.screen.say(_said(job))
    if lost := said_of_fit(job.fitted, shape.context):
        here.screen.say(lost)
    rehearsed = rehearse(job, t0=t0)
    decision = decide_horizon(decision, job.feed, rehearsed.seen)
    job = replace(job, recipe=decision.recipe, explained=decision.explained)
    if here.ranks.leads:
        _write_decided(job, asked)
    rehearsal = rehearsed.seen._asdict()
    return _train(
        job,
        rehearsed.state,
        rehearsed.loss_of,
        here,
        lambda ledger: ledger.began(
            rehearsed.state, rehearsal, budget=str(loaded.recipe.train.budget)
        ),
    )


def _continue(
    recipe: Recipe, explained: tuple[Explained, ...], run_dir: RunDir, here: Here
) -> Outcome:
    done = run_dir.db.is_file() and read_run(run_dir.path).status == "finished"
    if group.agreed(here.ranks, done, device=here.device):
        here.screen.say("this run is finished: there is nothing to resume")
        return Outcome("finished", int(read_run(run_dir.path).summary()["step"]))
    data = prepared(recipe, here)
    check_same_data(run_dir, data)
    torch.set_num_threads(known(recipe.train.threads))
    decision, shape = decide_parts(recipe, data, here.machine)
    job = make_job(Decision(recipe, explained), data, shape, run_dir, here)
    _check_same_model(run_dir, recipe)
    state, rejected = _restored(job)
    here.screen.say(f"resuming at step {state.step} of {job.steps_total}")
    loss_of = job_loss(job, state.model, compiled=recipe.train.compile is True)
    return _train(job, state, loss_of, here, lambda ledger: ledger.resumed(state, rejected))


def _same_everywhere(decision: Decision, here: Here) -> Decision:
    """Rank 0's decision: what was measured may have come out otherwise elsewhere."""
    lines = [{k: _plain(v) for k, v in line._asdict().items()} for line in decision.explained]
    said: dict[str, Any] = {"recipe": to_dict(decision.recipe), "explained": lines}
    heard = group.agreed(here.ranks, said, device=here.device)
    explained = tuple(Explained(**line) for line in heard["explained"])
    return Decision(recipe_from_dict(heard["recipe"]), explained)


def _restored(job: Job) -> tuple[TrainState, list[tuple[Committed, str]]]:
    """The state of the newest whole checkpoint, and those that were passed over, and why.

    Rank 0 chooses and the others follow: on a network disk they might see different ones.
    """
    root, rejected = job.run.checkpoints, list[tuple[Committed, str]]()
    found = None
    if job.ranks.leads:
        sweep(root)
        found = newest_verified(root, rejected=lambda c, why: rejected.append((c, why)))
    chosen = group.agreed(job.ranks, found[0].path.name if found else None, device=job.device)
    if chosen is None:
        return new_state(job), rejected
    state = new_state(job, weights=False)
    state.restore(found[1] if found is not None else load(named(root, chosen)))
    return state, rejected


def _train(
    job: Job, state: TrainState, loss_of: LossOf, here: Here, announce: Callable[[Ledger], None]
) -> Outcome:
    """Open the record, run, and leave the record saying how it ended."""
    leads = here.ranks.leads
    record = Record.open(job.run, from_step=state.step) if leads else None
    ledger = Ledger(job, record, here.screen)
    status = "failed"
    try:
        announce(ledger)
        outcome = run(job, state, loss_of, ledger)
        status = outcome.status
        return outcome
    except Diverged:
        status = "diverged"
        raise
    finally:
        here.screen.close()
        ledger.close(status)


def _holding(run_dir: RunDir, here: Here, work: Callable[[], Outcome]) -> Outcome:
    """Do the work of the run's one writer, and leave the group of ranks behind."""
    done = False
    try:
        with locked(run_dir) if here.ranks.leads else nullcontext():
            outcome = work()
        done = True
        return outcome
    finally:
        group.leave(here.ranks, done=done)


def _here(recipe: Recipe, screen: Screen) -> Here:
    machine = this_machine()
    wanted = recipe.train.device
    device = wanted if wanted != "auto" else ("cuda" if machine.gpu else "cpu")
    ranks = group.join(device)
    return Here(machine, device, ranks, screen if ranks.leads else NoScreen())


def _said(job: Job) -> str:
    n = job.shape
    reasons = [line.reason for line in job.explained if line.key == "train.precision"]
    why = f" ({reasons[0]})" if reasons else ""
    sizes = f"{n.family} decoder, depth {n.depth}, width {n.width}"
    if n.family == "ngrams":
        sizes = f"n-grams of up to {n.width} tokens in {n.buckets} buckets"
    return (
        f"{sizes}, context {n.context}, "
        f"{job.recipe.train.precision} on {job.machine.summary()}{why}"
    )


def _write_decided(job: Job, asked: dict[str, Explained]) -> None:
    """resolved.yaml, environment.json and data.json: what a resume, and a reader, go by."""
    decided = {line.key: line for line in job.explained}
    lines = [decided.get(key, line) for key, line in asked.items()]
    lines += [line for key, line in decided.items() if key not in asked]
    plain = {
        "recipe": to_dict(job.recipe),
        "explained": [{k: _plain(v) for k, v in line._asdict().items()} for line in lines],
    }
    out = json.dumps(plain, indent=1)  # JSON is YAML, and says each value exactly
    threads = known(job.recipe.train.threads)
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
    write_text_atomic(job.run.data, json.dumps(facts, indent=1))
    about = {**environment(job.machine, threads=threads), "precision": job.recipe.train.precision}
    write_text_atomic(job.run.environment, json.dumps(about, indent=1))
    write_text_atomic(job.run.resolved, out)  # last: its presence says that all is decided


def read_resolved(run_dir: RunDir) -> tuple[Recipe, tuple[Explained, ...]]:
    plain = YAML(typ="safe").load(run_dir.resolved.read_text())
    lines = tuple(Explained(**line) for line in plain["explained"])
    return recipe_from_dict(plain["recipe"]), lines


def check_same_data(run_dir: RunDir, data: Prepared) -> None:
    recorded = json.loads(run_dir.data.read_text())
    if recorded["fingerprint"] != data.fingerprint:
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


def _plain(value: Any) -> Any:
    return value if isinstance(value, (int, float, str, bool, type(None), list)) else str(value)
