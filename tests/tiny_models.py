"""Decoders of every family that are small enough for a test, with weights that matter."""

from __future__ import annotations

from pathlib import Path

import torch

from wellfit.config import Decoder as DecoderRecipe
from wellfit.model import Decoder, Shape, explain_shape, published_shape, write_published
from wellfit.store import RunDir
from wellfit.tokenizer import Tokenizer, char_tokenizer

VOCAB = 37
CHARACTERS = "\n abcdefghijklmnopqrstuvwxyz.,!?'-\u00e9\u4e2d"
SIZES = {"depth": 2, "width": 32, "heads": 4, "context": 24, "mlp_width": 48}
RECIPES = {
    "nanochat": {"family": "nanochat"},
    "nanochat, shared heads, tied, no cap": {
        "family": "nanochat",
        "kv_heads": 2,
        "head": "tied",
        "softcap": None,
    },
    "nanochat, gelu, low cap": {"family": "nanochat", "mlp": "gelu", "softcap": 2.0},
    "llama": {"family": "llama"},
    "llama, shared heads, tied, bias": {
        "family": "llama",
        "kv_heads": 1,
        "head": "tied",
        "bias": True,
    },
    "llama, other base": {"family": "llama", "kv_heads": 2, "rope_theta": 500.0},
    "qwen3": {"family": "qwen3"},
    "qwen3, shared heads, tied": {"family": "qwen3", "kv_heads": 2, "head": "tied"},
    "gpt2": {"family": "gpt2"},
    "gpt2, no biases": {"family": "gpt2", "bias": False},
    "gpt2, relu2, untied": {"family": "gpt2", "mlp": "relu2", "head": "untied"},
}
SHAPES: dict[str, Shape] = {
    name: explain_shape(DecoderRecipe(**{**SIZES, **recipe}), vocab=VOCAB).shape
    for name, recipe in RECIPES.items()
}

_SETTINGS = {
    "vocab_size": VOCAB,
    "num_hidden_layers": 2,
    "hidden_size": 32,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 24,
    "tie_word_embeddings": True,
}
_WAVES = {"rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
_GEMMA = {**_SETTINGS, "head_dim": 8}
# families that are not trained from nothing, by the settings that their files hold
SHAPES |= {
    name: published_shape(settings)
    for name, settings in {
        "llama, longer by parts": {
            **_SETTINGS,
            "model_type": "llama",
            "rope_theta": 500.0,
            "rope_scaling": {**_WAVES, "original_max_position_embeddings": 12},
        },
        "llama, longer evenly": {
            **_SETTINGS,
            "model_type": "llama",
            "rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 900.0},
        },
        "mistral": {
            **_SETTINGS,
            "model_type": "mistral",
            "tie_word_embeddings": False,
            "head_dim": 16,
            "max_position_embeddings": 32,
            "sliding_window": 24,
        },
        "qwen2": {**_SETTINGS, "model_type": "qwen2"},
        "smollm3": {**_SETTINGS, "model_type": "smollm3", "no_rope_layer_interval": 2},
        "gemma": {**_GEMMA, "model_type": "gemma", "num_key_value_heads": 1},
        "gemma2": {
            **_GEMMA,
            "model_type": "gemma2",
            "query_pre_attn_scalar": 12,
            "attn_logit_softcapping": 3.0,
            "final_logit_softcapping": 5.0,
            "sliding_window": 24,
            "max_position_embeddings": 32,
        },
        "gemma3_text": {
            **_GEMMA,
            "model_type": "gemma3_text",
            "query_pre_attn_scalar": 12,
            "sliding_window_pattern": 2,
            "rope_local_base_freq": 100.0,
            "rope_scaling": {"rope_type": "linear", "factor": 8.0},
        },
    }.items()
}


def random_decoder(shape: Shape, *, seed: int = 1) -> Decoder:
    """A decoder no weight of which is zero or one, so that each of them changes the logits."""
    decoder = Decoder(shape)
    randomize(decoder, seed=seed)
    return decoder


def randomize(model: torch.nn.Module, *, seed: int = 1) -> None:
    """Matrices around 0 and gains around 1, both wide enough to matter."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            gain = parameter.ndim == 1 and name.endswith("weight")
            noise = torch.randn(parameter.shape, generator=draw)
            parameter.copy_(noise * 0.2 + (1.0 if gain else 0.0))


def random_tokens(*size: int, seed: int = 1, vocab: int = VOCAB) -> torch.Tensor:
    """Token ids, the same every time."""
    return torch.randint(vocab, size, generator=torch.Generator().manual_seed(seed))


def tiny_tokenizer(*, separate: bool) -> Tokenizer:
    """37 tokens, as the tiny shapes have."""
    return char_tokenizer(CHARACTERS[: 36 if separate else 37], separate=separate)


def finished_run(path: Path, name: str = "nanochat", tokenizer: Tokenizer | None = None) -> Path:
    """A run directory with as much of a run as exporting looks at."""
    run = RunDir.create(path)
    run.db.touch()
    write_published(
        run.model, random_decoder(SHAPES[name]), tokenizer or tiny_tokenizer(separate=True)
    )
    return run.path
