"""Fill in every auto value of a recipe, with the reason for each.

Two rounds: what follows from the data and the machine alone, and what follows from how long a
step takes.  The result is a recipe without an ``auto`` in it, so a resumed run decides nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from wellfit.config import (
    Classify,
    Explained,
    PretrainedTokenizer,
    Recipe,
    Regress,
    known,
    recipe_from_dict,
    to_dict,
)
from wellfit.config.optim import Lbfgs
from wellfit.config.train import MeanAverage
from wellfit.data import Feed, Prepared, train_feed
from wellfit.errors import ConfigError
from wellfit.model import Choice, Resolved, Shape, resolve_model
from wellfit.plan import gpu, laws
from wellfit.plan.machine import Machine, matmul_flops_per_s
from wellfit.tokenizer import local_folder
from wellfit.units import Duration


@dataclass(frozen=True, slots=True)
class Decision:
    """A recipe with some of its auto values filled in, and why."""

    recipe: Recipe
    explained: tuple[Explained, ...]

    def with_choices(self, choices: Mapping[str, Choice]) -> Decision:
        """The same with these dotted keys set."""
        plain = to_dict(self.recipe)
        lines = []
        for key, choice in choices.items():
            section, _, name = key.rpartition(".")
            node: dict[str, Any] = plain
            for part in section.split("."):
                node = node[part]
            node[name] = str(choice.value) if isinstance(choice.value, Duration) else choice.value
            lines.append(Explained(key, node[name], "auto", choice.reason, choice.source))
        return Decision(recipe_from_dict(plain), (*self.explained, *lines))


class Rehearsal(NamedTuple):
    """What was measured before step 0."""

    step_s: float  # one optimizer step
    evaluation_s: float  # one evaluation of both splits, with its sample
    spent_s: float  # from the start of the run to the end of the rehearsal
    compiled: bool | str  # as train.compile has it


def decide_parts(recipe: Recipe, data: Prepared, machine: Machine) -> tuple[Decision, Shape]:
    """The first round: device, precision, shape, batch, rates.

    What data and tokenizer leave to the files (their formats, the size of a learned vocabulary)
    stays as asked, because the same files give the same answer; the size is explained.

    Raises ``ConfigError`` with every problem found.
    """
    anywhere = "the same files from anywhere"
    choices = {"data.path": Choice(_full(recipe.data.path), anywhere, "")}
    device = recipe.train.device
    if device == "auto":
        device = "cuda" if machine.gpu else "cpu"
        why = f"torch finds {machine.gpu or 'no GPU'}"
        choices["train.device"] = Choice(device, why, "machine")
    if device == "cuda" and machine.gpu is None:
        what = "train.device: cuda, but torch finds no GPU here; write train.device: cpu"
        raise ConfigError([what])
    shape, sizes = model_of(recipe, data)
    memory = machine.gpu_memory_bytes if device == "cuda" else machine.memory_bytes
    if problems := gpu.kernel_problems(recipe, shape, machine, device):
        raise ConfigError(problems)
    laws.check_memory(recipe, shape, memory_bytes=memory)
    if recipe.train.threads == "auto":
        why = f"{machine.cores} cores are usable by this process"
        choices["train.threads"] = Choice(machine.cores, why, "machine")
    if recipe.train.precision == "auto":
        choices["train.precision"] = _precision(machine, device)
    choices |= _kernels(recipe, device)
    checkpointed = recipe.train.checkpoint_activations
    if checkpointed == "auto":
        choice = laws.checkpoint_activations(shape, memory_bytes=memory)
        choices["train.checkpoint_activations"], checkpointed = choice, choice.value
    if isinstance(recipe.tokenizer, PretrainedTokenizer):
        path = str(local_folder(recipe.tokenizer.path).absolute())
        choices["tokenizer.path"] = Choice(path, anywhere, "")
    choices |= sizes
    batch = recipe.train.batch
    if isinstance(recipe.optim, Lbfgs):
        long, packed = recipe.data.long, recipe.data.pack
        feed = train_feed(data.splits["train"], context=shape.context, long=long, packed=packed)
        choices["train.batch"] = laws.whole_batch(batch, feed.n_rows)
        batch = feed.n_rows
    elif batch == "auto":
        choices["train.batch"] = laws.batch(shape, data.splits["train"])
        batch = int(choices["train.batch"].value)
    if recipe.train.micro_batch == "auto":
        choices["train.micro_batch"] = laws.micro_batch(
            shape, batch, memory_bytes=memory, checkpointed=checkpointed
        )
    if recipe.evaluate.tokens == "auto":
        choices["evaluate.tokens"] = laws.evaluate_tokens(shape, data.splits["val"])
    choices |= laws.rates(recipe, shape)
    return Decision(recipe, _vocabulary(recipe, data)).with_choices(choices), shape


def model_of(recipe: Recipe, data: Prepared) -> Resolved:
    """The shape of the recipe's model for this data, and what was chosen about it.

    Raises ``ConfigError`` with every problem found.
    """
    vocab, task = data.tokenizer.vocab_size, recipe.task
    if not isinstance(task, Classify | Regress):
        return resolve_model(recipe.model, vocab=vocab)
    assert data.labels is not None, task
    return resolve_model(recipe.model, vocab=vocab, outputs=len(data.labels.names), pool=task.pool)


def decide_horizon(decision: Decision, feed: Feed, seen: Rehearsal) -> Decision:
    """The second round: how many steps, how often to evaluate, on how much.

    From here on the run is a function of its recipe: nothing depends on the clock but when a
    checkpoint is written.
    """
    recipe = decision.recipe
    choices: dict[str, Choice] = {}
    if recipe.train.compile == "auto":
        why = "the fastest step of those tried, and the run is long enough"
        why = why if seen.compiled else "too short a run to pay for compiling, or no gain"
        choices["train.compile"] = Choice(seen.compiled, why, "measured")
    budget, batch = recipe.train.budget, known(recipe.train.batch)
    looks = laws.EVALUATIONS
    match budget.unit:
        case "steps":
            steps, reason = int(budget.amount), ""
        case "tokens":
            per_step = batch * feed.n_targets / feed.n_rows
            steps = math.ceil(budget.amount / per_step)
            reason = f"{budget} in steps of {per_step:.0f} targets"
        case "epochs":
            steps = math.ceil(budget.amount * feed.n_rows / batch)
            reason = f"{budget} of {feed.n_rows} rows in steps of {batch}"
        case "seconds":
            left_s = budget.amount - seen.spent_s - looks * seen.evaluation_s
            steps = max(1, int(left_s / seen.step_s))
            reason = (
                f"{budget} less {seen.spent_s:.1f} s of preparation and {looks} evaluations of "
                f"{seen.evaluation_s:.2f} s, at {seen.step_s * 1e3:.1f} ms a step as measured"
            )
    if reason:
        choices["train.budget"] = Choice(Duration(steps, "steps"), reason, "measured")
    spans: dict[str, Any] = {f"schedule.{name}": value for name, value in recipe.schedule}
    if recipe.evaluate.every == "auto":
        choices["evaluate.every"] = laws.evaluate_every(steps)
    else:
        spans["evaluate.every"] = recipe.evaluate.every
    if recipe.checkpoint.every.unit != "seconds":  # the one span that may go by the clock
        spans["checkpoint.every"] = recipe.checkpoint.every
    if isinstance(recipe.regularize.average, MeanAverage):
        spans["regularize.average.every"] = recipe.regularize.average.every
    for key, value in spans.items():
        asked = value if isinstance(value, tuple) else (value,)
        if any(isinstance(span, Duration) and span.unit != "steps" for span in asked):
            steps_of = partial(in_steps, recipe=recipe, feed=feed, step_s=seen.step_s)
            out = [str(steps_of(s)) if isinstance(s, Duration) else s for s in asked]
            reason = ", ".join(map(str, asked))
            choices[key] = Choice(out if isinstance(value, tuple) else out[0], reason, "measured")
    return decision.with_choices(choices)


def in_steps(span: Duration, *, recipe: Recipe, feed: Feed, step_s: float) -> Duration:
    """A duration as a number of steps, at least 1."""
    batch = known(recipe.train.batch)
    match span.unit:
        case "steps":
            return span
        case "tokens":
            steps = span.amount * feed.n_rows / (batch * feed.n_targets)
        case "epochs":
            steps = span.amount * feed.n_rows / batch
        case "seconds":
            steps = span.amount / step_s
    return Duration(max(1, round(steps)), "steps")


def _vocabulary(recipe: Recipe, data: Prepared) -> tuple[Explained, ...]:
    """The size that a learned vocabulary came to."""
    if recipe.tokenizer.kind != "bpe" or recipe.tokenizer.vocab != "auto":
        return ()
    why = "about the root of the bytes of train, as a power of two"
    return (Explained("tokenizer.vocab", data.tokenizer.vocab_size, "auto", why, "docs/data.md"),)


def _kernels(recipe: Recipe, device: str) -> dict[str, Choice]:
    """Whether to compile, where that follows without measuring; and what a GPU's sums are worth."""
    train = recipe.train
    unordered = "on this GPU sums come in no fixed order: a resumed run is equal up to rounding"
    timed = "deterministic: compiled kernels are chosen by their speed at the moment"
    found = {} if train.deterministic else {"deterministic": Choice(False, unordered, "machine")}
    if train.compile == "auto" and train.deterministic:
        found["compile"] = Choice(False, timed, "train.deterministic")
    elif train.compile == "auto" and train.precision == "fp8":
        found["compile"] = Choice(True, "fp8 is slower than bf16 without", "nanochat")
    return {f"train.{key}": choice for key, choice in found.items() if device == "cuda"}


def _precision(machine: Machine, device: str) -> Choice:
    """bfloat16 where the hardware has it and it is faster here; measured, not assumed."""
    if device == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return Choice("bf16", "this GPU has bfloat16", "machine")
        return Choice("fp32", "this GPU has no bfloat16", "machine")
    if not {"amx_bf16", "avx512_bf16"} & set(machine.cpu_flags):
        return Choice("fp32", "this processor has no bfloat16 arithmetic", "machine")
    # small products say the same as large ones, in an eighth of the time
    fp32 = matmul_flops_per_s(torch.float32, device=device, size=512)
    gain = matmul_flops_per_s(torch.bfloat16, device=device, size=512) / fp32
    reason = f"bfloat16 products ran {gain:.1f} times as fast as float32 here"
    return Choice("fp32" if gain < laws.BF16_PAYS else "bf16", reason, "measured")


def _full(path: Any) -> Any:
    """One path, several, or several by column, from the root of the file system."""
    if isinstance(path, dict):
        return {column: _full(inner) for column, inner in path.items()}
    return str(Path.cwd() / path) if isinstance(path, str) else [_full(p) for p in path]
