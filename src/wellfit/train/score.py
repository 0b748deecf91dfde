"""Models put to work after training: scored on text, or made to write."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from wellfit.config import recipe_from_dict
from wellfit.data import Blocks, eval_blocks, prepare_for_eval
from wellfit.errors import RunError
from wellfit.evaluate import Measure, token_scorer
from wellfit.model import Decoder, generate, read_published
from wellfit.store import Evaluation, Record, RunDir, RunLock
from wellfit.store import Split as SplitName
from wellfit.tokenizer import Tokenizer, load_tokenizer
from wellfit.train.again import Again, open_again
from wellfit.train.learn import unit_of
from wellfit.train.measure import baseline_for, scorer_of
from wellfit.train.samples import first_token


class Sampling(NamedTuple):
    """How tokens are drawn."""

    tokens: int
    temperature: float
    top_k: int | None
    top_p: float | None
    seed: int


class Opened(NamedTuple):
    """A model with its tokenizer, and how it is called."""

    model: Decoder
    tokenizer: Tokenizer
    step: int | None


def score_run(path: Path, split: SplitName) -> dict[str, Any]:
    """Measure a run's chosen model on a split of its own data, whole, in float32.

    A look at the test split is written into the run's record before it happens.
    """
    if not (path / "run.db").is_file() and (path / "config.json").is_file():
        raise RunError(f"{path} is a model and has no splits of its own; add --data PATH")
    again = open_again(path)
    if split not in again.data.splits:
        raise RunError(
            f"{path} has no {split} split (data.split.{split} is 0 or null); it has "
            f"{', '.join(sorted(again.data.splits))}"
        )
    if split == "test":
        _write_down_look(path, again.step)
    evaluation = _measured(again, split)
    baselines = dict(baseline_for(again.recipe, again.data)(_blocks(again, split)).losses)
    return _as_result(str(path), evaluation, split, again.recipe.task.kind, baselines)


def score_text(target: Path, text: Path) -> dict[str, Any]:
    """Measure a model on a text that it may never have seen; there is no train split to count."""
    opened = open_model(target)
    data = recipe_from_dict({"data.path": str(text), "train.budget": "1 step"}).data
    split = prepare_for_eval(data, opened.tokenizer).splits["test"]
    blocks = eval_blocks(split, context=opened.model.shape.context)
    device = _device()
    measure = Measure(token_scorer(opened.model.to(device), device=device), opened.tokenizer)
    evaluation = measure(blocks, "test", basis="full split", step=opened.step or 0)
    return _as_result(str(target), evaluation, str(text), "language-model", None)


def stream_text(target: Path, prompt: str, how: Sampling) -> Iterator[str]:
    """What the model writes, in pieces that can be printed as they come."""
    opened = open_model(target)
    start = (
        [int(i) for i in opened.tokenizer.encode(prompt)]
        if prompt
        else first_token(opened.tokenizer)
    )
    written: list[int] = []
    shown = ""
    ids = generate(
        opened.model,
        start,
        n_tokens=how.tokens,
        temperature=how.temperature,
        top_k=how.top_k,
        top_p=how.top_p,
        seed=how.seed,
        stop_id=opened.tokenizer.eos_id,
    )
    yield prompt
    for token in ids:
        written.append(token)
        text = opened.tokenizer.decode(np.array(written))
        if text.endswith("\N{REPLACEMENT CHARACTER}"):
            continue  # the middle of a character: its last byte comes with the next token
        yield text[len(shown) :]
        shown = text
    yield opened.tokenizer.decode(np.array(written))[len(shown) :] if written else ""


def open_model(target: Path) -> Opened:
    """A run's chosen model, or a model in published layout.  Raises ``RunError`` for neither."""
    run = RunDir(target.absolute())
    if run.model.is_dir():
        return Opened(read_published(run.model), load_tokenizer(run.model), None)
    if run.db.is_file():
        again = open_again(target)
        return Opened(again.model, again.data.tokenizer, again.step)
    if (target / "config.json").is_file():
        return Opened(read_published(target), load_tokenizer(target), None)
    raise RunError(
        f"{target} is neither a run (it holds no run.db) nor a model (it holds no config.json). "
        "List runs with: wellfit runs ls"
    )


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _measured(again: Again, split: SplitName) -> Evaluation:
    device, recipe = _device(), again.recipe
    scorer = scorer_of(recipe, again.data, again.model.to(device), device=device)
    measure = Measure(scorer, again.data.tokenizer, unit=unit_of(recipe.task))
    return measure(_blocks(again, split), split, basis="full split", step=again.step)


def _blocks(again: Again, split: SplitName) -> Blocks:
    found, context = again.data.splits[split], again.model.shape.context
    return eval_blocks(found, context=context, long=again.recipe.data.long)


def _write_down_look(path: Path, step: int) -> None:
    run = RunDir.open(path)
    with RunLock(run):
        record = Record.open(run, from_step=None)
        record.event("looked-at-test", step, checkpoint_step=step, by="wellfit eval")
        record.close()


def _as_result(
    name: str, evaluation: Evaluation, split: str, task: str, baselines: dict[str, float] | None
) -> dict[str, Any]:
    kept = evaluation.as_dict()
    return {
        "run": name,
        **kept,
        "split": split,
        "task": task,
        "baselines": baselines,
    }
