"""Two processes train as one does."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from wellfit.store import read_run

WORDS = [
    "tokenizer={kind: char}", "data.split={kind: tail, val: 10%}", "model.depth=2",
    "model.width=32", "model.context=32", "train.batch=8", "train.micro_batch=3",
    "train.threads=1", "train.precision=fp32", "train.budget=20 steps", "train.compile=false",
    "regularize.dropout=0.1", "evaluate.every=5 steps", "evaluate.tokens=1024",
    "evaluate.sample=null", "checkpoint.every=7 steps",
]  # fmt: skip


OPTIMIZERS = {
    "adamw": ["optim={kind: adamw, lr: 0.01}"],
    "muon": ["optim={kind: muon, lr: 0.01, adam_lr: 0.01}"],
    # after the sum over ranks, each does the same
    "sgd, penalties, noise, average": [
        "optim={kind: sgd, lr: 0.03}", "regularize.l1=1e-4", "regularize.l2=1e-3",
        "regularize.gradient_noise={eta: 1e-4}", "regularize.clip={kind: adaptive}",
        "regularize.average={kind: ema, decay: 0.9}", "stop.min_gain=0.5",
    ],
}  # fmt: skip


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_two_ranks_have_the_losses_and_weights_of_one(tmp_path: Path, kind: str) -> None:
    text = tmp_path / "text.txt"
    text.write_text("".join(f"{i * i} is the square of {i}.\n" for i in range(2000)))
    recipe = tmp_path / "r.yaml"
    recipe.write_text(f"data: {{path: {text}}}\ntrain: {{budget: 1 step}}\n")
    words = ["train", str(recipe), *WORDS, *OPTIMIZERS[kind]]
    _ranks(1, [*words, "--run", str(tmp_path / "one")])
    _ranks(2, [*words, "--run", str(tmp_path / "two")])
    one, two = read_run(tmp_path / "one"), read_run(tmp_path / "two")
    # the sums are taken in another order, so they agree to rounding and not to the bit
    losses = [view.series("loss").values for view in (one, two)]
    np.testing.assert_allclose(losses[0][:2], losses[1][:2], rtol=1e-6)
    np.testing.assert_allclose(losses[0], losses[1], rtol=2e-4)
    for a, b in zip(one.evaluations(), two.evaluations(), strict=True):
        assert (a.step, a.split, a.basis) == (b.step, b.split, b.basis)
        np.testing.assert_allclose(a.nats, b.nats, rtol=1e-3)
    weights = [load_file(tmp_path / name / "model/model.safetensors") for name in ("one", "two")]
    for key, tensor in weights[0].items():
        difference = (tensor - weights[1][key]).norm() / tensor.norm()
        assert difference < 0.02, key


def test_two_ranks_killed_at_once_resume_to_the_same_end(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("".join(f"{i * i} is the square of {i}.\n" for i in range(2000)))
    recipe = tmp_path / "r.yaml"
    recipe.write_text(f"data: {{path: {text}}}\ntrain: {{budget: 1 step}}\n")
    words = ["train", str(recipe), *WORDS, *OPTIMIZERS["adamw"], "train.budget=60 steps"]
    _ranks(2, [*words, "--run", str(tmp_path / "whole"), "--profile"])
    killed = tmp_path / "killed"
    _ranks(2, [*words, "--run", str(killed)], kill_at=killed / "checkpoints" / "step-00000021")
    _ranks(2, ["resume", str(killed), "--profile"])
    whole, resumed = read_run(tmp_path / "whole"), read_run(killed)
    # one of the two looks where its own time goes, from its sixth step on
    start = resumed.attempts()[1].from_step
    assert whole.profile()["steps"] == [6, 7, 8, 9, 10]
    assert resumed.profile()["steps"] == [start + step for step in (6, 7, 8, 9, 10)]
    # two ranks sum two numbers in one order only, so this is equal to the bit
    assert whole.series("loss").values.tobytes() == resumed.series("loss").values.tobytes()
    assert len(resumed.attempts()) == 2
    weights = [load_file(run / "model/model.safetensors") for run in (tmp_path / "whole", killed)]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def _ranks(world: int, words: list[str], *, kill_at: Path | None = None) -> None:
    """Run a command in so many processes; kill them all once ``kill_at`` exists."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    alone = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    processes = []
    for rank in range(world):
        env = {**alone, "OMP_NUM_THREADS": "1"}
        if world > 1:
            env |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world)}
            env |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        command = [sys.executable, "-m", "wellfit", *words]
        processes.append(
            subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        )
    if kill_at is not None:
        t0 = time.monotonic()
        while not kill_at.exists():
            assert time.monotonic() - t0 < 120, "waited two minutes for a checkpoint"
            time.sleep(0.005)
        for process in processes:
            process.kill()
    for process in processes:
        _, err = process.communicate(timeout=300)
        assert process.returncode == (0 if kill_at is None else -9), err.decode()
