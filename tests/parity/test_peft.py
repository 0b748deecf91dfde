"""Adapters of ours and of peft are the same functions of the same files."""

from __future__ import annotations

import dataclasses
import warnings

import pytest
import torch

from tests.tiny_models import SHAPES, random_decoder, random_tokens, randomize
from wellfit.config import Lora
from wellfit.model import (
    add_lora,
    lora_layers,
    merge,
    read_adapter,
    read_published,
    write_adapter,
)
from wellfit.model.publish import read_weights, write_model

transformers = pytest.importorskip("transformers")
peft = pytest.importorskip("peft")
# what peft calls in transformers, and in torch, is theirs to keep up with
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")

TOLERANCE = 1e-4  # float32 sums in another order, on logits of a few units
RANK = 3
SETTINGS = {
    "all": {},
    "rsLoRA": {"rslora": True},
    "DoRA": {"dora": True},
    "two layers, DoRA and rsLoRA": {"targets": ("v", "q"), "dora": True, "rslora": True},
    "one layer": {"targets": "down"},
    "mlp, and embeddings": {"targets": "mlp", "embeddings": True},
}
BASES = [
    "llama, shared heads, tied, bias",
    "qwen3",
    "gpt2",
    "gpt2, relu2, untied",
    "nanochat",
    "qwen2",
    "mistral",
    "gemma3_text",
]


def adapted(name: str, cfg: Lora):
    """A decoder with matrices that matter beside its weights, and its base as it was."""
    base, decoder = random_decoder(SHAPES[name]), random_decoder(SHAPES[name])
    add_lora(decoder, cfg, seed=1)
    draw = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in decoder.parameters():
            if parameter.requires_grad:
                parameter += 0.2 * torch.randn(parameter.shape, generator=draw)
    return base, decoder


def load(folder):
    """Their model with the adapter that lies in it, as anybody loads it."""
    base = transformers.AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
    return peft.PeftModel.from_pretrained(base, folder / "adapter", is_trainable=True).eval()


def sizes(decoder) -> dict[str, tuple[int, ...]]:
    """Shapes of what is trained."""
    return {name: tuple(p.shape) for name, p in decoder.named_parameters() if p.requires_grad}


def difference(one, other) -> float:
    tokens_BT = random_tokens(3, 24)
    with torch.no_grad():
        logits = [model(tokens_BT) for model in (one, other)]
    logits = [getattr(found, "logits", found) for found in logits]
    return float((logits[0] - logits[1]).abs().max())


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", BASES)
def test_peft_computes_our_logits_from_our_files(name, setting, tmp_path):
    cfg = Lora(rank=RANK, alpha=5.0, **SETTINGS[setting])
    base, decoder = adapted(name, cfg)
    write_model(tmp_path, base, eos_id=None)
    (tmp_path / "adapter").mkdir()
    write_adapter(tmp_path / "adapter", decoder, cfg, base=str(tmp_path))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        theirs = load(tmp_path)
    # every tensor found its place, and none was left over
    assert not [str(w.message) for w in said if "adapter" in str(w.message)]
    assert difference(decoder, theirs) < TOLERANCE
    # guards the test itself: the adapter matters
    assert difference(base, decoder) > 0.1
    # and what we read from the file is what was written
    back = read_published(tmp_path)
    read_adapter(tmp_path / "adapter", back)
    assert difference(decoder, back) < TOLERANCE
    assert sizes(back) == sizes(decoder)
    # merged, by them and by us
    assert difference(merge(decoder), theirs.merge_and_unload()) < TOLERANCE


PARTS = {"lora_a": "lora_A", "lora_b": "lora_B", "magnitude": "lora_magnitude_vector"}


@pytest.mark.parametrize("dora", [False, True])
def test_gradients_are_those_of_peft(dora, tmp_path):
    cfg = Lora(rank=RANK, alpha=5.0, dora=dora)
    base, decoder = adapted("llama", cfg)
    write_model(tmp_path, base, eos_id=None)
    (tmp_path / "adapter").mkdir()
    write_adapter(tmp_path / "adapter", decoder, cfg, base=str(tmp_path))
    theirs = load(tmp_path)
    tokens_BT = random_tokens(3, 24)
    for logits in (decoder(tokens_BT), theirs(tokens_BT).logits):
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens_BT.flatten()).backward()
    found = {n: p.grad for n, p in theirs.named_parameters() if p.grad is not None}
    for name, part in [("attention.v", "self_attn.v_proj"), ("mlp.down", "mlp.down_proj")]:
        for ours, kind in list(PARTS.items())[: 3 if dora else 2]:
            grad = decoder.get_submodule(f"blocks.0.{name}").get_parameter(ours).grad
            (match,) = [n for n in found if f"layers.0.{part}.{kind}." in n]
            # DoRA's too, where a length is a constant
            torch.testing.assert_close(grad, found[match], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma3_text"])
def test_peft_computes_the_outputs_of_a_labelled_task(name, tmp_path):
    cfg = Lora(rank=RANK, alpha=5.0)
    shape = dataclasses.replace(SHAPES[name], outputs=3)
    write_model(tmp_path, random_decoder(SHAPES[name]), eos_id=None)
    decoder = random_decoder(shape)
    read_weights(tmp_path, decoder)
    add_lora(decoder, cfg, seed=1)
    randomize(decoder.score, seed=2)
    for layer in lora_layers(decoder).values():
        randomize(torch.nn.ParameterList([layer.lora_b]), seed=3)
    (tmp_path / "adapter").mkdir()
    write_adapter(tmp_path / "adapter", decoder, cfg, base=str(tmp_path))
    labelled = transformers.AutoModelForSequenceClassification
    base = labelled.from_pretrained(tmp_path, num_labels=3, attn_implementation="eager")
    theirs = peft.PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    tokens_BT = random_tokens(1, 24)
    back = random_decoder(shape, seed=9)
    read_weights(tmp_path, back)
    read_adapter(tmp_path / "adapter", back)
    with torch.no_grad():
        ours = [d.outputs_of(tokens_BT, torch.tensor([24])) for d in (decoder, back)]
        torch.testing.assert_close(theirs(tokens_BT).logits, ours[0], rtol=0, atol=TOLERANCE)
        # its head comes from the adapter too
        torch.testing.assert_close(ours[1], ours[0], rtol=0, atol=TOLERANCE)


THEIRS = {
    "all": {"target_modules": "all-linear"},
    "patterns": {"rank_pattern": {"q_proj": 5}, "alpha_pattern": {"self_attn.q_proj": 3}},
    "rsLoRA": {"use_rslora": True},
    "DoRA": {"use_dora": True, "target_modules": "all-linear"},
    "embeddings": {"modules_to_save": ["embed_tokens", "lm_head"]},
    "fused": {"target_modules": ["c_attn"], "fan_in_fan_out": True},
}


@pytest.mark.parametrize("setting", THEIRS)
def test_we_compute_their_logits_from_their_files(setting, tmp_path):
    shape = SHAPES["gpt2" if setting == "fused" else "llama, other base"]
    write_model(tmp_path, random_decoder(shape), eos_id=None)
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    wanted = {"r": 4, "lora_alpha": 6, "target_modules": ["q_proj", "v_proj"], **THEIRS[setting]}
    theirs = peft.get_peft_model(model, peft.LoraConfig(**wanted)).eval()
    trained = torch.nn.ParameterList(p for p in theirs.parameters() if p.requires_grad)
    randomize(trained, seed=3)
    if setting == "fused":
        with torch.no_grad():
            trained[1][:32] = 0  # B's rows of q
            trained[3][0] = 0  # and, in the next block, one row alone
    theirs.save_pretrained(tmp_path / "adapter")
    ours = read_published(tmp_path)
    read_adapter(tmp_path / "adapter", ours)
    # same files, same function
    assert difference(ours, theirs) < TOLERANCE
    # guards the test itself: the adapter matters
    assert difference(read_published(tmp_path), theirs) > 0.1
