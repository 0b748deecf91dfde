"""tiny-shakespeare by characters: seconds to a loss, from the start of the process.

Against nanoGPT's recipe for a processor, run beside it.  Both are scored on all of the val split,
the last tenth of the text.  Everything counts: imports, preparation, rehearsal, every evaluation,
the checkpoint and the report.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from bench.timing import ROOT, Row, run, run_json, spread

TEXT = Path("tinyshakespeare") / "input.txt"
# nanoGPT's README, "I only have a macbook"
CPU_RECIPE = (
    "--device=cpu --compile=False --eval_iters=20 --log_interval=1 --block_size=64 "
    "--batch_size=12 --n_layer=4 --n_head=4 --n_embd=128 --max_iters=2000 --lr_decay_iters=2000 "
    "--dropout=0.0"
).split()
# What examples/shakespeare.yaml is changed by to reach each loss (LOG.md, 2026-11-21 and 22).
TO_188 = ["model.depth=2", "model.width=128", "model.context=128", "train.budget=310 steps"]
TO_188 += ["evaluate.every=155 steps", "evaluate.sample=null"]
TO_150 = ["model.depth=3", "model.heads=2", "model.mlp_width=512", "model.softcap=30"]
TO_150 += ["regularize.weight_decay=0.1", "optim.lr=0.025", "optim.adam_lr=0.012"]
TO_150 += ["optim.momentum=0.9", "schedule.warmup=0", "train.budget=1100 steps"]
TO_150 += ["train.batch=8", "evaluate.every=1100 steps", "evaluate.tokens=4096"]
TO_150 += ["evaluate.sample=null"]
TO_14697 = ["train.batch=16", "train.budget=1000 steps", "optim.lr=0.03", "optim.adam_lr=0.015"]
TO_14697 += ["optim.momentum=0.9", "schedule.warmup=0", "evaluate.every=250 steps"]
TO_14697 += ["evaluate.sample=null"]
BEST = ["regularize.weight_decay=0.3", "train.budget=4000 steps"]


class Given(Protocol):
    """What this needs of the command line."""

    rounds: int
    peers: str | None
    nanogpt: Path | None
    data: Path | None


def shakespeare(given: Given) -> Iterator[Row]:
    """Seconds to full-val 1.88; the loss at nanoGPT's seconds; seconds to its GPU's loss."""
    if given.data is None or given.nanogpt is None:
        return
    text = given.data / TEXT
    theirs, ours = list[dict[str, Any]](), dict[str, list[dict[str, Any]]]()
    for seed in range(1, given.rounds + 1):
        theirs.append(nanogpt(given))
        for name, keys in (("1.88", TO_188), ("1.50", TO_150), ("1.4697", TO_14697)):
            ours.setdefault(name, []).append(wellfit(text, [*keys, f"train.seed={seed}"]))
    wall = spread([one["seconds"] for one in theirs])
    losses = ", ".join(f"{one['loss']:.3f}" for one in theirs)
    for name, runs in ours.items():
        seconds, reached = spread([r["seconds"] for r in runs]), spread([r["loss"] for r in runs])
        note = "full val " + ", ".join(f"{r['loss']:.4f}" for r in runs)
        if name == "1.88":
            note += f"; nanoGPT {losses}"
            what = "shakespeare to 1.88: times as fast as nanoGPT's recipe"
            ratio = wall.mid / seconds.mid if reached.high <= 1.88 else 0.0
            yield Row(what, seconds, wall, ratio, "at least 5", " s", note)
        elif name == "1.50":
            what = f"shakespeare, full val in {seconds.mid:.0f} s, of nanoGPT's {wall.mid:.0f} s"
            ratio = reached.mid if seconds.mid <= wall.mid else float("inf")
            yield Row(what, reached, None, ratio, "at most 1.5", " nats", note)
        else:
            what = "shakespeare to 1.4697: over nanoGPT's seconds"
            ratio = seconds.mid / wall.mid if reached.mid <= 1.4697 else float("inf")
            yield Row(what, seconds, wall, ratio, "at most 2.5", " s", note)


def best(given: Given) -> Iterator[Row]:
    """The best that was found, well within the hour that the bar allows."""
    if given.data is None:
        return
    runs = [wellfit(given.data / TEXT, [*BEST, f"train.seed={s + 1}"]) for s in range(given.rounds)]
    reached = spread([r["loss"] for r in runs])
    note = ", ".join(f"{r['loss']:.4f} in {r['seconds'] / 60:.0f} minutes" for r in runs)
    yield Row("shakespeare, best full val", reached, None, reached.mid, "at most 1.44", "", note)


def wellfit(text: Path, keys: list[str]) -> dict[str, Any]:
    """Seconds of a whole ``wellfit train``, nothing cached, and the loss on all of val."""
    with tempfile.TemporaryDirectory() as folder:
        recipe = ROOT / "examples" / "shakespeare.yaml"
        where = [f"data.path={text}", f"data.cache={folder}/cache"]
        words = ["train", str(recipe), *where, *keys, "--run", f"{folder}/run", "--json"]
        t0 = time.perf_counter()
        found = run_json([sys.executable, "-m", "wellfit", *words])
        return {"seconds": time.perf_counter() - t0, "loss": found["val"]["loss"]}


def nanogpt(given: Given) -> dict[str, Any]:
    """Seconds of nanoGPT's train.py with its recipe for a processor, and the loss on all of val."""
    assert given.nanogpt is not None
    python = given.peers or sys.executable
    with nanogpt_folder(given.nanogpt, given.data, python) as folder:
        t0 = time.perf_counter()
        run([python, "train.py", "config/train_shakespeare_char.py", *CPU_RECIPE], folder)
        seconds = time.perf_counter() - t0
        script = Path(__file__).resolve().parent / "peers" / "nanogpt_loss.py"
        where = ["--out", "out-shakespeare-char", "--data", "data/shakespeare_char"]
        return {**run_json([python, str(script), *where], folder), "seconds": seconds}


@contextmanager
def nanogpt_folder(checkout: Path, data: Path | None, python: str) -> Iterator[Path]:
    """A copy of the checkout with its data prepared; random letters where there is no text."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "nanoGPT"
        shutil.copytree(checkout, copy, ignore=shutil.ignore_patterns(".git", "out*"))
        to = copy / "data" / "shakespeare_char" / "input.txt"
        if data is not None and (data / TEXT).exists():
            shutil.copyfile(data / TEXT, to)
        else:
            to.write_text("".join(chr(32 + i * i % 65) for i in range(500_000)))
        run([python, str(to.parent / "prepare.py")], copy)
        yield copy
