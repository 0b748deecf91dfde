"""The shape that a config.json of `transformers` describes.  Nothing here touches a disk."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from wellfit.errors import ConfigError
from wellfit.model.families import OFFERS
from wellfit.model.layouts import ACTIVATIONS, ARCHITECTURES, FULL, OURS, SLIDING
from wellfit.model.shape import Family, Outputs, RopeScaling, Shape

_LLAMA3 = [
    "factor",
    "low_freq_factor",
    "high_freq_factor",
    "original_max_position_embeddings",
]
_KINDS = {
    "silu": "swiglu",
    "swish": "swiglu",
    "gelu_new": "gelu",
    "gelu_pytorch_tanh": "gelu",
    "relu2": "relu2",
}
_GEMMA: dict[str, Any] = {"gain_from": 1.0, "mlp": "geglu"}
# What families that are only read are besides what llama is.
_TRAITS: dict[Family, dict[str, Any]] = {
    "mistral": {},
    "qwen2": {"qkv_bias": True},
    "smollm3": {},
    "gemma": _GEMMA,
    "gemma2": {**_GEMMA, "post_norm": True},
    "gemma3_text": {**_GEMMA, "post_norm": True, "qk_norm": True},
}


class _Absent(NamedTuple):
    """What transformers takes for keys that a config.json of the family leaves out."""

    kv_heads: int | None = None  # None: as many as heads
    head_dim: int | None = None  # None: the width divided by the heads
    theta: float = 10_000.0
    tied: bool = False


_ABSENT: dict[Family, _Absent] = {
    "qwen3": _Absent(32, 128),
    "mistral": _Absent(8),
    "qwen2": _Absent(32),
    "smollm3": _Absent(4, theta=2_000_000.0, tied=True),
    "gemma": _Absent(16, 256, tied=True),
    "gemma2": _Absent(4, 256, tied=True),
    "gemma3_text": _Absent(4, 256, 1_000_000.0, tied=True),
}


class Settings:
    """A config.json being read, with the problems met on the way."""

    def __init__(self, config: Mapping[str, Any], where: str) -> None:
        self.config, self.where = config, where
        self.problems: list[str] = []

    def refuse(self, key: str, value: Any, wanted: str) -> None:
        """Note a value that our decoder cannot be."""
        self.problems.append(f"{self.where}: {key}: {value!r} is not supported; wellfit {wanted}")

    def size(self, key: str, default: int | None = None) -> int:
        """A whole number above 0.  As in transformers, null means the default."""
        value = self.config.get(key)
        value = default if value is None else value
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
        self.refuse(key, value, "wants a whole number above 0 there")
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
    family = next((f for f in ARCHITECTURES if f == named), None)
    if family is None:
        known = ", ".join(ARCHITECTURES)
        raise ConfigError(
            [f"{where}: model_type: {named!r} is not supported; wellfit reads {known}"]
        )
    read = Settings(config, where)
    outputs = published_outputs(config, where=where)
    wanted = [ARCHITECTURES[family]]
    if outputs is None and config.get("architectures", wanted) != wanted:
        read.refuse("architectures", config["architectures"], f"reads {wanted}")
    for key in ("quantization_config", "auto_map"):
        if config.get(key) is not None:
            read.refuse(key, config[key], "reads plain weights of plain architectures")
    if config.get("use_bidirectional_attention"):
        read.refuse("use_bidirectional_attention", True, "has causal attention only")
    shape = _gpt2_shape(read) if family == "gpt2" else _rope_shape(read, family)
    if outputs is not None:
        shape = replace(shape, outputs=len(outputs.names), pool=ours.get("pool", "last"))
    if shape.head_dim * shape.heads != shape.width and family == "gpt2":
        read.refuse("n_head", shape.heads, f"wants a divisor of n_embd, {shape.width}")
    if shape.heads % shape.kv_heads:
        read.refuse("num_key_value_heads", shape.kv_heads, f"wants a divisor of {shape.heads}")
    if shape.position == "rope" and shape.head_dim % 2:
        read.refuse("head_dim", shape.head_dim, "turns pairs, so it wants an even number")
    if read.problems:
        raise ConfigError(read.problems)
    return shape


def _gpt2_shape(read: Settings) -> Shape:
    read.flag("scale_attn_weights", True, only=[True])
    read.flag("scale_attn_by_inverse_layer_idx", False, only=[False])
    read.flag("add_cross_attention", False, only=[False])
    width, heads = read.size("n_embd"), read.size("n_head")
    return Shape(
        **_family_constants("gpt2"),
        vocab=read.size("vocab_size"),
        depth=read.size("n_layer"),
        width=width,
        heads=heads,
        kv_heads=heads,
        head_dim=width // heads,
        context=read.size("n_positions"),
        mlp_width=read.size("n_inner", 4 * width),
        norm_eps=read.number("layer_norm_epsilon", 1e-5),
        mlp=_mlp(read, "activation_function", "gpt2"),
        bias=True,
        tied=read.flag("tie_word_embeddings", True),
        rope_theta=10_000.0,
        softcap=None,
    )


def _rope_shape(read: Settings, family: Family) -> Shape:
    width, heads = read.size("hidden_size"), read.size("num_attention_heads")
    depth = read.size("num_hidden_layers")
    absent = _ABSENT.get(family, _Absent())
    can_bias = [False, True] if family in ("llama", "smollm3") else [False]
    bias = read.flag("attention_bias", False, only=can_bias)
    if len(can_bias) > 1 and read.flag("mlp_bias", False) != bias:
        read.refuse("mlp_bias", not bias, f"reads it equal to attention_bias, {str(bias).lower()}")
    mlp = _TRAITS.get(family, {}).get("mlp")
    sizes: dict[str, Any] = {
        **_family_constants(family),
        "mlp": _geglu(read) if mlp == "geglu" else _mlp(read, "hidden_act", family),
        "vocab": read.size("vocab_size"),
        "depth": depth,
        "width": width,
        "heads": heads,
        "kv_heads": read.size("num_key_value_heads", absent.kv_heads or heads),
        "head_dim": read.size("head_dim", absent.head_dim or width // heads),
        "context": _context(read, family),
        "mlp_width": read.size("intermediate_size"),
        "norm_eps": read.number("rms_norm_eps", 1e-6),
        "bias": bias,
        "tied": read.flag("tie_word_embeddings", absent.tied),
        "softcap": None,
        **_rotary(read, family, depth),
    }
    match family:
        case "nanochat":
            sizes["softcap"] = _cap(read, "final_logit_softcapping", 15.0)
        case "gemma" | "gemma2" | "gemma3_text":
            sizes["embed_scale"] = width**0.5
        case _:
            pass
    if family in ("gemma2", "gemma3_text"):
        usual = (30.0, 50.0) if family == "gemma2" else (None, None)
        sizes["softcap"] = _cap(read, "final_logit_softcapping", usual[0])
        sizes["attention_softcap"] = _cap(read, "attn_logit_softcapping", usual[1])
        sizes["attention_scale"] = read.number("query_pre_attn_scalar", 256.0) ** -0.5
    return Shape(**sizes)


def _cap(read: Settings, key: str, usual: float | None) -> float | None:
    """A bound on scores or logits; null is none."""
    value = read.config.get(key, usual)
    return None if value is None else read.positive(key, value, 1.0)


def _context(read: Settings, family: Family) -> int:
    """How far back it looks: as far as every block does, since we have no sliding windows.

    Within the shortest window a model computes the same with and without it.
    """
    most = read.size("max_position_embeddings")
    if family in ("mistral", "gemma2", "gemma3_text"):
        slides = read.config.get("sliding_window", 4096) is not None
    else:
        slides = read.flag("use_sliding_window", False)
    layers = read.config.get("layer_types") or []
    if set(layers) - {FULL, SLIDING} or (SLIDING in layers and not slides):
        read.refuse("layer_types", layers, f"reads {FULL}, and with a window {SLIDING}")
    return min(most, read.size("sliding_window", 4096)) if slides else most


def _family_constants(family: Family) -> dict[str, Any]:
    offer = OFFERS.get(family, OFFERS["llama"])
    return {
        "family": family,
        "norm": offer.norm[0],
        "norm_gain": offer.norm_gain,
        "embed_norm": offer.embed_norm,
        "position": offer.position[0],
        "rope_sign": offer.rope_sign,
        "qk_norm": offer.qk_norm[0],
        **_TRAITS.get(family, {}),
    }


def _mlp(read: Settings, key: str, family: Family) -> Any:
    """The kind of MLP; without the key it is the family's own."""
    allowed = OFFERS.get(family, OFFERS["llama"]).mlp
    value = read.config.get(key, ACTIVATIONS[allowed[0]])
    kind = _KINDS.get(value) if isinstance(value, str) else None
    if kind not in allowed:
        names = [name for name, kind in _KINDS.items() if kind in allowed]
        read.refuse(key, value, f"reads {' or '.join(names)} in {family}")
        return allowed[0]
    return kind


def _geglu(read: Settings) -> str:
    """Gemma's MLP.  Its first files say "gelu" and mean the approximation; transformers knows."""
    key = "hidden_activation" if read.config.get("hidden_activation") else "hidden_act"
    value = read.config.get(key, "gelu_pytorch_tanh")
    if value not in ("gelu", "gelu_pytorch_tanh"):
        read.refuse(key, value, "reads gelu_pytorch_tanh in this family")
    return "geglu"


def _rotary(read: Settings, family: Family, depth: int) -> dict[str, Any]:
    """The wavelengths, from where transformers 5 or an older one put them."""
    config = read.config
    key = "rope_scaling" if config.get("rope_scaling") else "rope_parameters"
    rope = config.get(key) or {}
    if not isinstance(rope, Mapping):
        read.refuse(key, rope, "wants a JSON object there")
        rope = {}
    found: dict[str, Any] = {}
    if family == "smollm3":
        every = read.size("no_rope_layer_interval", 4)
        turns = config.get("no_rope_layers") or [(i + 1) % every for i in range(depth)]
        if not isinstance(turns, list) or len(turns) < depth:
            read.refuse("no_rope_layers", turns, f"wants a list of {depth}")
        found["layer_rope"] = tuple("global" if turn else "none" for turn in turns[:depth])
    if family == "gemma3_text":
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
    theta = rope.get("rope_theta", config.get("rope_theta", _ABSENT.get(family, _Absent()).theta))
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
