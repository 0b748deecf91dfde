"""Seconds of Wellfit's training steps, and of their own matrix products, in turn.

    python -m bench.steps --shape baby [--keys optim.kind=adamw ...] [--steps 8]

The steps are those of a run: its data, its decisions, its loop (``train_steps``), its optimizer.
The text is random words, so that nothing has to be had: speed does not depend on what it says.
Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from bench.products import products
from wellfit.config import known, load_dict
from wellfit.plan import this_machine
from wellfit.report import NoScreen
from wellfit.store import RunDir
from wellfit.train.job import Here, Job, job_loss, new_state
from wellfit.train.kernels import keep_memory
from wellfit.train.loop import train_steps
from wellfit.train.ranks import Ranks
from wellfit.train.setup import decided_job, prepared

# As nanoGPT's files config/train_shakespeare_char.py and train_gpt2.py have them, but for the
# context and batch of the larger one, which are of a processor.
SHAPES: dict[str, dict[str, int]] = {
    "baby": {"layers": 6, "heads": 6, "width": 384, "context": 256, "vocab": 65, "batch": 64},
    "gpt2": {"layers": 12, "heads": 12, "width": 768, "context": 512, "vocab": 50257, "batch": 8},
    "smoke": {"layers": 2, "heads": 2, "width": 32, "context": 32, "vocab": 65, "batch": 4},
}
_WORDS = 400_000


def job_of(shape: dict[str, int], keys: list[str], folder: Path) -> Job:
    """A run of this shape, decided, on random words that lie in ``folder``."""
    recipe: dict[str, Any] = {
        "data.path": str(_text(folder / "words.txt", shape["vocab"])),
        "data.cache": str(folder / "cache"),
        "data.split": {"kind": "tail", "val": 0.1},
        "tokenizer": {"kind": "pretrained", "path": str(_tokenizer(folder, shape["vocab"]))},
        "model.family": "gpt2",
        "model.depth": shape["layers"],
        "model.heads": shape["heads"],
        "model.width": shape["width"],
        "model.context": shape["context"],
        "train.batch": shape["batch"],
        "train.budget": "100000 steps",
        "train.compile": False,
        "optim.kind": "adamw",
    }
    for key in keys:
        name, _, value = key.partition("=")
        recipe[name] = _value(value)
    keep_memory()  # as a run does
    here = Here(this_machine(), Ranks(), NoScreen())
    loaded = load_dict(recipe)
    data = prepared(loaded.recipe, here.ranks, here.screen)
    return decided_job(loaded.recipe, data, RunDir.create(folder / "run"), here)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _text(path: Path, vocab: int) -> Path:
    draw = random.Random(1)
    path.write_text(" ".join(f"w{draw.randrange(vocab - 1)}" for _ in range(_WORDS)))
    return path


def _tokenizer(folder: Path, vocab: int) -> Path:
    from tokenizers import Tokenizer, models, pre_tokenizers

    names = [f"w{i}" for i in range(vocab - 1)] + ["<|endoftext|>"]
    made = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token="w0"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.add_special_tokens(["<|endoftext|>"])
    made.save(str(folder / "tokenizer.json"))
    return folder / "tokenizer.json"


def measured(job: Job, *, steps: int, warm: int) -> dict[str, Any]:
    """Seconds of each step, and of the products of each, one after the other."""
    state = new_state(job)
    compiled = job.recipe.train.compile is True
    stream = train_steps(job, state, job_loss(job, state.model, compiled=compiled))
    # products at once, as the best case has no reason to cut them
    alone = products(job.shape, sequences=_at_once(job), dtype=job.compute)
    passes = known(job.recipe.train.batch) // _at_once(job)
    step_s, products_s = list[float](), list[float]()
    for turn in range(warm + steps):
        t0 = time.perf_counter()
        record = next(stream)
        _wait(job)
        t1 = time.perf_counter()
        with torch.no_grad():
            for _ in range(passes):
                alone.run()
        _wait(job)
        if turn >= warm:
            step_s.append(t1 - t0)
            products_s.append(time.perf_counter() - t1)
    return {
        "step_s": step_s,
        "products_s": products_s,
        "flops": alone.flops * passes,
        "tokens": record.n_targets,
        "micro_batch": known(job.recipe.train.micro_batch),
        "precision": job.recipe.train.precision,
        "parameters": sum(p.numel() for p in state.model.parameters()),
    }


def _at_once(job: Job) -> int:
    """Sequences in a pass of the products alone: those of a micro-batch, where they divide."""
    micro, batch = known(job.recipe.train.micro_batch), known(job.recipe.train.batch)
    return micro if batch % micro == 0 else batch


def _wait(job: Job) -> None:
    if job.device == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    """Measure one shape; print it as JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.steps", description=__doc__)
    parser.add_argument("--shape", choices=list(SHAPES), default="baby")
    parser.add_argument("--keys", nargs="*", default=[], help="more of the recipe")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--warm", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        job = job_of(SHAPES[args.shape], args.keys, Path(folder))
        found = measured(job, steps=args.steps, warm=args.warm)
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
