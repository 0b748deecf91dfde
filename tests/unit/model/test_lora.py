"""LoRA: only the small matrices learn, and merging them in changes nothing."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from tests.tiny_models import SHAPES, random_decoder, random_tokens
from wellfit.config import Lora
from wellfit.config.optim import AdamW
from wellfit.errors import CheckpointError, ConfigError
from wellfit.model import (
    add_lora,
    dropping,
    lora_drop_source,
    lora_layers,
    merge,
    read_adapter,
    write_adapter,
)
from wellfit.optim import build_optimizers

VARIANTS = {"plain": {}, "rslora": {"rslora": True}, "dora": {"dora": True}}
TOKENS = random_tokens(3, 24)


def adapted(name: str = "llama", *, moved: bool = False, **lora):
    """A decoder with small matrices; with ``moved``, none of them is zero any more."""
    decoder = random_decoder(SHAPES[name])
    add_lora(decoder, Lora(**{"rank": 4, **lora}), seed=3)
    if moved:
        draw = torch.Generator().manual_seed(5)
        with torch.no_grad():
            for p in decoder.parameters():
                if p.requires_grad:
                    p += 0.2 * torch.randn(p.shape, generator=draw)
    return decoder


def trained(decoder) -> list[str]:
    return [name for name, p in decoder.named_parameters() if p.requires_grad]


@pytest.mark.parametrize("variant", VARIANTS)
def test_at_first_nothing_changes_and_the_weights_keep_their_names(variant):
    base, decoder = random_decoder(SHAPES["gpt2"]), adapted("gpt2", **VARIANTS[variant])
    with torch.no_grad():
        torch.testing.assert_close(decoder(TOKENS), base(TOKENS), rtol=0, atol=1e-6)
    state = decoder.state_dict()
    # a checkpoint of the base fits under the adapters
    assert all(torch.equal(state[name], tensor) for name, tensor in base.state_dict().items())
    # and what is new says what it is
    kinds = {name.rpartition(".")[2] for name in state.keys() - base.state_dict().keys()}
    assert kinds == {"lora_a", "lora_b"} | ({"magnitude"} if variant == "dora" else set())


def test_the_draw_is_that_of_peft_and_depends_on_seed_and_name_alone():
    first, again = adapted(rank=64), adapted(rank=64, targets=("v", "q"))
    a = first.blocks[1].attention.q.lora_a
    # whatever else is adapted
    assert torch.equal(a, again.blocks[1].attention.q.lora_a)
    # each name has its own draw
    assert not torch.equal(a, first.blocks[0].attention.q.lora_a)
    other = random_decoder(SHAPES["llama"])
    add_lora(other, Lora(rank=64), seed=4)
    assert not torch.equal(a, other.blocks[1].attention.q.lora_a)
    # torch's own, as peft calls it, is bound alike
    draw = torch.Generator().manual_seed(1)
    theirs = torch.nn.init.kaiming_uniform_(torch.empty(64, 32), a=math.sqrt(5), generator=draw)
    largest = [float(x.detach().abs().max()) * math.sqrt(32) for x in (a, theirs)]
    assert all(0.99 < found <= 1 for found in largest)
    # and uniform, within 6 standard errors of the variance
    wanted = pytest.approx(1 / 32 / 3, rel=6 * math.sqrt(0.8 / a.numel()))
    assert float(a.detach().var()) == wanted


def test_only_the_small_matrices_learn():
    decoder = adapted("qwen3", dora=True)
    before = {name: tensor.clone() for name, tensor in decoder.state_dict().items()}
    optimizers = build_optimizers(AdamW(lr=0.1), decoder, weight_decay=0.1)
    for _ in range(2):  # A has no gradient while B is zero
        decoder(TOKENS).square().mean().backward()
        graded = {name for name, p in decoder.named_parameters() if p.grad is not None}
        optimizers.step(1.0)
        optimizers.zero_grad()
    moved = {n for n, tensor in decoder.state_dict().items() if not torch.equal(tensor, before[n])}
    small = {n for n in before if n.endswith((".lora_a", ".lora_b", ".magnitude"))}
    # all of them, and nothing else
    assert moved == graded == small == set(trained(decoder))
    assert len(small) == 2 * 7 * 3


@pytest.mark.parametrize("name", ["qwen3, shared heads, tied", "llama"])
def test_embedding_and_head_learn_whole_where_asked(name):
    decoder = adapted(name, targets="q", embeddings=True)
    whole = [n for n in trained(decoder) if "lora" not in n]
    # tied they are one
    assert whole == (["embed.weight"] if SHAPES[name].tied else ["embed.weight", "head.weight"])
    assert merge(decoder).shape.tied == SHAPES[name].tied


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_merged_weights_compute_the_same(name, variant):
    decoder, atol = adapted(name, moved=True, alpha=4.0, **VARIANTS[variant]), 1e-4
    if decoder.shape.family != "nanochat":  # its norm is written out for float32
        decoder, atol = decoder.double(), 1e-10
        decoder.compute = torch.float64
    plain = merge(decoder)
    with torch.no_grad():
        logits = decoder(TOKENS)
        torch.testing.assert_close(plain(TOKENS), logits, rtol=0, atol=atol)
        # guards the test itself: there was something to merge
        assert float((random_decoder(SHAPES[name])(TOKENS) - logits).abs().max()) > 0.1
    # a plain decoder, all of it trained
    assert plain.state_dict().keys() == random_decoder(SHAPES[name]).state_dict().keys()
    assert all(p.requires_grad for p in plain.parameters())
    # and the adapted one still is
    assert len(lora_layers(decoder)) > 0 and not decoder.embed.weight.requires_grad


def test_the_factor_is_alpha_over_rank_or_its_root():
    # 8 / 4, and 8 / sqrt 4
    for rslora, factor in ((False, 2.0), (True, 4.0)):
        layer = adapted(alpha=8.0, rslora=rslora, moved=True).blocks[0].mlp.up
        x_BTD = torch.randn(1, 2, 32, generator=torch.Generator().manual_seed(1))
        small = factor * x_BTD @ layer.lora_a.T @ layer.lora_b.T
        torch.testing.assert_close(layer(x_BTD), x_BTD @ layer.weight.T + small)


def test_dora_turns_rows_and_keeps_their_lengths():
    decoder = adapted(dora=True, moved=True)
    layer, row = decoder.blocks[0].mlp.up, merge(decoder).blocks[0].mlp.up.weight
    # by definition, whatever A and B are
    torch.testing.assert_close(row.norm(dim=1), layer.magnitude.abs())


def test_in_bfloat16_masters_stay_float32():
    decoder = adapted(moved=True, dora=True)
    with torch.no_grad():
        exact = decoder(TOKENS)
        decoder.compute = torch.bfloat16
        rough = decoder(TOKENS)
    assert rough.dtype == torch.bfloat16
    assert {p.dtype for p in decoder.parameters()} == {torch.float32}
    # the same function, in three digits
    assert float((rough - exact).norm() / exact.norm()) < 0.05


ALL = ["attention.q", "attention.k", "attention.v", "attention.o", "mlp.up", "mlp.gate", "mlp.down"]
TARGETS = [
    ("llama", "all", ALL),
    ("llama", "attention", ALL[:4]),
    ("llama", ("mlp", "q_proj"), ["attention.q", *ALL[4:]]),
    ("llama", ("gate_proj", "gate"), ["mlp.gate"]),
    ("gpt2", "c_attn", ALL[:3]),
    ("gpt2", "c_proj", ["attention.o", "mlp.down"]),
    ("gpt2", ("c_fc", "v"), ["attention.v", "mlp.up"]),
    ("nanochat", ("fc2", "o_proj"), ["attention.o", "mlp.down"]),
]


@pytest.mark.parametrize(("name", "targets", "layers"), TARGETS)
def test_targets_are_named_as_ours_or_as_published(name, targets, layers):
    found = lora_layers(adapted(name, targets=targets))
    # in each block
    assert list(found) == [f"blocks.{i}.{layer}" for i in range(2) for layer in layers]


@pytest.mark.parametrize("targets", ["gate", ("q", "gate_proj"), "lm_head", "wte"])
def test_a_layer_that_the_family_lacks_is_an_error_that_lists_what_it_has(targets):
    wanted = r"gpt2 has no layer '\w+'; write some of all attention q k v o mlp up down c_attn"
    with pytest.raises(ConfigError, match=wanted):
        adapted("gpt2", targets=targets)


def test_dropout_acts_on_the_small_matrices_alone_and_does_not_see_the_cut():
    decoder, cfg = adapted(moved=True), Lora(rank=4, dropout=0.3)
    source = lora_drop_source(decoder.shape, cfg, seed=1, dtype=torch.float32, device="cpu")
    samples = np.arange(3)
    with torch.no_grad():
        plain = decoder(TOKENS)
        with dropping(decoder, source.draw(7, samples)):
            whole = decoder(TOKENS)
        parts = []
        for part in (slice(0, 1), slice(1, 3)):
            with dropping(decoder, source.draw(7, samples[part])):
                parts.append(decoder(TOKENS[part]))
        # every mask is a sample's own
        torch.testing.assert_close(whole, torch.cat(parts), rtol=0, atol=1e-5)
        # it acts, and it ends with the block
        assert float((whole - plain).abs().max()) > 0.1
        assert torch.equal(decoder(TOKENS), plain)
        for layer in lora_layers(decoder).values():
            layer.lora_b.zero_()
        with dropping(decoder, source.draw(7, samples)):
            # the frozen layers see everything
            assert torch.equal(decoder(TOKENS), random_decoder(SHAPES["llama"])(TOKENS))
    # off costs nothing
    assert (
        lora_drop_source(decoder.shape, Lora(), seed=1, dtype=torch.float32, device="cpu") is None
    )


def test_each_layer_has_masks_of_its_own():
    decoder = adapted()
    # two layers of one site would drop alike
    assert [layer.site for layer in lora_layers(decoder).values()] == list(range(2 * 7))


BROKEN = [
    ({"peft_type": "IA3"}, "peft_type: 'IA3' is not supported"),
    ({"bias": "all"}, "bias: 'all' is not supported"),
    ({"init_lora_weights": "pissa"}, "init_lora_weights: 'pissa'"),
    ({"layer_replication": [[0, 2]]}, "layer_replication"),
    ({"lora_alpha": "8"}, "lora_alpha: '8'"),
    ({"alpha_pattern": {"(a+)+b": 8}}, "alpha_pattern"),
]


@pytest.mark.parametrize(("change", "said"), BROKEN)
def test_an_adapter_that_computes_otherwise_is_refused(change, said, tmp_path):
    write_adapter(tmp_path, adapted(), Lora(rank=4), base="base")
    file = tmp_path / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(ConfigError, match=said):
        read_adapter(tmp_path, random_decoder(SHAPES["llama"]))


@pytest.mark.parametrize("name", ["gpt2", "llama, shared heads, tied, bias"])
def test_an_adapter_of_another_base_is_refused(name, tmp_path):
    write_adapter(tmp_path, adapted(), Lora(rank=4), base="base")
    with pytest.raises(CheckpointError, match="does not fit this base"):
        read_adapter(tmp_path, random_decoder(SHAPES[name]))
