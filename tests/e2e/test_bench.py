"""The benchmarks at a size of seconds: that they run, not what they measure."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.meta.source_tree import ROOT


def test_every_row_of_speed_runs() -> None:
    pytest.importorskip("accelerate")
    words = [sys.executable, "-m", "bench.speed", "--smoke", "--rounds", "1", "--threads", "1"]
    said = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    for row in (
        "products alone over the whole step", "dropout 0.2 over none", "against Trainer tuned",
        "step of Muon", "loss and gradient", "peak extra memory", "to the first step of a tiny",
        "wellfit --help",
    ):  # fmt: skip
        assert row in said.stdout
    # what was not given is left out aloud
    assert "left out: nanoGPT (give --nanogpt" in said.stdout
