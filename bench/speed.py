"""How fast training is, against the machine and against the peers, on the same work.

    python -m bench.speed [--only share,steps] [--peers PYTHON] [--nanogpt DIR] [--data DIR]

Each row runs its two sides in turn, A B A B, and prints medians and quartiles, their ratio, and the
bar beside it.  Peers run in processes of their own: ``PYTHON`` is an interpreter of an environment
with bench/peers/requirements.txt, ``DIR`` of nanoGPT a checkout of it, ``DIR`` of the data a folder
with tinyshakespeare/input.txt.  What is not given is left out, and said.  The table goes to
bench/results/ as JSON, with the machine; rows of an earlier run that were left out now stay.
``--write`` puts all of it into docs/benchmarks.md.

``--only best`` takes half an hour, and is not run unless asked for.  ``--smoke`` runs every row
that needs nothing at a size of seconds, to see that all still works.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch

from bench import objectives
from bench.shakespeare import best, nanogpt_folder, shakespeare
from bench.steps import SHAPES
from bench.timing import (
    ROOT,
    Row,
    Spread,
    about,
    in_turn,
    keep,
    kept_parts,
    matmul_ceiling,
    run,
    run_json,
    spread,
    tables,
    write_table,
)  # fmt: skip
from wellfit.optim.muon import Muon
from wellfit.plan.machine import usable_cores
from wellfit.store import read_run

PEERS = Path(__file__).resolve().parent / "peers"


@dataclass(frozen=True)
class Bench:
    """What was asked for on the command line."""

    rounds: int
    threads: int
    smoke: bool
    peers: str | None  # a Python
    nanogpt: Path | None
    data: Path | None

    def ours(self, shape: str, *keys: str) -> dict[str, Any]:
        """Steps of ours, in a process of its own."""
        name = "smoke" if self.smoke else shape
        words = ["--shape", name, "--steps", str(self.steps(shape)), "--keys", *keys]
        words.append(f"train.threads={self.threads}")
        return run_json([sys.executable, "-m", "bench.steps", *words], ROOT)

    def peer(self, script: str, shape: str, *more: str) -> dict[str, Any]:
        """Steps of a peer, in its own environment."""
        python = self.peers or sys.executable
        sizes = json.dumps(SHAPES["smoke" if self.smoke else shape])
        words = ["--shape", sizes, "--steps", str(self.steps(shape)), *more]
        folder = self.nanogpt if script.startswith("nanogpt") and self.nanogpt else ROOT
        command = [python, str(PEERS / f"{script}.py"), *words, "--threads", str(self.threads)]
        return run_json(command, folder)

    def steps(self, shape: str) -> int:
        """Timed steps of one process: about ten seconds of them."""
        return 2 if self.smoke else {"baby": 6, "gpt2": 4, "smoke": 2}[shape]


def share(bench: Bench) -> Iterator[Row]:
    """How much of a step its own matrix products are, and what dropout adds."""
    cases = [("baby", "adamw"), ("baby", "muon"), ("gpt2", "adamw"), ("gpt2", "muon")]
    for shape, kind in cases[:1] if bench.smoke else cases:
        for compiled in [False] if bench.smoke else [True, False]:
            how = (f"optim.kind={kind}", f"train.compile={str(compiled).lower()}")
            plain, dropped, shares = list[float](), list[float](), list[float]()
            products = list[float]()
            for _ in range(bench.rounds):
                found = bench.ours(shape, *how, "regularize.dropout=0")
                plain += found["step_s"]
                products += found["products_s"]
                shares += _ratios(found["products_s"], found["step_s"])
                if (shape, kind) == cases[0]:
                    dropped += bench.ours(shape, *how, "regularize.dropout=0.2")["step_s"]
            name = f"{shape}, {kind}, {'compiled' if compiled else 'not compiled'}"
            (step, alone), ratio = map(spread, (plain, products)), spread(shares).mid
            told = f"{name}: products alone over the whole step"
            yield Row(told, step, alone, ratio, "at least 0.5", " s")
            if dropped:
                ratio = spread(dropped).mid / step.mid
                told = f"{name}: dropout 0.2 over none"
                yield Row(told, spread(dropped), step, ratio, "at most 1.1", " s")


def steps(bench: Bench, shape: str) -> Iterator[Row]:
    """Tokens a second against the peers, for the same shape and batch."""
    bars = {
        ("baby", "nanoGPT as shipped"): "at least 5",
        ("baby", "Trainer tuned"): "at least 3",
        ("gpt2", "Trainer tuned"): "at least 1.3",
    }
    sides = _sides(bench, shape)
    speeds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(bench.rounds):
        for name, side in sides.items():
            found = side()
            speeds[name] += [found["tokens"] / s for s in found["step_s"]]
    for name, theirs in speeds.items():
        same = "wellfit, compiled" if "wellfit, compiled" in speeds else "wellfit"
        if name == same or "compiled" in name:
            continue
        if name == "nanoGPT as shipped":  # it drops and has no biases, and so does ours beside it
            same = "wellfit, compiled, dropout 0.2, no biases"
        us, them = spread(speeds[same]), spread(theirs)
        bar = bars.get((shape, name), "")
        what = f"{shape}: {same} against {name}"
        yield Row(what, us, them, us.mid / them.mid, bar, " tokens/s")


def _sides(bench: Bench, shape: str) -> dict[str, Callable[[], dict[str, Any]]]:
    """Ours and the peers that were given."""
    plain, dropped = "regularize.dropout=0", "regularize.dropout=0.2"
    sides: dict[str, Callable[[], dict[str, Any]]] = {"wellfit": lambda: bench.ours(shape, plain)}
    if not bench.smoke:  # as train.compile: auto does in a run of an hour
        compiled = "train.compile=true"
        sides["wellfit, compiled"] = lambda: bench.ours(shape, plain, compiled)
    if bench.nanogpt and shape == "baby":
        as_theirs = (dropped, "model.bias=false", compiled)
        sides["wellfit, compiled, dropout 0.2, no biases"] = lambda: bench.ours(shape, *as_theirs)
        sides["nanoGPT as shipped"] = lambda: _shipped(bench)
    if bench.nanogpt:
        sides["nanoGPT tuned"] = lambda: bench.peer("nanogpt_steps", shape)
    if bench.peers or bench.smoke:
        tuned = [] if bench.smoke else ["--tuned"]  # compiling takes half a minute
        sides["Trainer tuned"] = lambda: bench.peer("trainer_steps", shape, *tuned)
    if bench.peers and shape == "baby":
        sides["Trainer as shipped"] = lambda: bench.peer("trainer_steps", shape)
    if bench.peers:
        sides["litgpt"] = lambda: bench.peer("litgpt_steps", shape)
    return sides


def _shipped(bench: Bench) -> dict[str, Any]:
    """The steps of nanoGPT's own train.py, by the times that it prints."""
    assert bench.nanogpt is not None
    with nanogpt_folder(bench.nanogpt, bench.data, bench.peers or sys.executable) as folder:
        count = bench.steps("baby") + 2
        words = ["--device=cpu", "--compile=False", f"--max_iters={count}", "--log_interval=1"]
        words += ["--eval_iters=1", "--eval_interval=1000000"]
        said = run(
            [bench.peers or sys.executable, "train.py", "config/train_shakespeare_char.py", *words],
            folder,
            threads=bench.threads,
        )
    lines = [line for line in said.splitlines() if line.startswith("iter ")]
    step_s = [float(line.split("time ")[1].split("ms")[0]) / 1000 for line in lines][3:]
    return {"step_s": step_s, "tokens": 64 * 256}


def optimizer(bench: Bench) -> Iterator[Row]:
    """A step of Muon on the matrices of GPT-2 124M, against torch's."""
    width, depth = (32, 2) if bench.smoke else (768, 12)
    sizes = [(3 * width, width), (width, width), (4 * width, width), (width, 4 * width)]
    # ours has q, k and v apart; theirs gets the very same matrices
    sizes = [(width, width)] * 4 + sizes[2:]
    draw = torch.Generator().manual_seed(1)
    sides = {}
    for name in ("ours", "theirs"):
        params = [
            torch.nn.Parameter(torch.randn(size, generator=draw) * 0.02)
            for _ in range(depth)
            for size in sizes
        ]
        for p in params:
            p.grad = torch.randn(p.shape, generator=draw)
        if name == "ours":
            groups = [{"params": params, "lr": 0.02}]
            sides[name] = Muon(groups, momentum=0.95, normalize=False).step
        else:
            sides[name] = torch.optim.Muon(params, lr=0.02, weight_decay=0.0).step
    in_turn(sides, 1)
    seconds = {name: spread(values) for name, values in in_turn(sides, 3 * bench.rounds).items()}
    ratio = seconds["theirs"].mid / seconds["ours"].mid
    name = "a step of Muon on 124M shapes: times as fast as torch.optim.Muon"
    yield Row(name, seconds["ours"], seconds["theirs"], ratio, "at least 2", " s")


def loss(bench: Bench) -> Iterator[Row]:
    """Loss and gradient over a large vocabulary, against torch's ways."""
    names = [name for name in objectives.WAYS if not (bench.smoke and "compiled" in name)]
    sizes = (64, 32, 1000) if bench.smoke else (objectives.N, objectives.D, objectives.V)
    rows = objectives.measure(names, bench.rounds, sizes)
    low, mid, high = rows["wellfit"]["seconds"]
    ours = Spread(low, mid, high, bench.rounds)
    torchs = [name for name in names if name != "wellfit"]
    best = min(torchs, key=lambda name: rows[name]["seconds"][1])
    theirs = Spread(*rows[best]["seconds"], bench.rounds)
    note = ", ".join(f"{name} {rows[name]['seconds'][1]:.2f} s" for name in torchs)
    yield Row(
        f"loss and gradient, vocabulary {sizes[2]}: against the best of torch's, {best}",
        ours, theirs, ours.mid / theirs.mid, "at most 1.0", " s", note,
    )  # fmt: skip
    memory = {name: row["extra_bytes"] for name, row in rows.items()}
    held = [Spread(m, m, m, 1) for m in (memory["wellfit"] / 2**20, memory["plain"] / 2**20)]
    ratio = memory["wellfit"] / memory["plain"]
    yield Row("the same: peak extra memory", *held, ratio, "at most 0.25", " MiB")


def start(bench: Bench) -> Iterator[Row]:
    """From the command to the first step; and to the first line of help."""
    ours, bare, whole, helped = list[float](), list[float](), list[float](), list[float]()
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "text.txt"
        text.write_text("".join(f"{i * i} is the square of {i}.\n\n" for i in range(2000)))
        for _ in range(bench.rounds):
            ours.append(_first_step(bench, text))
            t0 = time.time()
            if bench.peers or bench.smoke:
                bare.append(bench.peer("trainer_steps", "smoke")["first_at"] - t0)
            t0 = time.time()
            if bench.peers:
                whole.append(bench.peer("trainer_text", "smoke", f"--text={text}")["first_at"] - t0)
            t0 = time.perf_counter()
            run([sys.executable, "-m", "wellfit", "--help"], ROOT)
            helped.append(time.perf_counter() - t0)
    seconds = spread(ours)
    name = "from the command to the first step of a tiny recipe"
    yield Row(name, seconds, None, seconds.mid, "at most 8", " s")
    for times, which in (
        (bare, "on tokens in memory"),
        (whole, "from the text as run_clm.py does"),
    ):
        if times:
            ratio = seconds.mid / spread(times).mid
            yield Row(
                f"the same against Trainer, {which}",
                seconds,
                spread(times),
                ratio,
                "at most 0.5",
                " s",
            )
    yield Row("wellfit --help", spread(helped), None, spread(helped).mid, "at most 0.3", " s")


def _first_step(bench: Bench, text: Path) -> float:
    """Seconds from starting ``wellfit train`` to the end of its first step, nothing cached."""
    with tempfile.TemporaryDirectory() as folder:
        words = [f"data.path={text}", "train.budget=1 step", "model.depth=1", "tokenizer.kind=byte"]
        words += [
            "data.document=paragraph",
            f"data.cache={folder}",
            f"train.threads={bench.threads}",
            "evaluate.sample=null",
        ]
        recipe = Path(folder) / "recipe.yaml"
        recipe.write_text("preset: quick\n")
        t0 = time.time()
        where = Path(folder) / "run"
        run(
            [sys.executable, "-m", "wellfit", "train", str(recipe), *words, "--run", str(where)],
            ROOT,
        )
        view = read_run(where)
        (began,) = view.events("started")
        began_s = datetime.fromisoformat(began.at).timestamp()
        return began_s - t0 + float(view.series("elapsed_s").values[0])


ROWS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "share": share,
    "steps": partial(steps, shape="baby"),
    "gpt2": partial(steps, shape="gpt2"),
    "shakespeare": shakespeare,
    "optimizer": optimizer,
    "loss": loss,
    "start": start,
    "best": best,
}


def _ratios(above: list[float], below: list[float]) -> list[float]:
    return [a / b for a, b in zip(above, below, strict=True)]


def main() -> None:
    """Print the rows as they come; keep them."""
    parser = argparse.ArgumentParser(prog="python -m bench.speed", description=__doc__)
    parser.add_argument("--only", help="some of: " + ", ".join(ROWS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--peers", metavar="PYTHON")
    parser.add_argument("--nanogpt", type=Path, metavar="DIR")
    parser.add_argument("--data", type=Path, metavar="DIR")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--name", default="speed", help="of the file in bench/results/")
    args = parser.parse_args()
    usual = [name for name in ROWS if name != "best" and not (name == "gpt2" and args.smoke)]
    names = args.only.split(",") if args.only else usual
    bench = Bench(
        args.rounds, args.threads, args.smoke, args.peers, args.nanogpt and args.nanogpt.resolve(),
        args.data and args.data.resolve(),
    )  # fmt: skip
    facts = {**about(args.threads), "ceiling": matmul_ceiling(args.threads)}
    out = sys.stdout
    out.write(f"{facts['machine']}, {args.threads} threads, commit {facts['commit']}\n")
    out.write("square products, TFLOP/s: ")
    out.write(", ".join(f"{size} {rate:.2f}" for size, rate in facts["ceiling"].items()) + "\n")
    for why in left_out(bench):
        out.write(f"left out: {why}\n")
    parts = kept_parts(args.name) if args.only and not args.smoke else {}
    for name in names:
        rows = []
        for row in ROWS[name](bench):
            row = row._replace(bar="") if args.smoke else row  # no bar is for such sizes
            rows.append(row)
            out.write(row.text() + "\n")
            out.flush()
        parts[name] = {"about": facts, "rows": [row.plain() for row in rows]}
        if not args.smoke:
            keep(args.name, parts)
    if args.write and not args.smoke:
        write_table("bench.speed", tables("speed"))


def left_out(bench: Bench) -> list[str]:
    """What cannot be measured with what was given, and what to give."""
    found = []
    if bench.peers is None:
        found.append("Hugging Face Trainer and litgpt (give --peers, see bench/peers/README.md)")
    if bench.nanogpt is None:
        found.append("nanoGPT (give --nanogpt, a checkout of github.com/karpathy/nanoGPT)")
    if bench.data is None:
        found.append("tiny-shakespeare (give --data, a folder with tinyshakespeare/input.txt)")
    return found


if __name__ == "__main__":
    main()
