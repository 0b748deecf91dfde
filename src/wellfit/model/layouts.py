"""The config.json of `transformers`, from a shape.  Nothing here touches a disk."""

from __future__ import annotations

from typing import Any, assert_never

from wellfit.model.shape import Family, Outputs, Shape

ARCHITECTURES: dict[Family, str] = {
    "gpt2": "GPT2LMHeadModel",
    "llama": "LlamaForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "nanochat": "NanoChatForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "smollm3": "SmolLM3ForCausalLM",
    "gemma": "GemmaForCausalLM",
    "gemma2": "Gemma2ForCausalLM",
    "gemma3_text": "Gemma3ForCausalLM",
}
FULL, SLIDING = "full_attention", "sliding_attention"
OURS = "wellfit"
"""The key of config.json under which lies what transformers has no word for."""

ACTIVATIONS = {
    "swiglu": "silu",
    "gelu": "gelu_new",
    "relu2": "relu2",
    "geglu": "gelu_pytorch_tanh",
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
    pad_id = None if shape.outputs is None or eos_id is None else int(eos_id == 0)
    return {
        "architectures": [ARCHITECTURES[shape.family]],
        "model_type": shape.family,
        "dtype": "float32",
        "bos_token_id": eos_id,
        "eos_token_id": eos_id,
        "pad_token_id": pad_id,
        "vocab_size": shape.vocab,
        "tie_word_embeddings": shape.tied,
        **(_gpt2_config(shape) if shape.family == "gpt2" else _rope_config(shape)),
        "initializer_range": 0.02,
        "use_cache": True,
        **_outputs_config(shape, outputs),
    }


def _outputs_config(shape: Shape, outputs: Outputs | None) -> dict[str, Any]:
    """The keys of a head for a labelled task.

    A model that no class of transformers computes gets a ``model_type`` that transformers does not
    know, so that it refuses what it would otherwise load and get wrong.
    """
    if shape.outputs is None:
        return {}
    assert outputs is not None and len(outputs.names) == shape.outputs, (shape, outputs)
    names = dict(enumerate(outputs.names))
    head = ARCHITECTURES[shape.family].removesuffix("LMHeadModel").removesuffix("ForCausalLM")
    head = "Gemma3Text" if shape.family == "gemma3_text" else head
    ours: dict[str, Any] = {}
    if outputs.means:
        ours = {"means": outputs.means, "deviations": outputs.deviations}
    config: dict[str, Any] = {
        "architectures": [f"{head}ForSequenceClassification"],
        "id2label": {str(i): name for i, name in names.items()},
        "label2id": {name: i for i, name in names.items()},
        "problem_type": outputs.problem,
    }
    if shape.pool != "last" or shape.family == "nanochat":
        ours |= {"model_type": shape.family, "pool": shape.pool}
        config |= {"architectures": ["WellfitForSequenceClassification"], "model_type": OURS}
    return {**config, **({OURS: ours} if ours else {})}


def _gpt2_config(shape: Shape) -> dict[str, Any]:
    return {
        "n_positions": shape.context,
        "n_embd": shape.width,
        "n_layer": shape.depth,
        "n_head": shape.heads,
        "n_inner": shape.mlp_width,
        "activation_function": ACTIVATIONS[shape.mlp],
        "layer_norm_epsilon": shape.norm_eps,
        "embd_pdrop": 0.0,
        "resid_pdrop": 0.0,
        "attn_pdrop": 0.0,
    }


def _rope_config(shape: Shape) -> dict[str, Any]:
    act = "hidden_activation" if shape.family in ("gemma2", "gemma3_text") else "hidden_act"
    return {
        "max_position_embeddings": shape.context,
        "hidden_size": shape.width,
        "num_hidden_layers": shape.depth,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "intermediate_size": shape.mlp_width,
        act: ACTIVATIONS[shape.mlp],
        "rms_norm_eps": shape.norm_eps,
        "rope_theta": shape.rope_theta,  # where readers older than transformers 5 look
        "attention_dropout": 0.0,
        **_rotary_config(shape),
        **_family_config(shape),
    }


def _rotary_config(shape: Shape) -> dict[str, Any]:
    """The wavelengths, for readers of every age."""
    scaling = shape.rope_scaling
    rope: dict[str, Any] = {"rope_type": "default"}
    if scaling is not None:
        rope = {"rope_type": scaling.kind, "factor": scaling.factor}
        if scaling.kind == "llama3":
            rope["low_freq_factor"] = scaling.low
            rope["high_freq_factor"] = scaling.high
            rope["original_max_position_embeddings"] = int(scaling.original)
    old = {} if scaling is None else {"rope_scaling": rope}
    new = {**rope, "rope_theta": shape.rope_theta}
    if shape.family != "gemma3_text":
        return {"rope_parameters": new, **old}
    local = {"rope_type": "default", "rope_theta": shape.local_theta}
    by_layer = {"full_attention": new, "sliding_attention": local}
    return {"rope_parameters": by_layer, "rope_local_base_freq": shape.local_theta, **old}


def _family_config(shape: Shape) -> dict[str, Any]:
    """Keys that only some families have.  Windows are as long as the context, so none acts."""
    head_dim = {"head_dim": shape.head_dim}
    none = {"use_sliding_window": False, "sliding_window": None}
    bias = {"attention_bias": shape.bias, "mlp_bias": shape.bias}
    gemma = {**head_dim, "attention_bias": False}
    match shape.family:
        case "llama":
            return {**head_dim, **bias}
        case "mistral":
            return {**head_dim, "sliding_window": None}
        case "qwen2":
            return none
        case "qwen3":
            return {**head_dim, **none, "attention_bias": False}
        case "smollm3":
            turns = [int(shape.rope_of(i) != "none") for i in range(shape.depth)]
            return {**bias, **none, "no_rope_layers": turns}
        case "nanochat":
            return {"attention_bias": False, "final_logit_softcapping": shape.softcap}
        case "gemma":
            return gemma
        case "gemma2" | "gemma3_text":
            assert shape.attention_scale is not None, shape
            local = [shape.rope_of(i) == "local" for i in range(shape.depth)]
            return {
                **gemma,
                "query_pre_attn_scalar": round(shape.attention_scale**-2),
                "attn_logit_softcapping": shape.attention_softcap,
                "final_logit_softcapping": shape.softcap,
                "sliding_window": shape.context,
                "layer_types": [SLIDING if is_local else FULL for is_local in local],
            }
        case "gpt2" | "encoder" | "ngrams":
            raise AssertionError(f"{shape.family} has settings of its own")
        case never:
            assert_never(never)
