"""The published families, and their config.json from a shape.  Nothing here touches a disk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from wellfit.model.shape import Family, Outputs, Shape

FULL, SLIDING = "full_attention", "sliding_attention"
OURS = "wellfit"
"""The key of config.json under which lies what transformers has no word for."""

ACTIVATIONS = {
    "swiglu": ("silu", "swish"),
    "gelu": ("gelu_new", "gelu_pytorch_tanh"),
    "relu2": ("relu2",),
    "geglu": ("gelu_pytorch_tanh", "gelu"),  # Gemma's first files say "gelu" and mean the other
}
"""How config.json calls each kind of MLP; the first is what we write."""


class Layout(NamedTuple):
    """A family as `transformers` implements it, to be read, written, and made anew.

    ``keys`` are those of config.json that not all families have, or take to be the same, each with
    what transformers takes where a file leaves it out; None where that is nothing, or follows from
    other keys.
    """

    architecture: str
    fixed: Mapping[str, Any]  # what its shapes have in common, where it is not Shape's default
    keys: Mapping[str, Any]
    mlp: tuple[str, ...] = ("swiglu",)  # what it can be; the first when nothing is said
    norm_eps: float = 1e-6  # of new models

    @property
    def names(self) -> Mapping[str, str]:
        """Where config.json holds the sizes of a shape."""
        return _GPT2_NAMES if self.fixed.get("position") == "learned" else _ROPE_NAMES

    @property
    def bias(self) -> tuple[bool, ...]:
        """Whether linear layers have one; the first when nothing is said.

        GPT-2's always have one in `transformers`; without, files hold zeros in its place.
        """
        usual = self.fixed.get("bias", False)
        return (usual, not usual) if usual or "mlp_bias" in self.keys else (False,)


_GPT2_NAMES = {
    "context": "n_positions",
    "width": "n_embd",
    "depth": "n_layer",
    "heads": "n_head",
    "mlp_width": "n_inner",
    "mlp": "activation_function",
    "norm_eps": "layer_norm_epsilon",
}
_ROPE_NAMES = {
    "context": "max_position_embeddings",
    "width": "hidden_size",
    "depth": "num_hidden_layers",
    "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads",
    "mlp_width": "intermediate_size",
    "mlp": "hidden_act",
    "norm_eps": "rms_norm_eps",
}
_NO_WINDOW: dict[str, Any] = {"use_sliding_window": False, "sliding_window": None}
_GEMMA = {"head_dim": 256, "attention_bias": False, "tie_word_embeddings": True}
_GEMMA_2 = {
    **_GEMMA,
    "num_key_value_heads": 4,
    "hidden_activation": None,
    "query_pre_attn_scalar": 256.0,
    "attn_logit_softcapping": None,
    "final_logit_softcapping": None,
    "sliding_window": 4096,
    "layer_types": None,
}
_BIASES = {"attention_bias": False, "mlp_bias": False}
LAYOUTS: dict[Family, Layout] = {
    "gpt2": Layout(
        "GPT2LMHeadModel",
        {"norm": "layer", "position": "learned", "bias": True},
        {"tie_word_embeddings": True},
        mlp=("gelu", "relu2"),
        norm_eps=1e-5,
    ),
    "llama": Layout("LlamaForCausalLM", {}, {"head_dim": None, **_BIASES}, norm_eps=1e-5),
    "qwen3": Layout(
        "Qwen3ForCausalLM",
        {"qk_norm": True},
        {"num_key_value_heads": 32, "head_dim": 128, "attention_bias": False, **_NO_WINDOW},
    ),
    "nanochat": Layout(
        "NanoChatForCausalLM",
        {"qk_norm": True, "norm_gain": False, "embed_norm": True, "rope_sign": -1},
        {"attention_bias": False, "final_logit_softcapping": 15.0},
        mlp=("relu2", "gelu"),
    ),
    "mistral": Layout(
        "MistralForCausalLM",
        {},
        {"num_key_value_heads": 8, "head_dim": None, "sliding_window": 4096},
    ),
    "qwen2": Layout(
        "Qwen2ForCausalLM", {"qkv_bias": True}, {"num_key_value_heads": 32, **_NO_WINDOW}
    ),
    "smollm3": Layout(
        "SmolLM3ForCausalLM",
        {},
        {
            "num_key_value_heads": 4,
            "rope_theta": 2_000_000.0,
            "tie_word_embeddings": True,
            "no_rope_layers": None,
            **_BIASES,
            **_NO_WINDOW,
        },
    ),
    "gemma": Layout(
        "GemmaForCausalLM",
        {"gain_from": 1.0},
        {"num_key_value_heads": 16, **_GEMMA},
        mlp=("geglu",),
    ),
    "gemma2": Layout(
        "Gemma2ForCausalLM",
        {"gain_from": 1.0, "post_norm": True},
        {**_GEMMA_2, "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0},
        mlp=("geglu",),
    ),
    "gemma3_text": Layout(
        "Gemma3ForCausalLM",
        {"gain_from": 1.0, "post_norm": True, "qk_norm": True},
        {**_GEMMA_2, "rope_theta": 1_000_000.0},
        mlp=("geglu",),
    ),
}


def published_config(
    shape: Shape, *, eos_id: int | None, outputs: Outputs | None = None
) -> dict[str, Any]:
    """The config.json of a shape; with a head for a labelled task, what its ``outputs`` mean.

    A document begins after the end of another, so one token is both ``bos`` and ``eos``.  There
    is no ``pad``: transformers would freeze the row of the embedding that it names.  With outputs
    it is any token but ``eos``: texts to be labelled end in that, and transformers reads the last
    token that is no padding.
    """
    layout = LAYOUTS[shape.family]
    pad_id = None if shape.outputs is None or eos_id is None else int(eos_id == 0)
    sizes = {key: getattr(shape, name) for name, key in layout.names.items() if name != "mlp"}
    act = "hidden_activation" if "hidden_activation" in layout.keys else layout.names["mlp"]
    config = {
        "architectures": [layout.architecture],
        "model_type": shape.family,
        "dtype": "float32",
        "bos_token_id": eos_id,
        "eos_token_id": eos_id,
        "pad_token_id": pad_id,
        "vocab_size": shape.vocab,
        "tie_word_embeddings": shape.tied,
        **sizes,
        act: ACTIVATIONS[shape.mlp][0],
        "initializer_range": 0.02,
        "use_cache": True,
    }
    if shape.family == "gpt2":
        config |= dict.fromkeys(("embd_pdrop", "resid_pdrop", "attn_pdrop"), 0.0)
    else:
        own = _own_settings(shape)
        config |= {"attention_dropout": 0.0, **_rotary_config(shape)}
        config |= {key: own[key] for key in layout.keys if key in own}
    return config | _outputs_config(shape, outputs)


def _own_settings(shape: Shape) -> dict[str, Any]:
    """What keys that only some families have are.  Windows are as long as the context."""
    local = [shape.rope_of(i) == "local" for i in range(shape.depth)]
    scale = shape.attention_scale
    return {
        "head_dim": shape.head_dim,
        "attention_bias": shape.bias,
        "mlp_bias": shape.bias,
        "use_sliding_window": False,
        "sliding_window": shape.context if shape.post_norm else None,
        "no_rope_layers": [int(shape.rope_of(i) != "none") for i in range(shape.depth)],
        "query_pre_attn_scalar": None if scale is None else round(scale**-2),
        "attn_logit_softcapping": shape.attention_softcap,
        "final_logit_softcapping": shape.softcap,
        "layer_types": [SLIDING if is_local else FULL for is_local in local],
    }


def _rotary_config(shape: Shape) -> dict[str, Any]:
    """The wavelengths, for readers of every age: before transformers 5, rope_theta stood alone."""
    scaling = shape.rope_scaling
    rope: dict[str, Any] = {"rope_type": "default"}
    if scaling is not None:
        rope = {"rope_type": scaling.kind, "factor": scaling.factor}
        if scaling.kind == "llama3":
            rope["low_freq_factor"] = scaling.low
            rope["high_freq_factor"] = scaling.high
            rope["original_max_position_embeddings"] = int(scaling.original)
    new: dict[str, Any] = {**rope, "rope_theta": shape.rope_theta}
    config = {"rope_theta": shape.rope_theta, "rope_parameters": new}
    if shape.family == "gemma3_text":
        local = {"rope_type": "default", "rope_theta": shape.local_theta}
        config["rope_parameters"] = {FULL: new, SLIDING: local}
        config["rope_local_base_freq"] = shape.local_theta
    return config if scaling is None else {**config, "rope_scaling": rope}


def outputs_config(outputs: Outputs) -> dict[str, Any]:
    """The keys for what outputs mean that transformers knows."""
    return {
        "id2label": {str(i): name for i, name in enumerate(outputs.names)},
        "label2id": {name: i for i, name in enumerate(outputs.names)},
        "problem_type": outputs.problem,
    }


def _outputs_config(shape: Shape, outputs: Outputs | None) -> dict[str, Any]:
    """The keys of a head for a labelled task.

    A model that no class of transformers computes gets a ``model_type`` that transformers does not
    know, so that it refuses what it would otherwise load and get wrong.
    """
    if shape.outputs is None:
        return {}
    assert outputs is not None and len(outputs.names) == shape.outputs, (shape, outputs)
    head = LAYOUTS[shape.family].architecture
    head = head.removesuffix("LMHeadModel").removesuffix("ForCausalLM")
    head = "Gemma3Text" if shape.family == "gemma3_text" else head
    config = {"architectures": [f"{head}ForSequenceClassification"], **outputs_config(outputs)}
    ours: dict[str, Any] = {}
    if outputs.means:
        ours = {"means": outputs.means, "deviations": outputs.deviations}
    if shape.pool != "last" or shape.family == "nanochat":
        ours |= {"model_type": shape.family, "pool": shape.pool}
        config |= {"architectures": ["WellfitForSequenceClassification"], "model_type": OURS}
    return config | ({OURS: ours} if ours else {})
