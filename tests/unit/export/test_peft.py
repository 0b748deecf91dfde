"""Export of a LoRA run: its adapter alone, or the whole model with it merged."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from tests.tiny_models import SHAPES, finished_run, random_decoder, random_tokens, tiny_tokenizer
from wellfit.config import Lora, Pretrained
from wellfit.errors import RunError, WellfitError
from wellfit.export import export_run
from wellfit.model import (
    Outputs,
    add_lora,
    lora_layers,
    merge,
    read_adapter,
    read_published,
    write_adapter,
    write_published,
)
from wellfit.model.publish import read_weights
from wellfit.store import RunDir
from wellfit.train.finish import publish

CFG = Lora(rank=4, alpha=6.0, dora=True)
TOKENS = random_tokens(2, 24)


@pytest.fixture
def lora_run(run_path, tmp_path):
    """The directory of a finished run, and the model that it trained."""
    tokenizer, base = tiny_tokenizer(separate=True), random_decoder(SHAPES["gpt2"])
    write_published(tmp_path / "base", base, tokenizer)
    add_lora(base, CFG, seed=1)
    draw = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for layer in lora_layers(base).values():
            layer.lora_b.add_(0.1 * torch.randn(layer.lora_b.shape, generator=draw))
    run = RunDir.create(run_path)
    run.db.touch()
    recipe = SimpleNamespace(model=Pretrained(path=str(tmp_path / "base"), lora=CFG), task=None)
    data = SimpleNamespace(tokenizer=tokenizer, labels=None)
    publish(SimpleNamespace(recipe=recipe, run=run, data=data), base)
    return run, base


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_the_adapter_alone_is_the_model_on_its_base(lora_run, tmp_path):
    run, trained = lora_run
    report = export_run(run.path, "peft", tmp_path / "out")
    back = read_published(tmp_path / "base")
    read_adapter(tmp_path / "out", back)
    with torch.no_grad():
        torch.testing.assert_close(back(TOKENS), trained(TOKENS), rtol=0, atol=1e-4)
    assert report.files == tuple(sorted(f.name for f in (tmp_path / "out").iterdir()))
    assert report.checked[0].startswith("on its base it is the run's model: logits differ by at")
    # where peft is installed it was asked too
    pytest.importorskip("peft")
    assert report.checked[1].startswith("peft's logits differ by at most")
    assert report.logits_max_difference < 1e-3


def test_the_whole_model_is_the_merged_one(lora_run, tmp_path):
    run, trained = lora_run
    export_run(run.path, "hf", tmp_path / "out")
    with torch.no_grad():
        found = read_published(tmp_path / "out")(TOKENS)
        torch.testing.assert_close(found, trained(TOKENS), rtol=0, atol=1e-4)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("pool", ["last", "mean"])
def test_the_adapter_of_a_labelled_task_brings_its_head(pool, run_path, tmp_path):
    tokenizer = tiny_tokenizer(separate=True)
    write_published(tmp_path / "base", random_decoder(SHAPES["llama"]), tokenizer)
    labelled = random_decoder(replace(SHAPES["llama"], outputs=2, pool=pool))
    read_weights(tmp_path / "base", labelled)
    add_lora(labelled, CFG, seed=1)
    run = RunDir.create(run_path)
    run.db.touch()
    meant = Outputs(("no", "yes"), "single_label_classification")
    write_published(run.model, merge(labelled), tokenizer, outputs=meant)
    run.adapter.mkdir()
    write_adapter(run.adapter, labelled, CFG, base=str(tmp_path / "base"))
    report = export_run(run.path, "peft", tmp_path / "out")
    said = {
        "last": "peft's logits differ by at most",
        "mean": "not compared with peft: transformers' classes do not read the mean",
    }
    # the head is not the base's, and is compared where they have one alike
    assert report.checked[1].startswith(said[pool])
    settings = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert (settings["task_type"], settings["modules_to_save"]) == ("SEQ_CLS", ["score"])


def test_without_its_base_the_report_says_so(lora_run, tmp_path):
    run, _ = lora_run
    (tmp_path / "base").rename(tmp_path / "elsewhere")
    report = export_run(run.path, "peft", tmp_path / "out")
    # the adapter is whole all the same
    assert report.checked == (f"not compared: its base is not at {tmp_path / 'base'}",)
    assert json.loads((tmp_path / "out" / "adapter_config.json").read_text())["use_dora"] is True


def test_an_adapter_that_is_not_of_this_model_leaves_nothing(lora_run, tmp_path):
    run, _ = lora_run
    write_published(
        run.model, random_decoder(SHAPES["gpt2"]), tiny_tokenizer(separate=True), replace=True
    )
    # another model than base and adapter make
    with pytest.raises(WellfitError, match="between the adapter on its base and the model"):
        export_run(run.path, "peft", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_run_without_an_adapter_says_what_to_do(run_path, tmp_path):
    run = finished_run(run_path)
    with pytest.raises(RunError, match="has no adapter.*wellfit export .* --to hf"):
        export_run(run, "peft", tmp_path / "out")
