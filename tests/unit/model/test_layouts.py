"""config.json: what we write says all of a shape, and what we cannot be is refused by name."""

from __future__ import annotations

import json
from typing import get_args

import pytest

from tests.tiny_models import SHAPES
from wellfit.errors import ConfigError
from wellfit.model import published_shape
from wellfit.model.layouts import published_config
from wellfit.model.shape import Family

FAMILIES = [name for name in SHAPES if name in get_args(Family)]
OF_FAMILY = {family: published_config(SHAPES[family], eos_id=3) for family in FAMILIES}


def problems(config: dict) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        published_shape(config)
    return caught.value.problems


@pytest.mark.parametrize("name", [name for name in SHAPES if name != "gpt2, no biases"])
def test_a_shape_survives_its_own_config(name):
    config = json.loads(json.dumps(published_config(SHAPES[name], eos_id=None)))
    # everything that fixes the function is in the file
    assert published_shape(config) == SHAPES[name]


@pytest.mark.parametrize("family", OF_FAMILY)
def test_a_config_names_what_loaders_ask_for(family):
    config = OF_FAMILY[family]
    # the class, the dtype of the file, and what ends a text
    assert config["model_type"] == family and config["dtype"] == "float32"
    assert config["architectures"][0].lower().startswith(family.removesuffix("_text"))
    assert (config["bos_token_id"], config["eos_token_id"]) == (3, 3)
    # null on purpose: an absent one would be 1 in nanochat, and its embedding would never learn
    assert config["pad_token_id"] is None
    assert config["tie_word_embeddings"] is SHAPES[family].tied


def test_the_smallest_gpt2_as_published_is_read():
    config = {
        "activation_function": "gelu_new",
        "architectures": ["GPT2LMHeadModel"],
        "attn_pdrop": 0.1,
        "bos_token_id": 50256,
        "eos_token_id": 50256,
        "layer_norm_epsilon": 1e-05,
        "model_type": "gpt2",
        "n_ctx": 1024,
        "n_embd": 768,
        "n_head": 12,
        "n_layer": 12,
        "n_positions": 1024,
        "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}},
        "vocab_size": 50257,
    }
    shape = published_shape(config)
    # absent keys are transformers' defaults, keys of other purposes are no matter
    assert (shape.mlp_width, shape.tied, shape.head_dim) == (3072, True, 64)
    # its known number of matrix weights: 12 blocks of 12 * 768^2, and the tied head
    assert shape.matmul_parameters == 12 * 12 * 768**2 + 50257 * 768


@pytest.mark.parametrize(
    ("family", "change", "shown"),
    [
        ("llama", {"model_type": "falcon"}, "model_type: 'falcon'"),
        ("llama", {"model_type": ["llama"]}, "model_type: ['llama']"),
        ("llama", {"architectures": ["LlamaModel"]}, "architectures: ['LlamaModel']"),
        ("llama", {"hidden_act": "gelu"}, "hidden_act: 'gelu'"),
        ("llama", {"hidden_act": ["silu"]}, "hidden_act: ['silu']"),
        ("llama", {"attention_bias": True}, "mlp_bias: False"),
        ("llama", {"quantization_config": {"bits": 4}}, "quantization_config: {'bits': 4}"),
        ("llama", {"auto_map": {"AutoModel": "m.M"}}, "auto_map: "),
        ("llama", {"rope_scaling": {"rope_type": "dynamic", "factor": 8.0}}, "rope_scaling: "),
        ("llama", {"rope_scaling": {"type": "linear"}}, "rope_scaling.factor: None"),
        ("llama", {"rope_scaling": "linear"}, "rope_scaling: 'linear'"),
        ("llama", {"rope_parameters": {"rope_type": "yarn"}}, "rope_parameters: "),
        ("llama", {"partial_rotary_factor": 0.5}, "rope_parameters: "),
        ("llama", {"rope_parameters": {"rope_theta": "big"}}, "rope_theta: 'big'"),
        ("llama", {"num_hidden_layers": 2.5}, "num_hidden_layers: 2.5"),
        ("llama", {"vocab_size": True}, "vocab_size: True"),
        ("llama", {"num_key_value_heads": 3}, "num_key_value_heads: 3"),
        ("llama", {"head_dim": 7}, "head_dim: 7"),
        ("llama", {"rms_norm_eps": 0}, "rms_norm_eps: 0"),
        ("llama", {"tie_word_embeddings": 1}, "tie_word_embeddings: 1"),
        ("qwen3", {"attention_bias": True}, "attention_bias: True"),
        ("qwen3", {"use_sliding_window": 1}, "use_sliding_window: 1"),
        ("qwen3", {"use_bidirectional_attention": True}, "use_bidirectional_attention: True"),
        ("qwen3", {"layer_types": ["full_attention", "sliding_attention"]}, "layer_types: "),
        ("nanochat", {"hidden_act": "silu"}, "hidden_act: 'silu'"),
        ("nanochat", {"final_logit_softcapping": -1}, "final_logit_softcapping: -1"),
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx: "),
        ("gpt2", {"scale_attn_weights": False}, "scale_attn_weights: False"),
        ("gpt2", {"add_cross_attention": True}, "add_cross_attention: True"),
        ("gpt2", {"activation_function": "gelu"}, "activation_function: 'gelu'"),
        ("gpt2", {"n_head": 5}, "n_head: 5"),
    ],
)
def test_a_value_that_we_cannot_be_is_named(family, change, shown):
    (text,) = problems({**OF_FAMILY[family], **change})
    # the key, the value, and what would do
    assert text.startswith(f"config.json: {shown}") and "wellfit" in text


@pytest.mark.parametrize("family", OF_FAMILY)
def test_a_missing_size_is_named(family):
    for key in ("vocab_size", "n_embd" if family == "gpt2" else "hidden_size"):
        config = {k: v for k, v in OF_FAMILY[family].items() if k != key}
        # never guessed
        assert any(text.startswith(f"config.json: {key}: None") for text in problems(config))


def test_all_values_are_named_together():
    texts = problems({**OF_FAMILY["llama"], "hidden_act": "gelu", "vocab_size": 0, "mlp_bias": 3})
    # one look at the file mends it
    assert len(texts) == 3


def test_older_files_keep_the_rotary_base_elsewhere():
    config = {**OF_FAMILY["llama"], "rope_theta": 500.0}
    del config["rope_parameters"]
    # before transformers 5: a key of its own, and a scaling that may be null
    assert published_shape({**config, "rope_scaling": None}).rope_theta == 500.0
