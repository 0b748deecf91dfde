"""Models measured after training, on their own splits or on text they may never have seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from wellfit.config import LanguageModel, recipe_from_dict
from wellfit.data import Blocks, Prepared, Split, eval_blocks, prepare
from wellfit.errors import ConfigError, RunError
from wellfit.evaluate.benchmarks import BenchmarkName, answered, read_benchmark
from wellfit.evaluate.likelihood import Reader, loss_interval, perplexities, strided
from wellfit.evaluate.losses import score_blocks
from wellfit.store import Evaluation, Record, RunDir, locked
from wellfit.store import Split as SplitName
from wellfit.tokenizer import Tokenizer
from wellfit.train.again import open_again, open_model
from wellfit.train.learn import loss_unit_of
from wellfit.train.outcomes import Judge, write_and_compare


def score_run(path: Path, split: SplitName, *, stride: int | None = None) -> dict[str, Any]:
    """Measure a run's chosen model on a split of its own data, whole, in float32.

    With ``stride`` each document is read alone, by a context that moves on so many tokens at a
    time.  A look at the test split is written into the run's record before it happens.
    """
    if not (path / "run.db").is_file() and (path / "config.json").is_file():
        raise RunError(f"{path} is a model and has no splits of its own; add --data PATH")
    recipe, data, model, step = open_again(path)
    if split not in data.splits:
        raise RunError(
            f"{path} has no {split} split (data.split.{split} is 0 or null); it has "
            f"{', '.join(sorted(data.splits))}"
        )
    if stride is not None:
        _check_slides(data.splits[split], model, stride)
    if split == "test":
        _write_down_look(path, step)
    if stride is not None:
        found = _strided(data, model, split, stride, step)
        return {**found, "run": str(path), "baselines": None}
    judge, context = Judge(recipe, data), model.shape.context
    blocks = eval_blocks(data.splits[split], context=context, long=recipe.data.long)
    found = _measured(judge, model, blocks, step=step)
    return {**found, "run": str(path), "baselines": dict(judge.baseline(blocks).losses)}


def score_text(target: Path, text: Path, *, stride: int | None = None) -> dict[str, Any]:
    """Measure a model on data that it may never have seen; there is no train split to count.

    A run reads it as it read its own; a model directory as plain text.  ``stride`` as above.
    """
    opened = open_model(target)
    if opened.recipe is None:
        _check_writes(target, opened.model)
    plain = recipe_from_dict({"data.path": str(text), "train.budget": "1 step"})
    recipe, context = opened.recipe or plain, opened.model.shape.context
    asked = recipe.data.model_copy(update={"path": str(text)})
    data = prepare(asked, opened.tokenizer, task=recipe.task, labels=opened.labels)
    if stride is not None:
        _check_slides(data.splits["test"], opened.model, stride)
        found = _strided(data, opened.model, "test", stride, opened.step)
    else:
        blocks = eval_blocks(data.splits["test"], context=context, long=recipe.data.long)
        found = _measured(Judge(recipe, data), opened.model, blocks, step=opened.step)
    return {**found, "run": str(target), "split": str(text), "baselines": None}


def score_benchmark(target: Path, path: Path, name: BenchmarkName) -> dict[str, Any]:
    """Let a language model answer the questions in a file by what it finds likely."""
    benchmark = read_benchmark(path, name)
    opened = open_model(target)
    _check_writes(target, opened.model)
    task = opened.recipe.task.kind if opened.recipe else "language-model"
    found = answered(_reader(opened.model, opened.tokenizer), benchmark)
    return {"run": str(target), "step": opened.step, "split": str(path), "task": task, **found}


def _check_writes(target: Path, model: Any) -> None:
    if model.shape.outputs is not None:
        raise RunError(
            f"{target} gives texts labels and finds no text likely; name a language model, or "
            "measure it on the data of its run: wellfit eval RUN --split val"
        )


def _check_slides(split: Split, model: Any, stride: int) -> None:
    context = model.shape.context
    if split.learned is not None or split.labels is not None:
        raise ConfigError(["--stride is for plain text, and this run reads examples; leave it out"])
    if stride > context:
        raise ConfigError([f"--stride {stride}: write 1 to {context}, the context of this model"])


def _reader(model: Any, tokenizer: Tokenizer) -> Reader:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return Reader(model.to(device), tokenizer, model.shape.context, device)


def _strided(data: Prepared, model: Any, name: SplitName, stride: int, step: int) -> dict[str, Any]:
    """Loss and perplexities of plain text, each document read alone."""
    split, tokenizer = data.splits[name], data.tokenizer
    ended = np.split(split.tokens, split.doc_starts[1:])
    documents = [ids[:-1] if len(ids) and ids[-1] == tokenizer.eos_id else ids for ids in ended]
    windows = strided(_reader(model, tokenizer), documents, stride=stride)
    n_words = sum(len(tokenizer.decode(ids).split()) for ids in documents)
    metrics = perplexities(windows, word=n_words, byte=split.n_bytes)
    ends = loss_interval(windows)
    found = Evaluation(
        step=step,
        split=name,
        basis="full split",
        checkpoint_step=step,
        nats=windows.nats,
        counts=windows.counts,
        n_bytes=split.n_bytes,
        n_documents=len(documents),
        loss_lo=ends.lo,
        loss_hi=ends.hi,
        metrics={key: metric.as_dict() for key, metric in metrics.items()},
    )
    unit = loss_unit_of(LanguageModel())
    return {**found.as_dict(), "task": "language-model", "loss_unit": unit, "stride": stride}


def _measured(judge: Judge, model: Any, blocks: Blocks, *, step: int) -> dict[str, Any]:
    """Loss and metrics; where the task writes, what it writes for every example."""
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    scores = score_blocks(judge.scorer(model), blocks)
    written = write_and_compare(judge, model, blocks, most=None).metrics
    metrics = {**judge.metrics(blocks, scores), **written}
    found = judge.evaluation(blocks, scores, basis="full split", step=step, metrics=metrics)
    task = judge.recipe.task
    return {**found.as_dict(), "task": task.kind, "loss_unit": loss_unit_of(task)}


def _write_down_look(path: Path, step: int) -> None:
    run = RunDir.open(path)
    with locked(run):
        record = Record.open(run, from_step=None)
        record.event("looked-at-test", step, checkpoint_step=step, by="wellfit eval")
        record.close()
