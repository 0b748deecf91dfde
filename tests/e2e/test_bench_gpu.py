"""The GPU benchmark in a size for a processor, so that it still runs when a GPU is there."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest
import torch

from bench import gpu

# What bench.gpu asks of nanoGPT's model.py, and no more.
STAND_IN = """
from dataclasses import dataclass
import torch
from torch import nn

@dataclass
class GPTConfig:
    block_size: int = 8
    vocab_size: int = 8
    n_layer: int = 1
    n_head: int = 1
    n_embd: int = 8
    dropout: float = 0.0
    bias: bool = True

class GPT(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.table = nn.Embedding(config.vocab_size, config.n_embd)

    def forward(self, x, y):
        logits = self.table(x) @ self.table.weight.T
        return logits, nn.functional.cross_entropy(logits.flatten(0, 1), y.flatten())

    def configure_optimizers(self, weight_decay, learning_rate, betas, device_type):
        return torch.optim.AdamW(self.parameters(), lr=learning_rate, betas=betas)
"""


def test_every_row_is_measured_and_held_against_its_bar(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(STAND_IN)
    found = gpu.measure([gpu.TINY], device="cpu", rounds=3, steps=1, nanogpt_at=tmp_path)
    rows, has_fp8 = found["rows"], importlib.util.find_spec("torchao") is not None
    wanted = {"tiny bf16", "tiny nanoGPT", "tiny bf16 / nanoGPT"}
    assert rows.keys() == wanted | ({"tiny fp8", "tiny fp8 / bf16"} if has_fp8 else set())
    for row in rows.values():
        middle = row.get("tokens_per_s", row.get("ratio"))
        assert 0 < row["lowest"] <= middle <= row["highest"]
        # no processor has a peak that anybody states
        assert row.get("mfu_of_bf16_peak") is None
    assert has_fp8 or any("torchao" in why for why in found["not_run"])
    assert json.loads(json.dumps(found))["environment"]["versions"]["torch"] == torch.__version__
    # every row has its line
    assert gpu.table(found).count("\n| tiny") == len(rows)


def test_rows_are_judged_by_the_share_of_the_peak_and_by_ratios() -> None:
    size = gpu.SIZES["124M"]
    rates = {"124M bf16": [500e3, 520e3, 540e3], "nanoGPT": [400e3, 400e3, 450e3]}
    rows = gpu.rows_of(size, rates, 989.4e12)
    # 520k tokens/s of 0.86 GFLOP each
    assert rows["124M bf16"]["mfu_of_bf16_peak"] == pytest.approx(0.45, abs=0.005)
    assert rows["124M bf16"]["met"] is (rows["124M bf16"]["mfu_of_bf16_peak"] >= 0.45)
    ratio = rows["124M bf16 / nanoGPT"]
    # round by round: 1.25, 1.3, 1.2
    assert ratio["ratio"] == pytest.approx(1.25) and ratio["met"] is False
    # an unknown GPU is given no utilisation, and meets or misses nothing
    assert "met" not in gpu.rows_of(size, rates, None)["124M bf16"]


def test_the_sizes_are_what_they_are_called() -> None:
    parameters = {
        name: gpu.shape_of(size).matmul_parameters / 1e6 for name, size in gpu.SIZES.items()
    }
    assert parameters["124M"] == pytest.approx(123.6, abs=0.1)
    assert parameters["1B"] == pytest.approx(1236, abs=1)
    for size in (*gpu.SIZES.values(), gpu.TINY):
        assert size.batch % size.micro == 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_it_says_that_the_rows_were_not_run(capsys, monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", ["bench.gpu"])
    gpu.main()
    assert "no GPU here, so the GPU rows were not run" in capsys.readouterr().out
