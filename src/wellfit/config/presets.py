"""Recipes to start from: each is part of a recipe, most of it.

None names the data, because that is for the user to say.  What is not named has the default of
its field.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Preset(NamedTuple):
    """A named part of a recipe, and what it is for in one line."""

    name: str
    about: str
    values: dict[str, Any]


def presets() -> dict[str, Preset]:
    """Every preset by name, in the order to show them."""
    two_minutes = {"train": {"budget": "2 minutes"}, "checkpoint": {"every": "1 minute"}}
    small = {"depth": 4, "width": 192, "context": 256}
    quick = {"model": {"depth": 4}, **two_minutes}
    demo = {
        "data": {"split": {"kind": "hash", "val": "2%", "test": "2%"}},
        "tokenizer": {"kind": "bpe", "vocab": 1024},
        "model": small,
        "train": {"budget": "75 seconds"},
        "evaluate": {"sample": {"prompt": "", "tokens": 80, "temperature": 0.8}},
        "checkpoint": {"every": "30 seconds", "keep": 2},
    }
    shakespeare_char = {
        "data": {"split": {"kind": "tail", "val": "10%", "test": 0}},
        "tokenizer": {"kind": "char"},
        "model": small,
        **two_minutes,
    }
    published = {"depth": 12, "width": 768, "heads": 12, "context": 1024}
    long = {
        "train": {"budget": "10B tokens", "batch": 480},
        "optim": {"kind": "adamw", "lr": 6e-4, "betas": [0.9, 0.95]},
        "schedule": {"kind": "cosine", "warmup": "2k steps", "floor": "10%"},
        "regularize": {"weight_decay": 0.1, "clip": {"kind": "norm", "max": 1.0}},
        "checkpoint": {"every": "30 minutes"},
    }
    gpt2_small = {
        "tokenizer": {"kind": "bpe", "vocab": 50257},
        "model": {"family": "gpt2", **published, "mlp_width": 3072},
        **long,
    }
    llama_small = {
        "tokenizer": {"kind": "bpe", "vocab": 32000},
        "model": {"family": "llama", **published, "kv_heads": 4, "mlp_width": 2048},
        **long,
    }
    built = [
        Preset("quick", "a small model in two minutes on a laptop, to see that all works", quick),
        Preset("demo", "what 'wellfit demo' runs: a minute and a bit on two cores", demo),
        Preset(
            "shakespeare-char",
            "characters of tiny-shakespeare, split as nanoGPT does: the last 10% is val",
            shakespeare_char,
        ),
        Preset("gpt2-small", "the 124M shape of GPT-2, with AdamW and cosine", gpt2_small),
        Preset("llama-small", "a Llama of about the same size, with grouped queries", llama_small),
    ]
    return {preset.name: preset for preset in built}
