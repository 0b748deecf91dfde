"""The resume drill: kill a training process again and again, and compare to the bit.

    python -m bench.resume [--kills 24] [--seed 1]

Each case trains once undisturbed, then again and again while a SIGKILL falls at a random moment:
half of them anywhere in the run, half while a checkpoint is being written.  After the kills the
run is resumed to its end.  Weights, optimizer state, the loss of every step, every evaluation
and the published model must be those of the undisturbed run, bit for bit.

Processes are forked from one that has imported everything, so a cycle takes a second or two;
each is a real process that does real work on real files, and it is really killed.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file

from wellfit.checkpoint import committed
from wellfit.config import Decoder, load_dict
from wellfit.model import build_decoder, explain_shape, write_published
from wellfit.report import NoScreen
from wellfit.store import RunDir, read_run
from wellfit.tokenizer import char_tokenizer
from wellfit.train import resume, start

_LONGEST_S = 120.0
BASE: dict[str, Any] = {
    "data.document": "paragraph",
    "tokenizer": {"kind": "char"},
    "model.depth": 2,
    "model.width": 32,
    "model.heads": 2,
    "model.context": 32,
    "train.batch": 8,
    "train.micro_batch": 3,  # uneven on purpose: 3 + 3 + 2
    "train.threads": 1,
    "train.budget": "60 steps",
    "train.compile": False,
    "regularize.dropout": 0.1,
    "evaluate.every": "7 steps",
    "evaluate.tokens": 640,
    "evaluate.sample": {"prompt": "", "tokens": 8, "temperature": 0.8},
    "checkpoint.every": "5 steps",
    "checkpoint.keep": 3,
    "stop.patience": 50,
}
CASES: dict[str, dict[str, Any]] = {
    "muon, dropout, accumulation": {},
    "adamw, cosine, bpe": {
        "optim.kind": "adamw",
        "schedule.kind": "cosine",
        "tokenizer": {"kind": "bpe", "vocab": 300},
    },
    "early stop, high rate": {
        "optim": {"kind": "adamw", "lr": 0.3},
        "stop.patience": 3,
        "schedule.kind": "constant",
    },
    "float32, gpt2, wsd": {
        "train.precision": "fp32",
        "model.family": "gpt2",
        "schedule.kind": "wsd",
    },
    "published weights, every noise": {
        "model": {"kind": "pretrained"},
        "optim.kind": "adamw",
        "regularize.dropout": dict.fromkeys(
            ("embedding", "attention", "residual", "mlp", "head"), 0.1
        ),
        "regularize.stochastic_depth": 0.2,
        "regularize.neftune": 5.0,
    },
    "lora, dora, dropout": {
        "model": {"kind": "pretrained", "lora": {"rank": 4, "dropout": 0.1, "dora": True}},
        "optim.kind": "adamw",
    },
    "sgd, plateau, averages, adaptive clip": {
        "optim": {"kind": "sgd", "lr": 0.3},
        "schedule": {"kind": "plateau", "patience": 1, "threshold": 0.1},
        "regularize.average": {"kind": "ema", "decay": 0.9},
        "regularize.clip": {"kind": "adaptive", "z": 1.0},
        "stop.restore_best": False,
    },
    "schedule-free, noise, penalties": {
        "optim": {"kind": "schedule-free-adamw", "groups": [{"match": "head*", "lr_scale": 0.5}]},
        "schedule.kind": "constant",
        "regularize.gradient_noise": {"eta": 0.01},
        "regularize.l1": 1e-4,
        "regularize.l2": 1e-4,
    },
}


class Drilled(NamedTuple):
    """One run that was killed so many times, and how its end compares."""

    case: str
    kills: int
    in_save: int
    differences: tuple[str, ...]


def drill(text: Path, folder: Path, case: str, *, chains: list[int], seed: int) -> list[Drilled]:
    """Train ``case`` undisturbed, then once per chain with that many kills."""
    draw = random.Random(seed)
    recipe = {**BASE, "data.path": str(text), "data.cache": str(folder / "cache"), **CASES[case]}
    if "model" in recipe:
        recipe = _on_a_base(recipe, text, folder / "base")
    whole = folder / "undisturbed"
    t0 = time.monotonic()
    finish(lambda: start(load_dict(recipe), whole, NoScreen()))
    span_s = time.monotonic() - t0
    done = []
    for number, kills in enumerate(chains):
        run = folder / f"killed-{number}"
        in_save = 0
        for k in range(kills):
            work = begin_or_go_on(recipe, run)
            # Aimed at a save every other time; at a random moment of the run otherwise.
            if (number + k) % 2:
                in_save += _killed_in_save(work, run, draw.randint(1, 4))
            else:
                _killed_after(work, draw.uniform(0, span_s))
        finish(begin_or_go_on(recipe, run))
        done.append(Drilled(case, kills, in_save, tuple(differences(whole, run))))
        shutil.rmtree(run)
    return done


def _on_a_base(recipe: dict[str, Any], text: Path, base: Path) -> dict[str, Any]:
    """The recipe with a published model of random weights to start from."""
    tokenizer = char_tokenizer(text.read_text(encoding="utf-8"), separate=True)
    own = {key.partition(".")[2]: v for key, v in recipe.items() if key.startswith("model.")}
    shape = explain_shape(Decoder(family="llama", **own), vocab=tokenizer.vocab_size).shape
    write_published(base, build_decoder(shape, seed=1), tokenizer)
    kept = {k: v for k, v in recipe.items() if not k.startswith(("model.", "tokenizer"))}
    return {**kept, "model": {**recipe["model"], "path": str(base)}}


def differences(whole: Path, killed: Path) -> list[str]:
    """What the two finished runs do not have in common; empty when they are bit-equal."""
    found = []
    views = read_run(whole), read_run(killed)
    for name in ("loss", "grad_norm"):
        a, b = (view.series(name) for view in views)
        if a.steps.tolist() != b.steps.tolist() or a.values.tobytes() != b.values.tobytes():
            found.append(f"series {name}")
    a_looks, b_looks = ([_look(e) for e in view.evaluations()] for view in views)
    if a_looks != b_looks:
        found.append("evaluations")
    if [s.text for s in views[0].samples()] != [s.text for s in views[1].samples()]:
        found.append("samples")
    last = [committed(path / "checkpoints")[-1] for path in (whole, killed)]
    if last[0].step != last[1].step:
        found.append(f"last step {last[1].step}, not {last[0].step}")
    files = [{file.name for file in c.path.glob("*.safetensors")} for c in last]
    found += sorted(files[0] ^ files[1])
    for file in sorted(files[0] & files[1]):
        if not _same_tensors(last[0].path / file, last[1].path / file):
            found.append(file)
    if not _same_tensors(whole / "model/model.safetensors", killed / "model/model.safetensors"):
        found.append("published model")
    if views[0].summary()["verdict"] != views[1].summary()["verdict"]:
        found.append("verdict")
    return found


def _look(e: Any) -> tuple[Any, ...]:
    return e.step, e.split, e.basis, e.checkpoint_step, e.nats.tobytes(), e.loss_lo, e.loss_hi


def _same_tensors(a: Path, b: Path) -> bool:
    left, right = load_file(a), load_file(b)
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


def begin_or_go_on(recipe: dict[str, Any], run: Path) -> Callable[[], object]:
    """What a person would type: train where nothing is yet, else resume."""
    if RunDir(run).recipe.is_file():
        return lambda: resume(run, NoScreen())
    return lambda: start(load_dict(recipe), run, NoScreen())


def _forked(work: Callable[[], object]) -> int:
    """The pid of a new process that does the work and exits."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        code = 0 if work() is not None else 1
    except BaseException as e:
        sys.stderr.write(f"the trained process failed: {type(e).__name__}: {e}\n")
    finally:
        os._exit(code)


def finish(work: Callable[[], object]) -> None:
    """Do the work in a process of its own.  Raises ``RuntimeError`` where that one fails."""
    _, status = os.waitpid(_forked(work), 0)
    if status:
        raise RuntimeError(f"a run that nobody disturbed ended with status {status}")


def _killed_after(work: Callable[[], object], span_s: float) -> None:
    pid = _forked(work)
    t0 = time.monotonic()
    while time.monotonic() - t0 < span_s:
        if os.waitpid(pid, os.WNOHANG)[0]:
            return  # finished before its time came
        time.sleep(0.001)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def _killed_in_save(work: Callable[[], object], run: Path, nth: int) -> bool:
    """Kill while the nth checkpoint is being written; False when the run ended before."""
    pid, root, seen = _forked(work), run / "checkpoints", set[str]()
    t0 = time.monotonic()
    while time.monotonic() - t0 < _LONGEST_S:
        if os.waitpid(pid, os.WNOHANG)[0]:
            return False
        if root.is_dir():
            seen |= {path.name for path in root.glob(".tmp-*")}
        if len(seen) >= nth:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return True
    raise RuntimeError(f"no checkpoint was written within {_LONGEST_S:.0f} s")


def some_text(folder: Path, given: Path | None) -> Path:
    """Text to train on: the one given, else what ships with Python."""
    if given is not None:
        return given
    from pydoc_data.topics import topics

    path = folder / "reference.txt"
    path.write_text("\n\n".join(topics[key] for key in sorted(topics))[:200_000])
    return path


def main() -> None:
    """Run the drill and print what happened; exit 1 where anything differs."""
    parser = argparse.ArgumentParser(prog="python -m bench.resume", description=__doc__)
    parser.add_argument("--kills", type=int, default=24, help="kills in all, at least")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--text", type=Path, help="text to train on; default: Python's reference")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    chains = [1, 2, 5]
    while sum(chains) * len(CASES) < asked.kills:
        chains.append(1)
    rows: list[Drilled] = []
    with tempfile.TemporaryDirectory() as temporary:
        text = some_text(Path(temporary), asked.text)
        for number, case in enumerate(CASES):
            folder = Path(temporary) / str(number)
            for row in drill(text, folder, case, chains=chains, seed=asked.seed + number):
                verdict = ", ".join(row.differences) or "bit-equal"
                sys.stdout.write(
                    f"{row.case:30} {row.kills} kills, {row.in_save} inside a save: {verdict}\n"
                )
                sys.stdout.flush()
                rows.append(row)
    bad = [row for row in rows if row.differences]
    sys.stdout.write(
        f"{len(rows)} runs killed {sum(r.kills for r in rows)} times, "
        f"{sum(r.in_save for r in rows)} of them inside a save: "
        f"{len(rows) - len(bad)} bit-equal, {len(bad)} different\n"
    )
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
