"""A LoRA run from a published model to an adapter: what is trained, saved, chosen and published."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from wellfit.checkpoint import committed
from wellfit.config import load_dict
from wellfit.export import export_run
from wellfit.model import build_decoder, explain_shape, read_adapter, read_published
from wellfit.model.publish import write_published
from wellfit.report import NoScreen
from wellfit.store import read_run
from wellfit.tokenizer import char_tokenizer
from wellfit.train import start

TEXT = "the small cat sees a red bird. a bird likes the old tree. " * 300


@pytest.fixture(scope="module")
def lora_run(tmp_path_factory) -> Path:
    """A finished LoRA run on a model of random weights, which lies beside it."""
    from wellfit.config import Decoder

    folder = tmp_path_factory.mktemp("lora")
    (folder / "text.txt").write_text(TEXT)
    tokenizer = char_tokenizer(TEXT, separate=True)
    sizes = Decoder(family="llama", depth=2, width=32, heads=2, context=32)
    shape = explain_shape(sizes, vocab=tokenizer.vocab_size).shape
    write_published(folder / "base", build_decoder(shape, seed=5), tokenizer)
    lora = {"rank": 4, "dropout": 0.1, "dora": True}
    recipe = {
        "data.path": str(folder / "text.txt"),
        "data.cache": str(folder / "cache"),
        "data.split": {"kind": "tail"},
        "model": {"kind": "pretrained", "path": str(folder / "base"), "lora": lora},
        "train.budget": "40 steps",
        "train.batch": 8,
        "train.micro_batch": 3,
        "train.threads": 1,
        "train.compile": False,
        "optim": {"kind": "adamw", "lr": 0.02},
        "evaluate.every": "20 steps",
    }
    torch.set_num_threads(1)
    start(load_dict(recipe), folder / "run", NoScreen(), profile=True)
    return folder / "run"


def test_a_lora_run_learns_and_saves_only_what_it_trains(lora_run):
    looks = [e.loss for e in read_run(lora_run).evaluations("val") if e.basis == "fixed blocks"]
    # the small matrices alone bring the loss down
    assert looks[-1] < looks[0] - 0.2
    calls = {row["kind"]: row["calls"] for row in read_run(lora_run).profile()["kinds"]}
    # a profile knows what it spends its time on, by name
    assert calls["matrix products"] > 0 and calls.get("other", 0) < 0.005 * sum(calls.values())
    saved = load_file(committed(lora_run / "checkpoints")[-1].path / "model.safetensors")
    # three for each of seven layers in two blocks
    assert len(saved) == 2 * 7 * 3
    assert {name.rpartition(".")[2] for name in saved} == {"lora_a", "lora_b", "magnitude"}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_the_adapter_on_its_base_is_the_published_model(lora_run, tmp_path):
    base, model = lora_run.parent / "base", read_published(lora_run / "model")
    adapted = read_published(base)
    read_adapter(lora_run / "adapter", adapted)
    tokens_BT = torch.arange(20)[None] % model.shape.vocab
    with torch.no_grad():
        torch.testing.assert_close(adapted(tokens_BT), model(tokens_BT), rtol=0, atol=1e-4)
        # guards the test itself: the base is another model
        assert float((read_published(base)(tokens_BT) - model(tokens_BT)).abs().max()) > 0.1
    report = export_run(lora_run, "peft", tmp_path / "out")
    assert report.checked[0].startswith("on its base it is the run's model")
    # what is not in the adapter is as it was
    untouched = "model.embed_tokens.weight"
    files = [load_file(folder / "model.safetensors") for folder in (base, lora_run / "model")]
    assert torch.equal(files[0][untouched], files[1][untouched])
