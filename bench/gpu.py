"""What training reaches of one GPU's peak, and how it compares with nanoGPT's loop beside it.

    python -m bench.gpu [--nanogpt DIR] [--only 124M,1B] [--rounds 5] [--steps 10]

Rows: tokens/s and model FLOPs utilisation (6 N + 12 L d T per token, of the maker's dense bf16
peak) of whole training steps, guard, clipping and optimizer included: a 124M decoder of GPT-2's
shape and a 1B of Llama 3.2's, in bf16 and the latter in fp8.  With ``--nanogpt DIR``, a checkout
of nanoGPT: its own model.py, compiled, in bf16 autocast with fused AdamW, on the same shape and
batch, clipped and accumulated as its train.py does.  Both sides read random tokens and AdamW steps
them.  All sides of a size take turns in each round, so that a hot or busy GPU slows them alike;
medians over rounds, with the lowest and the highest.  Results go to bench/results/ as JSON.

Without a GPU it says so and measures nothing.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import torch

from wellfit.config import Decoder as DecoderRecipe
from wellfit.config import Recipe, Regularize, recipe_from_dict
from wellfit.data import Rows
from wellfit.model import Decoder, Shape, explain_shape
from wellfit.model.fp8 import in_fp8
from wellfit.optim import build_optimizers
from wellfit.plan import environment, this_machine
from wellfit.plan.gpu import FP8_FROM, flops_per_token, peak_flops_per_s
from wellfit.train.job import ahead
from wellfit.train.kernels import kernels
from wellfit.train.learn import MicroBatch, loss_of, micro_batch
from wellfit.train.ranks import Ranks
from wellfit.train.state import TrainState
from wellfit.train.step import train_step

RESULTS = Path(__file__).resolve().parent / "results"
LR = 3e-4


class Size(NamedTuple):
    """A decoder, and how many sequences it learns from at a step and in one pass."""

    name: str
    shape: dict[str, Any]
    vocab: int
    batch: int
    micro: int


class Side(NamedTuple):
    """One way to train one size; ``step`` takes a whole optimizer step."""

    name: str
    step: Callable[[], None]
    tokens: int  # of a step


SIZES = {
    "124M": Size(
        "124M",
        {"family": "gpt2", "depth": 12, "width": 768, "heads": 12, "context": 1024},
        vocab=50304,  # nanoGPT's: 50,257 and padding
        batch=64,
        micro=32,
    ),
    "1B": Size(
        "1B",
        {
            "family": "llama",
            "depth": 16,
            "width": 2048,
            "heads": 32,
            "kv_heads": 8,
            "mlp_width": 8192,
            "context": 4096,
            "head": "tied",
        },  # fmt: skip
        vocab=128256,
        batch=16,
        micro=4,
    ),
}
TINY = Size(
    "tiny",
    {"family": "gpt2", "depth": 2, "width": 32, "heads": 2, "context": 32},
    vocab=96,
    batch=4,
    micro=2,
)
# what a row has to reach: a share of the peak, or a ratio of medians
BARS = {"124M bf16": 0.45, "1B bf16": 0.52, "1B fp8 / bf16": 1.15, "124M bf16 / nanoGPT": 1.3}


def shape_of(size: Size) -> Shape:
    """The decoder of a size."""
    return explain_shape(DecoderRecipe(**size.shape), vocab=size.vocab).shape


def recipe_of(precision: str) -> Recipe:
    """What our sides train by, beyond their shape."""
    optim = {"kind": "adamw", "lr": LR, "betas": [0.9, 0.95]}
    train = {"budget": "1 step", "precision": precision}
    return recipe_from_dict({"data.path": "none", "train": train, "optim": optim})


def tokens_of(size: Size, step: int) -> np.ndarray:
    """Random tokens of a step, one more than the context in each row."""
    draw = np.random.default_rng(step)
    return draw.integers(0, size.vocab, (size.batch, size.shape["context"] + 1))


def ours(size: Size, *, device: str, precision: str, compiled: bool) -> Side:
    """The step that a run takes: prefetch, guard, clipping and fused AdamW included."""
    shape = shape_of(size)
    with torch.device(device):
        model = Decoder(shape)
    with torch.no_grad():
        for p in model.parameters():
            p.normal_(std=0.02) if p.ndim == 2 else p.fill_(1.0)
    model.compute = torch.bfloat16
    recipe = recipe_of(precision)
    state = TrainState(model, build_optimizers(recipe.optim, model, weight_decay=0.1))
    trained = model
    if precision == "fp8":
        emulated = {} if device == "cuda" else {"smallest": 1, "emulate": True}
        trained = in_fp8(model, **emulated)
    loss = loss_of(trained, recipe.task, None, None, compiled=compiled)

    def gather(step: int) -> list[MicroBatch]:
        ids, samples = tokens_of(size, step), np.arange(size.batch)
        rows = Rows(ids[:, :-1], ids[:, 1:], samples)
        starts = range(0, size.batch, size.micro)
        parts = [rows.part(start, start + size.micro) for start in starts]
        return [micro_batch(part, None, weights_C=None) for part in parts]

    batches = ahead(gather, device)

    def step() -> None:
        train_step(
            state,
            batches(state.step),
            loss,
            lr_scale=1.0,
            how=Regularize(),
            seed=1,
            ranks=Ranks(device=device),
        )

    return Side(f"{size.name} {precision}", step, size.batch * shape.context)


def nanogpt(size: Size, folder: Path, *, device: str, compiled: bool) -> Side:
    """nanoGPT's model from its own checkout, stepped as its train.py does on one GPU."""
    spec = importlib.util.spec_from_file_location("nanogpt_model", folder / "model.py")
    if spec is None or spec.loader is None:
        raise SystemExit(f"{folder} holds no model.py: name a checkout of nanoGPT")
    theirs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(theirs)
    context = size.shape["context"]
    torch.manual_seed(1337)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    config = theirs.GPTConfig(
        block_size=context,
        vocab_size=size.vocab,
        n_layer=size.shape["depth"],
        n_head=size.shape["heads"],
        n_embd=size.shape["width"],
        dropout=0.0,
        bias=True,  # as GPT-2 and our side have it
    )
    model = theirs.GPT(config).to(device)
    optimizer = model.configure_optimizers(0.1, LR, (0.9, 0.95), device)
    run = torch.compile(model) if compiled else model
    parts, done = size.batch // size.micro, 0
    low = torch.amp.autocast(device_type=device, dtype=torch.bfloat16)

    def fetch(step: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        ids = torch.from_numpy(tokens_of(size, step))
        for part in ids.split(size.micro):
            both = (part[:, :-1].contiguous(), part[:, 1:].contiguous())
            if device == "cuda":
                both = tuple(x.pin_memory().to(device, non_blocking=True) for x in both)
            yield both

    def step() -> None:
        nonlocal done
        for x, y in fetch(done):
            with low if device == "cuda" else nullcontext():
                _, loss = run(x, y)
            (loss / parts).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        done += 1

    return Side("nanoGPT", step, size.batch * context)


def take_turns(
    sides: Sequence[Side], *, device: str, rounds: int, steps: int
) -> dict[str, list[float]]:
    """Tokens/s of each side in each round, warmed up and compiled before the first."""

    def wait() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    rates: dict[str, list[float]] = {side.name: [] for side in sides}
    for side in sides:
        for _ in range(3):
            side.step()
    for _ in range(rounds):
        for side in sides:
            wait()
            t0 = time.perf_counter()
            for _ in range(steps):
                side.step()
            wait()
            rates[side.name].append(steps * side.tokens / (time.perf_counter() - t0))
    return rates


def rows_of(
    size: Size, rates: dict[str, list[float]], peak: float | None
) -> dict[str, dict[str, Any]]:
    """Rows by name: medians with spread, utilisation, and what is held against what."""
    flops = flops_per_token(recipe_of("bf16"), shape_of(size))
    assert flops is not None, "plain text has a count"
    median = {name: statistics.median(found) for name, found in rates.items()}
    rows: dict[str, dict[str, Any]] = {}
    for name, found in rates.items():
        row = {"tokens_per_s": median[name], "lowest": min(found), "highest": max(found)}
        # of fp8 as well against the bf16 peak, so that the two can be compared
        row["mfu_of_bf16_peak"] = flops * median[name] / peak if peak else None
        label = f"{size.name} nanoGPT" if name == "nanoGPT" else name
        rows[label] = _judged(row, BARS.get(name), row["mfu_of_bf16_peak"])
    base = f"{size.name} bf16"
    for name, over, under in (
        (f"{size.name} fp8 / bf16", f"{size.name} fp8", base),
        (f"{base} / nanoGPT", base, "nanoGPT"),
    ):
        if over in median and under in median:
            each = [a / b for a, b in zip(rates[over], rates[under], strict=True)]
            ratio = statistics.median(each)  # within rounds, so that drift cancels
            row = {"ratio": ratio, "lowest": min(each), "highest": max(each)}
            rows[name] = _judged(row, BARS.get(name), ratio)
    return rows


def _judged(row: dict[str, Any], bar: float | None, value: float | None) -> dict[str, Any]:
    if bar is None or value is None or not math.isfinite(value):
        return row
    return {**row, "bar": bar, "met": value >= bar}


def measure(
    sizes: Sequence[Size], *, device: str, rounds: int, steps: int, nanogpt_at: Path | None
) -> dict[str, Any]:
    """Every row that can be measured here, and why the others cannot."""
    machine, left_out = this_machine(), []
    peak = peak_flops_per_s(machine.gpu) if device == "cuda" else None
    able = device == "cpu" or machine.gpu_capability >= FP8_FROM
    if not able:
        left_out.append("fp8: this GPU has none")
    elif importlib.util.find_spec("torchao") is None:
        able, _ = False, left_out.append("fp8: pip install 'wellfit[gpu]' for torchao")
    if nanogpt_at is None:
        left_out.append("nanoGPT: name a checkout with --nanogpt DIR")
    rows: dict[str, Any] = {}
    compiled = device == "cuda"
    job: Any = SimpleNamespace(device=device, recipe=recipe_of("bf16"), machine=machine)
    for size in sizes:
        sides = [ours(size, device=device, precision="bf16", compiled=compiled)]
        if able and size.name != "124M":
            sides.append(ours(size, device=device, precision="fp8", compiled=compiled))
        if nanogpt_at is not None and size.shape["family"] == "gpt2":
            sides.append(nanogpt(size, nanogpt_at, device=device, compiled=compiled))
        with kernels(job):
            rates = take_turns(sides, device=device, rounds=rounds, steps=steps)
        rows |= rows_of(size, rates, peak)
        del sides
    peak_bytes = torch.cuda.max_memory_allocated() if device == "cuda" else None
    return {
        "gpu": machine.gpu,
        **_driver(),
        "cuda": torch.version.cuda,
        "peak_bf16_flops_per_s": peak,
        "peak_memory_bytes": peak_bytes,
        "rounds": rounds,
        "steps": steps,
        "rows": rows,
        "not_run": left_out,
        "date": time.strftime("%Y-%m-%d"),
        "environment": environment(machine, threads=torch.get_num_threads()),
    }


def _driver() -> dict[str, str]:
    """Driver and power limit: a GPU that is capped is another GPU."""
    asked = ["driver_version", "power.limit"]
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return {}
    done = subprocess.run(
        [tool, f"--query-gpu={','.join(asked)}", "--format=csv,noheader", "--id=0"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = [part.strip() for part in done.stdout.split(",")]
    return dict(zip(("driver", "power_limit"), found, strict=False)) if not done.returncode else {}


def table(found: dict[str, Any]) -> str:
    """The rows as a Markdown table."""
    lines = ["| row | median | lowest to highest | MFU, of the bf16 peak | bar | |",
             "| --- | --- | --- | --- | --- | --- |"]  # fmt: skip
    for name, row in found["rows"].items():
        is_ratio = "ratio" in row
        text = (lambda x: f"{x:.2f}") if is_ratio else (lambda x: f"{x:,.0f} tokens/s")
        value = row["ratio"] if is_ratio else row["tokens_per_s"]
        spread = f"{text(row['lowest'])} to {text(row['highest'])}"
        mfu = row.get("mfu_of_bf16_peak")
        verdict = {True: "met", False: "missed", None: ""}[row.get("met")]
        cells = [
            name,
            text(value),
            spread,
            f"{mfu:.1%}" if mfu else "",
            row.get("bar", ""),
            verdict,
        ]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join([*lines, *(f"not run: {why}" for why in found["not_run"])])


def main() -> None:
    """Measure on the GPU, print the table, and write the results down."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__)
    parser.add_argument("--nanogpt", type=Path, default=None, help="a checkout of nanoGPT")
    parser.add_argument("--only", default=",".join(SIZES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10)
    asked = parser.parse_args()
    if not torch.cuda.is_available():
        print("bench.gpu: torch finds no GPU here, so the GPU rows were not run")
        return
    found = measure(
        [SIZES[name] for name in asked.only.split(",")],
        device="cuda",
        rounds=asked.rounds,
        steps=asked.steps,
        nanogpt_at=asked.nanogpt,
    )
    print(table(found))
    RESULTS.mkdir(exist_ok=True)
    name = str(found["gpu"]).replace(" ", "-")
    path = RESULTS / f"gpu-{name}-{found['date']}.json"
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"written to {path.relative_to(RESULTS.parent.parent)}")


if __name__ == "__main__":
    main()
