"""Our decoder and transformers' models are the same functions of the same weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.tiny_models import SHAPES, VOCAB, random_decoder, random_tokens, randomize
from wellfit.model import generate, read_published
from wellfit.model.publish import write_model

transformers = pytest.importorskip("transformers")

TOLERANCE = 1e-4  # float32 sums in another order, on logits of a few units
ROPE = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 24,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
GPT2 = {"vocab_size": VOCAB, "n_positions": 24, "n_embd": 32, "n_layer": 2, "n_head": 4}
GPT2 |= {"bos_token_id": None, "eos_token_id": None}
# as users of transformers write them, with the class's own defaults for the rest
THEIRS = {
    "gpt2": transformers.GPT2Config(**GPT2),
    "gpt2, untied, hidden 40": transformers.GPT2Config(
        **GPT2, n_inner=40, tie_word_embeddings=False, activation_function="gelu_pytorch_tanh"
    ),
    "llama": transformers.LlamaConfig(**ROPE),
    "llama, shared heads, tied, bias": transformers.LlamaConfig(
        **ROPE, num_key_value_heads=2, tie_word_embeddings=True, attention_bias=True, mlp_bias=True
    ),
    "llama, wide heads, other base": transformers.LlamaConfig(
        **ROPE, head_dim=16, rope_parameters={"rope_type": "default", "rope_theta": 700.0}
    ),
    "qwen3, wide heads": transformers.Qwen3Config(**ROPE, num_key_value_heads=4),
    "qwen3, shared heads, tied": transformers.Qwen3Config(
        **ROPE, head_dim=8, num_key_value_heads=1, tie_word_embeddings=True
    ),
    "nanochat": transformers.NanoChatConfig(**ROPE),
    "nanochat, shared heads, tied, no cap": transformers.NanoChatConfig(
        **ROPE, num_key_value_heads=2, tie_word_embeddings=True, final_logit_softcapping=None
    ),
    "mistral, with a window": transformers.MistralConfig(
        **{**ROPE, "max_position_embeddings": 64}, num_key_value_heads=2, sliding_window=24
    ),
    "qwen2, untied": transformers.Qwen2Config(**ROPE, num_key_value_heads=2),
    "qwen2, sliding in its last block": transformers.Qwen2Config(
        **{**ROPE, "max_position_embeddings": 64},
        num_key_value_heads=2,
        use_sliding_window=True,
        sliding_window=24,
        max_window_layers=1,
    ),
    "smollm3": transformers.SmolLM3Config(
        **{**ROPE, "num_hidden_layers": 4}, num_key_value_heads=2
    ),
    "gemma": transformers.GemmaConfig(**ROPE, head_dim=16, num_key_value_heads=1),
    "gemma2": transformers.Gemma2Config(**ROPE, head_dim=16, num_key_value_heads=2),
    "gemma3_text": transformers.Gemma3TextConfig(
        **{**ROPE, "num_hidden_layers": 6}, head_dim=16, num_key_value_heads=2
    ),
    "llama 3.1": transformers.LlamaConfig(
        **{**ROPE, "max_position_embeddings": 64},
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 500.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 16,
        },
    ),
}


def _load(folder: Path):
    """Their model, as anybody loads it; anything odd about the weights fails."""
    model, loading = transformers.AutoModelForCausalLM.from_pretrained(
        folder, output_loading_info=True, attn_implementation="eager"
    )
    # every weight found its place, and none was left over
    assert not any(loading.values()), loading
    return model.eval()


def _largest_difference(ours: torch.nn.Module, theirs: torch.nn.Module) -> float:
    tokens_BT = random_tokens(3, 24)
    with torch.no_grad():
        ours_BTV, theirs_BTV = ours(tokens_BT), theirs(tokens_BT).logits
    # guards the test itself: predictions that differ from token to token
    assert ours_BTV.std() > 0.2
    return float((ours_BTV - theirs_BTV).abs().max())


@pytest.fixture(scope="module", params=SHAPES)
def both(request, tmp_path_factory):
    """A decoder of ours, and what transformers makes of its files."""
    folder = tmp_path_factory.mktemp("published")
    decoder = random_decoder(SHAPES[request.param])
    write_model(folder, decoder, eos_id=None)
    return decoder, _load(folder)


def test_transformers_computes_our_logits_from_our_files(both):
    # same weights, same function
    assert _largest_difference(*both) < TOLERANCE


def test_greedy_text_is_the_same_in_both(both):
    decoder, theirs = both
    prompt = random_tokens(5, seed=3)
    text = theirs.generate(
        prompt[None],
        attention_mask=torch.ones(1, 5, dtype=torch.int64),
        max_new_tokens=18,
        do_sample=False,
    )
    ours = list(generate(decoder, prompt.tolist(), n_tokens=18, temperature=0))
    # the likeliest token, eighteen times over
    assert ours == text[0, 5:].tolist()


@pytest.mark.parametrize("name", THEIRS)
def test_we_compute_their_logits_from_their_files(name, tmp_path):
    theirs = transformers.AutoModelForCausalLM.from_config(
        THEIRS[name],
        attn_implementation="eager",  # the others leave out Gemma 2's bound on scores
    ).eval()
    randomize(theirs, seed=4)
    theirs.save_pretrained(tmp_path)
    # same weights, same function, and every default of theirs understood
    assert _largest_difference(read_published(tmp_path), theirs) < TOLERANCE


def test_a_model_in_shards_reads_like_one_in_a_file(tmp_path):
    theirs = transformers.AutoModelForCausalLM.from_config(THEIRS["llama"]).eval()
    randomize(theirs)
    theirs.save_pretrained(tmp_path, max_shard_size="20KB")
    # guards the test itself: there are shards
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    assert _largest_difference(read_published(tmp_path), theirs) < TOLERANCE


def test_half_precision_weights_are_read_exactly(tmp_path):
    theirs = transformers.AutoModelForCausalLM.from_config(THEIRS["gpt2"]).eval()
    randomize(theirs)
    theirs.bfloat16().save_pretrained(tmp_path)
    # float32 holds every bfloat16
    assert _largest_difference(read_published(tmp_path), theirs.float()) < TOLERANCE
