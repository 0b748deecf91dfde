"""The laws behind auto values that are not sizes of the model; each gives a value and a reason.

Numbers that were tuned name their evidence: an entry of LOG.md.
"""

from __future__ import annotations

import math

from wellfit.config import Classify, Ngrams, Pretrained, Recipe
from wellfit.config.optim import Lean, Muon
from wellfit.data import Split
from wellfit.errors import ConfigError
from wellfit.model import Choice, Shape
from wellfit.units import Duration, format_bytes, format_count

EVALUATIONS = 12  # looks at train and val over a run
LABELLED_BATCH = 32
MOST_EXAMPLES = 1000  # of val that are measured during training
BF16_PAYS = 1.3  # times as fast as float32; below that, rounding is not worth it
# Of training, before compiling is tried: it takes tens of seconds, and gains a few percent on a
# CPU (LOG.md, 2026-11-21) and more on a GPU (nanoGPT's README: 250 to 135 ms a step).
COMPILE_PAYS_S = {"cpu": 900.0, "cuda": 180.0}
# A compiled step shorter than this may wait for its kernels to be started: some 500 of them, 5 to
# 10 us each, are a tenth of it.  Whether CUDA graphs help is then measured.
GRAPHS_MAY_PAY_S = 0.05
_MEMORY_FRAC = 0.5  # of what there is, for activations
_BYTES_PER_ACTIVATION = 4  # bfloat16 kept for backward, and its gradient


def batch(shape: Shape, train: Split) -> Choice:
    """Sequences per step: few for a small model, because many small steps learn more.

    2048 tokens at 2M matrix parameters, growing with their square root; of labelled texts 32,
    which have a target each.  Never so many that an epoch has fewer than 20 steps.
    """
    if train.labels is not None:
        texts = max(1, min(LABELLED_BATCH, train.n_documents // 20))
        reason = f"{LABELLED_BATCH} texts, at most a twentieth of the train split"
        return Choice(texts, reason, "BERT, arXiv:1810.04805, appendix A.3 (16 or 32)")
    wanted = 2048 * math.sqrt(shape.matmul_parameters / 2e6)
    tokens = 2 ** round(math.log2(min(max(wanted, 1024), 2**19)))
    sequences = max(1, tokens // shape.context)
    most = max(1, train.n_tokens // (20 * shape.context))
    reason = f"{tokens} tokens a step for {shape.matmul_parameters / 1e6:.2g}M matrix parameters"
    if most < sequences:
        return Choice(most, "a twentieth of the train split", "plan.laws.batch")
    return Choice(sequences, reason, "LOG.md, 2026-11-21")


def whole_batch(asked: int | str, n_rows: int) -> Choice:
    """Every row of the train split at each step, as a line search needs.

    Raises ``ConfigError`` for another batch.
    """
    needs = "lbfgs needs the whole train split at each step"
    if asked not in ("auto", n_rows):
        hint = "write train.batch: auto, or another optim.kind"
        raise ConfigError([f"train.batch: {needs}, {n_rows} rows; {hint}"])
    return Choice(n_rows, needs, "plan.laws")


def check_memory(recipe: Recipe, shape: Shape, *, memory_bytes: int) -> None:
    """Raise ``ConfigError`` for a model whose state alone does not fit.

    Weights and gradients in float32, and two moments: 16 bytes for each parameter, or 12.
    """
    parameters = shape.matmul_parameters + (0 if shape.tied else shape.vocab * shape.width)
    lean = isinstance(recipe.optim, Lean) and recipe.optim.state == "bf16"
    need_bytes = (12 if lean else 16) * parameters
    if need_bytes > memory_bytes:
        size = f"{format_count(parameters)} parameters at depth {shape.depth} and width"
        state = f"weights, gradients and optimizer take {format_bytes(need_bytes)}"
        there = f"there are {format_bytes(memory_bytes)}. Lower model.depth or model.width"
        raise ConfigError([f"model: {size} {shape.width}; {state}, and {there}"])


def activation_bytes(shape: Shape, *, checkpointed: bool) -> int:
    """Memory that one sequence needs between forward and backward, roughly.

    About 12 vectors of the width, 3 of the MLP and the attention weights are kept for each
    block, and the logits three times over (themselves, in float32, and their gradient); with
    checkpoints the input of each block, and the rest of one.
    """
    kept = 12 * shape.width + 3 * shape.mlp_width + shape.heads * min(shape.context, 512)
    kept = kept + shape.depth * shape.width if checkpointed else shape.depth * kept
    return shape.context * (kept * _BYTES_PER_ACTIVATION + 12 * shape.vocab)


def checkpoint_activations(shape: Shape, *, memory_bytes: int) -> Choice:
    """Where not even one sequence fits in half the memory, and there are blocks to compute again.

    Before that, smaller micro-batches make room for nothing.
    """
    each = activation_bytes(shape, checkpointed=False)
    is_large = each > _MEMORY_FRAC * memory_bytes and shape.family not in ("encoder", "ngrams")
    room = f"half of {format_bytes(memory_bytes)}"
    reason = f"one sequence needs about {format_bytes(each)}, and there is {room}"
    return Choice(is_large, reason, "plan.laws.checkpoint_activations")


def micro_batch(shape: Shape, batch: int, *, memory_bytes: int, checkpointed: bool) -> Choice:
    """The largest even share of the batch whose activations fit in half the memory."""
    each = activation_bytes(shape, checkpointed=checkpointed)
    fit = max(1, int(_MEMORY_FRAC * memory_bytes / each))
    reason = f"about {format_bytes(each)} a sequence, {format_bytes(memory_bytes)} in all"
    parts = math.ceil(batch / fit)
    return Choice(math.ceil(batch / parts), reason, "plan.laws.micro_batch")


# Peak rates of what is not Muon, from short runs of each at four rates or so (LOG.md, 2026-11-21):
# at width 384 of those whose steps have one size, falling with the root of the width; the rest
# as they are.
_RATES_AT_384 = {
    "adamw": 1e-3,  # nanoGPT's
    "adam": 2e-3,
    "nadam": 2e-3,
    "radam": 4e-3,
    "adamax": 6e-3,
    "schedule-free-adamw": 6e-3,
    "lion": 6e-4,
    "rmsprop": 1.5e-3,
}
_RATES = {"sgd": 0.3, "adagrad": 0.03, "adadelta": 3.0, "adafactor": 0.1, "lbfgs": 1.0}
# Of the rate from random weights.  BERT's 2e-5 to 5e-5 (arXiv:1810.04805, appendix A.3) and LoRA's
# 2e-4 (arXiv:2106.09685, table 11) are about these shares at width 768.
_TUNING_FRAC, _LORA_FRAC = 1 / 30, 1 / 5
_DECAYS = {"adamw": 0.1, "schedule-free-adamw": 0.1, "lion": 0.3}  # usual; of the others 0


def rates(recipe: Recipe, shape: Shape) -> dict[str, Choice]:
    """Learning rates and weight decay of the chosen optimizer, where they are auto."""
    optim, measured = recipe.optim, "LOG.md, 2026-11-21"
    if isinstance(recipe.model, Ngrams) and optim.kind == "sgd":
        rate = 4.0 if isinstance(recipe.task, Classify) else 1.0
        reason = "the best of a few for n-grams: 3 to 10 for classes, 1 for numbers"
        found = {"lr": Choice(rate, reason, measured)}
    elif isinstance(optim, Muon):
        rate = round(0.02 * math.sqrt(192 / shape.width), 6)
        found = {
            "lr": Choice(0.03, "0.02 to 0.04 were alike, 0.01 clearly worse", measured),
            "adam_lr": Choice(rate, "0.02 at width 192, falling with its root", measured),
        }
    elif optim.kind in _RATES_AT_384:
        rate = _RATES_AT_384[optim.kind]
        reason = f"{rate:g} at width 384, falling with its root"
        found = {"lr": Choice(round(rate * math.sqrt(384 / shape.width), 6), reason, measured)}
    else:
        reason = "the best of a few that were tried, or its authors'"
        found = {"lr": Choice(_RATES[optim.kind], reason, measured)}
    if isinstance(recipe.model, Pretrained):
        frac = _LORA_FRAC if recipe.model.lora else _TUNING_FRAC
        found = {k: _slower(choice, frac) for k, choice in found.items()}
    asked = dict(optim)
    out = {f"optim.{key}": choice for key, choice in found.items() if asked[key] == "auto"}
    if recipe.regularize.weight_decay == "auto":
        decay = _DECAYS.get(optim.kind, 0.0)
        out["regularize.weight_decay"] = Choice(decay, "the optimizer's usual value", "LOG.md")
    return out


def _slower(choice: Choice, frac: float) -> Choice:
    """A rate for weights that have learned already."""
    reason = f"{choice.reason}; times {frac:.2g} to go on from published weights"
    return Choice(float(f"{choice.value * frac:.2g}"), reason, "BERT, LoRA")


def evaluate_every(steps: int) -> Choice:
    """Twelve looks over the run."""
    every = max(1, round(steps / EVALUATIONS))
    return Choice(Duration(every, "steps"), f"{EVALUATIONS} evaluations over the run", "plan.laws")


def evaluate_tokens(shape: Shape, val: Split) -> Choice:
    """At least 64 blocks, so that the paired bootstrap has something to resample.

    Examples are blocks of their own: a thousand of them.
    """
    if val.learned is None and val.labels is None:
        tokens = min(val.n_targets, 64 * shape.context)
        return Choice(max(1, tokens), "64 blocks of the context, or all there are", "plan.laws")
    share = min(1.0, MOST_EXAMPLES / val.n_documents)
    tokens = max(1, int(val.n_targets * share))
    return Choice(tokens, f"{MOST_EXAMPLES} examples, or all there are", "plan.laws")
