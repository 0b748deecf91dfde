"""Recipes to start from: each a function that returns part of a recipe, most of it.

None names the data, because that is for the user to say.  To change one, edit its mapping:
what is not named has the default of its field.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

Values: TypeAlias = dict[str, Any]


class Preset(NamedTuple):
    """A named part of a recipe, and what it is for in one line."""

    name: str
    about: str
    values: Values


def presets() -> dict[str, Preset]:
    """Every preset by name, in the order to show them."""
    built = [
        Preset("quick", "a small model in two minutes on a laptop, to see that all works", quick()),
        Preset("demo", "what 'wellfit demo' runs: a minute and a bit on two cores", demo()),
        Preset(
            "shakespeare-char",
            "characters of tiny-shakespeare, split as nanoGPT does: the last 10% is val",
            shakespeare_char(),
        ),
        Preset("gpt2-small", "the 124M shape of GPT-2, with AdamW and cosine", gpt2_small()),
        Preset(
            "llama-small", "a Llama of about the same size, with grouped queries", llama_small()
        ),
    ]
    return {preset.name: preset for preset in built}


def quick() -> Values:
    """Minutes on a laptop."""
    return {
        "model": {"depth": 4},
        "train": {"budget": "2 minutes"},
        "checkpoint": {"every": "1 minute"},
    }


def demo() -> Values:
    """Small enough to show something within a minute on two cores."""
    return {
        "data": {"split": {"kind": "hash", "val": "2%", "test": "2%"}},
        "tokenizer": {"kind": "bpe", "vocab": 1024},
        "model": {"depth": 4, "width": 192, "context": 256},
        "train": {"budget": "75 seconds"},
        "evaluate": {"sample": {"prompt": "", "tokens": 80, "temperature": 0.8}},
        "checkpoint": {"every": "30 seconds", "keep": 2},
    }


def shakespeare_char() -> Values:
    """nanoGPT's char split; the model and budget are ours."""
    return {
        "data": {"split": {"kind": "tail", "val": "10%", "test": 0}},
        "tokenizer": {"kind": "char"},
        "model": {"depth": 4, "width": 192, "context": 256},
        "train": {"budget": "2 minutes"},
        "checkpoint": {"every": "1 minute"},
    }


def gpt2_small() -> Values:
    """12 blocks, 768 wide: 124M parameters with the vocabulary of GPT-2 and a tied head."""
    return {
        "tokenizer": {"kind": "bpe", "vocab": 50257},
        "model": {
            "family": "gpt2",
            "depth": 12,
            "width": 768,
            "heads": 12,
            "context": 1024,
            "mlp_width": 3072,
        },
        "train": {"budget": "10B tokens", "batch": 480},
        "optim": {"kind": "adamw", "lr": 6e-4, "betas": [0.9, 0.95]},
        "schedule": {"kind": "cosine", "warmup": "2k steps", "floor": "10%"},
        "regularize": {"weight_decay": 0.1, "clip": {"kind": "norm", "max": 1.0}},
        "checkpoint": {"every": "30 minutes"},
    }


def llama_small() -> Values:
    """12 blocks, 768 wide, 4 key and value heads."""
    return {
        "tokenizer": {"kind": "bpe", "vocab": 32000},
        "model": {
            "family": "llama",
            "depth": 12,
            "width": 768,
            "heads": 12,
            "kv_heads": 4,
            "context": 1024,
            "mlp_width": 2048,
        },
        "train": {"budget": "10B tokens", "batch": 480},
        "optim": {"kind": "adamw", "lr": 6e-4, "betas": [0.9, 0.95]},
        "schedule": {"kind": "cosine", "warmup": "2k steps", "floor": "10%"},
        "regularize": {"weight_decay": 0.1, "clip": {"kind": "norm", "max": 1.0}},
        "checkpoint": {"every": "30 minutes"},
    }
