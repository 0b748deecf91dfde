"""The config.json of `transformers`, from a shape and back.  Nothing here touches a disk."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, assert_never

from wellfit.errors import ConfigError
from wellfit.model.families import OFFERS
from wellfit.model.shape import Family, Shape

ARCHITECTURES: dict[Family, str] = {
    "gpt2": "GPT2LMHeadModel",
    "llama": "LlamaForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "nanochat": "NanoChatForCausalLM",
}
_ACTIVATIONS = {"swiglu": "silu", "gelu": "gelu_new", "relu2": "relu2"}
_KINDS = {
    "silu": "swiglu",
    "swish": "swiglu",
    "gelu_new": "gelu",
    "gelu_pytorch_tanh": "gelu",
    "relu2": "relu2",
}


def published_config(shape: Shape, *, eos_id: int | None) -> dict[str, Any]:
    """The config.json of a shape.

    A document begins after the end of another, so one token is both ``bos`` and ``eos``.  There
    is no ``pad``: transformers would freeze the row of the embedding that it names.
    """
    match shape.family:
        case "gpt2":
            own = _gpt2_config(shape)
        case "llama":
            bias = {"attention_bias": shape.bias, "mlp_bias": shape.bias}
            own = {**_rope_config(shape), "head_dim": shape.head_dim, **bias}
        case "qwen3":
            fixed = {"attention_bias": False, "use_sliding_window": False, "sliding_window": None}
            own = {**_rope_config(shape), "head_dim": shape.head_dim, **fixed}
        case "nanochat":
            capped = {"attention_bias": False, "final_logit_softcapping": shape.softcap}
            own = {**_rope_config(shape), **capped}
        case never:
            assert_never(never)
    return {
        "architectures": [ARCHITECTURES[shape.family]],
        "model_type": shape.family,
        "dtype": "float32",
        "bos_token_id": eos_id,
        "eos_token_id": eos_id,
        "pad_token_id": None,
        "vocab_size": shape.vocab,
        "tie_word_embeddings": shape.tied,
        **own,
        "initializer_range": 0.02,
        "use_cache": True,
    }


def _gpt2_config(shape: Shape) -> dict[str, Any]:
    return {
        "n_positions": shape.context,
        "n_embd": shape.width,
        "n_layer": shape.depth,
        "n_head": shape.heads,
        "n_inner": shape.mlp_width,
        "activation_function": _ACTIVATIONS[shape.mlp],
        "layer_norm_epsilon": shape.norm_eps,
        "embd_pdrop": 0.0,
        "resid_pdrop": 0.0,
        "attn_pdrop": 0.0,
    }


def _rope_config(shape: Shape) -> dict[str, Any]:
    return {
        "max_position_embeddings": shape.context,
        "hidden_size": shape.width,
        "num_hidden_layers": shape.depth,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "intermediate_size": shape.mlp_width,
        "hidden_act": _ACTIVATIONS[shape.mlp],
        "rms_norm_eps": shape.norm_eps,
        "rope_parameters": {"rope_type": "default", "rope_theta": shape.rope_theta},
        "rope_theta": shape.rope_theta,  # where readers older than transformers 5 look
        "attention_dropout": 0.0,
    }


class _Settings:
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


def published_shape(config: Mapping[str, Any], *, where: str = "config.json") -> Shape:
    """The shape that a config.json describes; absent keys are what transformers takes them for.

    Raises ``ConfigError`` with every value that our decoder cannot be, ``where`` in front.
    """
    named = config.get("model_type")
    family = next((f for f in ARCHITECTURES if f == named), None)
    if family is None:
        known = ", ".join(ARCHITECTURES)
        raise ConfigError(
            [f"{where}: model_type: {named!r} is not supported; wellfit reads {known}"]
        )
    read = _Settings(config, where)
    wanted = [ARCHITECTURES[family]]
    if config.get("architectures", wanted) != wanted:
        read.refuse("architectures", config["architectures"], f"reads {wanted}")
    for key in ("quantization_config", "auto_map"):
        if config.get(key) is not None:
            read.refuse(key, config[key], "reads plain weights of plain architectures")
    shape = _gpt2_shape(read) if family == "gpt2" else _rope_shape(read, family)
    if shape.head_dim * shape.heads != shape.width and family == "gpt2":
        read.refuse("n_head", shape.heads, f"wants a divisor of n_embd, {shape.width}")
    if shape.heads % shape.kv_heads:
        read.refuse("num_key_value_heads", shape.kv_heads, f"wants a divisor of {shape.heads}")
    if shape.position == "rope" and shape.head_dim % 2:
        read.refuse("head_dim", shape.head_dim, "turns pairs, so it wants an even number")
    if read.problems:
        raise ConfigError(read.problems)
    return shape


def _gpt2_shape(read: _Settings) -> Shape:
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


def _rope_shape(read: _Settings, family: Family) -> Shape:
    width, heads = read.size("hidden_size"), read.size("num_attention_heads")
    usual_kv_heads, usual_head_dim = (32, 128) if family == "qwen3" else (heads, width // heads)
    bias = read.flag("attention_bias", False, only=OFFERS[family].bias)
    if family == "llama" and read.flag("mlp_bias", False) != bias:
        read.refuse("mlp_bias", not bias, f"reads it equal to attention_bias, {str(bias).lower()}")
    if family == "qwen3":
        read.flag("use_sliding_window", False, only=[False])
        layers = read.config.get("layer_types") or []
        if set(layers) - {"full_attention"}:
            read.refuse("layer_types", layers, "reads full_attention only")
    softcap = None
    if family == "nanochat" and read.config.get("final_logit_softcapping", 15.0) is not None:
        softcap = read.number("final_logit_softcapping", 15.0)
    return Shape(
        **_family_constants(family),
        vocab=read.size("vocab_size"),
        depth=read.size("num_hidden_layers"),
        width=width,
        heads=heads,
        kv_heads=read.size("num_key_value_heads", usual_kv_heads),
        head_dim=read.size("head_dim", usual_head_dim),
        context=read.size("max_position_embeddings"),
        mlp_width=read.size("intermediate_size"),
        norm_eps=read.number("rms_norm_eps", 1e-6),
        mlp=_mlp(read, "hidden_act", family),
        bias=bias,
        tied=read.flag("tie_word_embeddings", False),
        rope_theta=_rope_theta(read),
        softcap=softcap,
    )


def _family_constants(family: Family) -> dict[str, Any]:
    offer = OFFERS[family]
    return {
        "family": family,
        "norm": offer.norm[0],
        "norm_gain": offer.norm_gain,
        "embed_norm": offer.embed_norm,
        "position": offer.position[0],
        "rope_sign": offer.rope_sign,
        "qk_norm": offer.qk_norm[0],
    }


def _mlp(read: _Settings, key: str, family: Family) -> Any:
    """The kind of MLP; without the key it is the family's own."""
    allowed = OFFERS[family].mlp
    value = read.config.get(key, _ACTIVATIONS[allowed[0]])
    kind = _KINDS.get(value) if isinstance(value, str) else None
    if kind not in allowed:
        names = [name for name, kind in _KINDS.items() if kind in allowed]
        read.refuse(key, value, f"reads {' or '.join(names)} in {family}")
        return allowed[0]
    return kind


def _rope_theta(read: _Settings) -> float:
    """The base, from where transformers 5 or an older one put it; any scaling is refused."""
    key = "rope_scaling" if read.config.get("rope_scaling") else "rope_parameters"
    rope = read.config.get(key) or {}
    if not isinstance(rope, Mapping):
        read.refuse(key, rope, "wants a JSON object there")
        return 10_000.0
    kind = rope.get("rope_type", rope.get("type", "default"))
    partial = rope.get("partial_rotary_factor", read.config.get("partial_rotary_factor", 1.0))
    if kind != "default" or partial != 1.0 or set(rope) & {"factor", "full_attention"}:
        read.refuse(key, dict(rope), "reads plain rotary positions: rope_type 'default'")
    theta = rope.get("rope_theta", read.config.get("rope_theta", 10_000.0))
    return read.positive("rope_theta", theta, 10_000.0)
