"""The shape that a config.json of `transformers` describes.  Nothing here touches a disk."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from wellfit.errors import ConfigError
from wellfit.model.layouts import ACTIVATIONS, FULL, LAYOUTS, OURS, SLIDING, Layout
from wellfit.model.shape import Family, Outputs, RopeScaling, Shape

_LLAMA3 = ["factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"]


class Settings:
    """A config.json being read, with the problems met on the way."""

    def __init__(self, config: Mapping[str, Any], where: str) -> None:
        self.config, self.where = config, where
        self.problems: list[str] = []

    def refuse(self, key: str, value: Any, wanted: str) -> None:
        """Note a value that our decoder cannot be."""
        self.problems.append(f"{self.where}: {key}: {value!r} is not supported; wellfit {wanted}")

    def size(self, key: str, default: int | None = None, *, above: int = 0) -> int:
        """A whole number above a bound.  As in transformers, null means the default."""
        value = self.config.get(key)
        value = default if value is None else value
        if isinstance(value, int) and not isinstance(value, bool) and value > above:
            return value
        self.refuse(key, value, f"wants a whole number above {above} there")
        return 2  # any even number: reading goes on, to find every problem

    def number(self, key: str, default: float) -> float:
        """A number above 0."""
        return self.positive(key, self.config.get(key, default), default)

    def positive(self, key: str, value: Any, default: float) -> float:
        """``value`` where it is a number above 0."""
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if is_number and 0 < value < math.inf:
            return float(value)
        self.refuse(key, value, "wants a number above 0 there")
        return default

    def flag(self, key: str, default: bool, *, only: Sequence[bool] = (False, True)) -> bool:
        """True or false, where only those in ``only`` are something we can be."""
        value = self.config.get(key, default)
        if value not in only or not isinstance(value, bool):
            self.refuse(key, value, f"reads only {' or '.join(str(v).lower() for v in only)}")
            return default
        return value


def published_outputs(config: Mapping[str, Any], *, where: str = "config.json") -> Outputs | None:
    """What the outputs of a published model mean; None for a language model."""
    named = config.get("architectures")
    first = str(named[0]) if isinstance(named, list) and named else ""
    if not first.endswith("ForSequenceClassification"):
        return None
    names = config.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}
    ours = config.get(OURS) or {}
    try:
        return Outputs(
            tuple(str(names[key]) for key in sorted(names, key=int)),
            config.get("problem_type") or "single_label_classification",
            tuple(ours.get("means", ())),
            tuple(ours.get("deviations", ())),
        )
    except (AttributeError, TypeError, ValueError) as e:
        raise ConfigError([f"{where}: id2label: {names!r} is not what labels mean: {e}"]) from None


def published_shape(config: Mapping[str, Any], *, where: str = "config.json") -> Shape:
    """The shape that a config.json describes; absent keys are what transformers takes them for.

    Raises ``ConfigError`` with every value that our decoder cannot be, ``where`` in front.
    """
    ours: Mapping[str, Any] = config.get(OURS) or {}
    named = ours.get("model_type") or config.get("model_type")
    family = next((f for f in LAYOUTS if f == named), None)
    if family is None:
        what = f"{named!r} is not supported; wellfit reads {', '.join(LAYOUTS)}"
        raise ConfigError([f"{where}: model_type: {what}"])
    read, layout = Settings(config, where), LAYOUTS[family]
    outputs = published_outputs(config, where=where)
    wanted = [layout.architecture]
    if outputs is None and config.get("architectures", wanted) != wanted:
        read.refuse("architectures", config["architectures"], f"reads {wanted}")
    for key in ("quantization_config", "auto_map"):
        if config.get(key) is not None:
            read.refuse(key, config[key], "reads plain weights of plain architectures")
    if config.get("use_bidirectional_attention"):
        read.refuse("use_bidirectional_attention", True, "has causal attention only")
    sizes: dict[str, Any] = {
        **layout.fixed,
        "family": family,
        "vocab": read.size("vocab_size"),
        "mlp": _mlp(read, family, layout),
        "tied": read.flag("tie_word_embeddings", layout.keys.get("tie_word_embeddings", False)),
    }
    for name in ("context", "width", "depth", "heads"):
        sizes[name] = read.size(layout.names[name])
    sizes |= _gpt2(read, sizes) if family == "gpt2" else _rope(read, layout, sizes)
    if outputs is not None:
        sizes |= {"outputs": len(outputs.names), "pool": ours.get("pool", "last")}
    shape = Shape(**sizes)
    if shape.heads % shape.kv_heads:
        read.refuse("num_key_value_heads", shape.kv_heads, f"wants a divisor of {shape.heads}")
    if shape.position == "rope" and shape.head_dim % 2:
        read.refuse("head_dim", shape.head_dim, "turns pairs, so it wants an even number")
    if read.problems:
        raise ConfigError(read.problems)
    return shape


def _gpt2(read: Settings, sizes: dict[str, Any]) -> dict[str, Any]:
    """What only GPT-2's settings say."""
    read.flag("scale_attn_weights", True, only=[True])
    read.flag("scale_attn_by_inverse_layer_idx", False, only=[False])
    read.flag("add_cross_attention", False, only=[False])
    width, heads = sizes["width"], sizes["heads"]
    if width % heads:
        read.refuse("n_head", heads, f"wants a divisor of n_embd, {width}")
    return {
        "kv_heads": heads,
        "head_dim": width // heads,
        "mlp_width": read.size("n_inner", 4 * width),
        "norm_eps": read.number("layer_norm_epsilon", 1e-5),
    }


def _rope(read: Settings, layout: Layout, sizes: dict[str, Any]) -> dict[str, Any]:
    """What the settings of all but GPT-2 say, some of them in their families only."""
    keys, width, heads = layout.keys, sizes["width"], sizes["heads"]
    bias = read.flag("attention_bias", False, only=layout.bias)
    if "mlp_bias" in keys and read.flag("mlp_bias", False) != bias:
        read.refuse("mlp_bias", not bias, f"reads it equal to attention_bias, {str(bias).lower()}")
    found = {
        "kv_heads": read.size("num_key_value_heads", keys.get("num_key_value_heads", heads)),
        "head_dim": read.size("head_dim", keys.get("head_dim") or width // heads),
        "context": _context(read, layout, sizes["context"]),
        "mlp_width": read.size("intermediate_size"),
        "norm_eps": read.number("rms_norm_eps", 1e-6),
        "bias": bias,
        "softcap": _cap(read, "final_logit_softcapping", keys),
        "attention_softcap": _cap(read, "attn_logit_softcapping", keys),
        **_rotary(read, layout, sizes["depth"]),
    }
    if "query_pre_attn_scalar" in keys:
        usual = keys["query_pre_attn_scalar"]
        found["attention_scale"] = read.number("query_pre_attn_scalar", usual) ** -0.5
    if "gain_from" in layout.fixed:  # Gemma
        found["embed_scale"] = width**0.5
    return found


def _cap(read: Settings, key: str, usual: Mapping[str, Any]) -> float | None:
    """A bound on scores or logits, in families that have it; null is none."""
    value = read.config.get(key, usual[key]) if key in usual else None
    return None if value is None else read.positive(key, value, 1.0)


def _context(read: Settings, layout: Layout, most: int) -> int:
    """How far back it looks: as far as every block does, since we have no sliding windows.

    Within the shortest window a model computes the same with and without it.
    """
    usual = layout.keys.get("sliding_window")
    if usual is None:
        slides = read.flag("use_sliding_window", False)
    else:
        slides = read.config.get("sliding_window", usual) is not None
    layers = read.config.get("layer_types") or []
    if set(layers) - {FULL, SLIDING} or (SLIDING in layers and not slides):
        read.refuse("layer_types", layers, f"reads {FULL}, and with a window {SLIDING}")
    return min(most, read.size("sliding_window", 4096)) if slides else most


def _mlp(read: Settings, family: Family, layout: Layout) -> str:
    """The kind of MLP; without the key it is the family's own."""
    key = layout.names["mlp"]
    if "geglu" in layout.mlp and read.config.get("hidden_activation"):
        key = "hidden_activation"
    value = read.config.get(key, ACTIVATIONS[layout.mlp[0]][0])
    kinds = {name: kind for kind in layout.mlp for name in ACTIVATIONS[kind]}
    if not isinstance(value, str) or value not in kinds:
        read.refuse(key, value, f"reads {' or '.join(kinds)} in {family}")
        return layout.mlp[0]
    return kinds[value]


def _rotary(read: Settings, layout: Layout, depth: int) -> dict[str, Any]:
    """The wavelengths, from where transformers 5 or an older one put them."""
    config = read.config
    key = "rope_scaling" if config.get("rope_scaling") else "rope_parameters"
    rope = config.get(key) or {}
    if not isinstance(rope, Mapping):
        read.refuse(key, rope, "wants a JSON object there")
        rope = {}
    found: dict[str, Any] = {}
    if "no_rope_layers" in layout.keys:
        every = read.size("no_rope_layer_interval", 4)
        turns = config.get("no_rope_layers") or [(i + 1) % every for i in range(depth)]
        if not isinstance(turns, list) or len(turns) < depth:
            read.refuse("no_rope_layers", turns, f"wants a list of {depth}")
        found["layer_rope"] = tuple("global" if turn else "none" for turn in turns[:depth])
    if layout is LAYOUTS["gemma3_text"]:
        every = read.size("sliding_window_pattern", 6)
        kinds = config.get("layer_types") or [
            SLIDING if (i + 1) % every else FULL for i in range(depth)
        ]
        found["layer_rope"] = tuple("local" if k == SLIDING else "global" for k in kinds[:depth])
        local = rope.get(SLIDING) or {}
        if _scaling(read, f"{key}.{SLIDING}", local) is not None:
            read.refuse(f"{key}.{SLIDING}", local, "reads it without scaling")
        base = local.get("rope_theta", config.get("rope_local_base_freq", 10_000.0))
        found["local_theta"] = read.positive("rope_local_base_freq", base, 10_000.0)
        rope = rope.get(FULL, rope if key == "rope_scaling" else {})
    usual = layout.keys.get("rope_theta", 10_000.0)
    theta = rope.get("rope_theta", config.get("rope_theta", usual))
    return {
        **found,
        "rope_theta": read.positive("rope_theta", theta, 10_000.0),
        "rope_scaling": _scaling(read, key, rope),
    }


def _scaling(read: Settings, key: str, rope: Mapping[str, Any]) -> RopeScaling | None:
    """How wavelengths are stretched; what is not in ``RopeScaling`` is refused."""
    kind = rope.get("rope_type", rope.get("type", "default"))
    partial = rope.get("partial_rotary_factor", read.config.get("partial_rotary_factor", 1.0))
    keys = {"linear": ["factor"], "llama3": _LLAMA3}.get(kind, [])
    stray = kind == "default" and set(rope) & {"factor", "full_attention"}
    if kind not in ("default", "linear", "llama3") or partial != 1.0 or stray:
        wanted = "reads rotary positions of all dimensions with rope_type default, linear or llama3"
        read.refuse(key, dict(rope), wanted)
        return None
    if kind == "default":
        return None
    numbers = [read.positive(f"{key}.{name}", rope.get(name), 1.0) for name in keys]
    return RopeScaling(kind, *numbers)
