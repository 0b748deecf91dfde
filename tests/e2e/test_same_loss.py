"""A published model, scored by transformers, has the loss that the run reported."""

from pathlib import Path

import pytest

from bench.same_loss import transformers_loss
from wellfit.config import load_dict
from wellfit.report import NoScreen
from wellfit.store import final_evaluation, read_run
from wellfit.train import start


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("family", ["nanochat", "gpt2", "llama", "qwen3"])
def test_transformers_gives_the_reported_val_loss(tmp_path: Path, family: str) -> None:
    pytest.importorskip("transformers", reason="needs transformers: pip install 'wellfit[hf]'")
    text = tmp_path / "text.txt"
    text.write_text("".join(f"{i} and {i + 1} make {2 * i + 1}.\n" for i in range(3000)))
    recipe = {
        "data.path": str(text),
        "data.split": {"kind": "tail", "val": "10%"},
        "tokenizer": {"kind": "char"},
        "model": {"family": family, "depth": 2, "width": 32, "context": 32},
        "train": {"budget": "30 steps", "batch": 8, "threads": 1, "compile": False},
        "evaluate": {"every": "10 steps", "tokens": 1024, "sample": None},
    }
    start(load_dict(recipe), tmp_path / "run", NoScreen())
    reported = final_evaluation(read_run(tmp_path / "run").evaluations(), "val")
    assert reported is not None and reported.basis == "full split"
    assert transformers_loss(tmp_path / "run") == pytest.approx(reported.loss, abs=1e-3)
