"""LoRA's small matrices in the layout of PEFT: written so that `peft` loads them, and read back.

Dims: M outputs of a layer.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from wellfit.config import Lora
from wellfit.errors import CheckpointError, ConfigError
from wellfit.model.decoder import Decoder
from wellfit.model.lora import LoraLinear, freeze, lora_layers, put_beside
from wellfit.model.publish import read_json, reading, write_json
from wellfit.model.weights import Place, published_places

ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."
_HEAD = "lm_head"
_A, _B, _LENGTH = ".lora_A.weight", ".lora_B.weight", ".lora_magnitude_vector"
# Settings of an adapter that are read below, or say nothing about what it computes.
_KNOWN = set(
    "peft_type r lora_alpha use_rslora use_dora rank_pattern alpha_pattern bias init_lora_weights "
    "lora_dropout target_modules modules_to_save fan_in_fan_out task_type inference_mode revision "
    "base_model_name_or_path auto_mapping peft_version exclude_modules layers_to_transform "
    "layers_pattern megatron_core qalora_group_size ensure_weight_tying".split()
)


def write_adapter(folder: Path, decoder: Decoder, cfg: Lora, *, base: str) -> None:
    """The files of an adapter, into a directory that exists; ``base`` is where its base lies.

    Layers of ours that are one tensor in the published layout become one adapter: A's below
    each other and B's on a diagonal.  Its rank is their sum, and its alpha is such that the
    factor stays the same.
    """
    tensors: dict[str, Tensor] = {}
    targets: dict[str, tuple[int, float]] = {}  # "attn.c_attn" -> rank, alpha
    found, modules = lora_layers(decoder), dict[str, Any](decoder.named_modules())
    for place in published_places(decoder.shape):
        if not found.keys() & set(place.layers):
            continue
        scale = next(found[name].scale for name in place.layers if name in found)
        # A part without small matrices has some of rank 0: its rows keep the length they have.
        layers = [
            found.get(name) or LoraLinear(modules[name], rank=0, scale=scale, dora=cfg.dora)
            for name in place.layers
        ]
        tensors |= {_PREFIX + place.module + key: t for key, t in _joined(layers).items()}
        rank = tensors[_PREFIX + place.module + _A].shape[0]
        target = ".".join(place.module.split(".")[-2:])
        size = rank, scale * (math.sqrt(rank) if cfg.rslora else rank)
        assert targets.setdefault(target, size) == size, f"{target} differs between blocks"
    whole = {module: p for module, p in _whole(decoder).items() if p.requires_grad}
    tensors |= {f"{_PREFIX}{module}.weight": tensor for module, tensor in whole.items()}
    settings = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM" if decoder.shape.outputs is None else "SEQ_CLS",
        "base_model_name_or_path": base,
        "inference_mode": True,
        "r": cfg.rank,
        "lora_alpha": cfg.alpha,
        "lora_dropout": cfg.dropout,
        "use_rslora": cfg.rslora,
        "use_dora": cfg.dora,
        "bias": "none",
        "fan_in_fan_out": decoder.shape.family == "gpt2",
        "target_modules": list(targets),
        "rank_pattern": {k: rank for k, (rank, _) in targets.items() if rank != cfg.rank},
        "alpha_pattern": {k: a for k, (rank, a) in targets.items() if rank != cfg.rank},
        "modules_to_save": [module.rpartition(".")[2] for module in whole] or None,
    }
    if cfg.embeddings and _ties(decoder):
        settings["ensure_weight_tying"] = True
    write_json(folder / ADAPTER_CONFIG, settings)
    # Cloned, because tied tensors share memory, and safetensors refuses that.
    plain = {name: t.detach().cpu().float().contiguous().clone() for name, t in tensors.items()}
    save_file(plain, folder / ADAPTER_WEIGHTS, metadata={"format": "pt"})


def _joined(layers: list[LoraLinear]) -> dict[str, Tensor]:
    """One adapter that does what those of these layers do, each on its part of the outputs."""
    b = torch.block_diag(*(layer.lora_b for layer in layers))  # type: ignore[no-untyped-call]
    out = {_A: torch.cat(tuple(layer.lora_a for layer in layers)), _B: b}
    lengths = tuple(layer.magnitude for layer in layers if layer.magnitude is not None)
    return out | ({_LENGTH: torch.cat(lengths)} if lengths else {})


def _whole(decoder: Decoder) -> dict[str, nn.Parameter]:
    """What may be trained whole, by its published layer: embedding, head, head of a labelled task.

    PEFT keeps a copy of each of embedding and head even where they are tied.
    """
    ends = (["embed"], ["head"], ["score"])
    places = [place for place in published_places(decoder.shape) if place.layers in ends]
    found = {place.module: decoder.get_parameter(place.ours[0]) for place in places}
    return found | ({_HEAD: decoder.get_parameter("embed.weight")} if _ties(decoder) else {})


def _ties(decoder: Decoder) -> bool:
    return decoder.head is None and decoder.score is None


def read_adapter(folder: Path, decoder: Decoder) -> None:
    """Put the adapter of a PEFT folder, ours or anyone's, into its base, and freeze the rest.

    The one adapter of a fused layer becomes one for each of our layers: its own rows of B, and
    as much of A as they use.

    Raises ``ConfigError`` for settings that are not supported, ``CheckpointError`` for weights
    that are missing, unexpected or of another shape.
    """
    settings = read_json(folder / ADAPTER_CONFIG)
    _refuse_what_is_not_read(settings, folder / ADAPTER_CONFIG)
    with reading(f"the weights of the adapter in {folder}"):
        left = load_file(folder / ADAPTER_WEIGHTS)
    freeze(decoder, embeddings=False)
    for place in published_places(decoder.shape):
        if f"{_PREFIX}{place.module}{_A}" in left and place.layers:
            _spread(decoder, place, left, settings)
    _take_whole(decoder, left)
    if left:
        raise CheckpointError(
            f"the adapter in {folder} does not fit this base: {len(left)} unexpected tensors, "
            f"such as {min(left)}"
        )


def _spread(
    decoder: Decoder, place: Place, left: dict[str, Tensor], settings: dict[str, Any]
) -> None:
    """Take the adapter of one published layer, and put it beside each layer of ours."""
    key, dora = _PREFIX + place.module, bool(settings.get("use_dora"))
    weights = [decoder.get_parameter(f"{name}.weight") for name in place.layers]
    rows, n_in = [len(weight) for weight in weights], weights[0].shape[1]
    rank = max((1, *left[key + _A].shape[:1]))
    a, b = _take(left, key + _A, (rank, n_in)), _take(left, key + _B, (sum(rows), rank))
    own = torch.cat([weight.norm(dim=1) for weight in weights]).detach()
    lengths = _take(left, key + _LENGTH, (sum(rows),)) if dora else own
    scale = _scale(settings, place.module, rank)
    parts = (torch.split(x, rows) for x in (b, lengths, own))
    for name, part, length_M, own_M in zip(place.layers, *parts, strict=True):
        used = part.any(dim=0) if len(rows) > 1 else torch.ones(rank, dtype=torch.bool)
        if not used.any():
            if b.any() and torch.equal(length_M, own_M):
                continue  # a part of a fused layer that has no adapter
            used[0] = True  # a rank of 0 is none
        layer = put_beside(decoder, name, rank=int(used.sum()), scale=scale, dora=dora)
        with torch.no_grad():
            layer.lora_a.copy_(a[used])
            layer.lora_b.copy_(part[:, used])
            if layer.magnitude is not None:
                layer.magnitude.copy_(length_M)


def _take_whole(decoder: Decoder, left: dict[str, Tensor]) -> None:
    """Take what the adapter holds whole, and train it on."""
    whole = {f"{_PREFIX}{module}.weight": p for module, p in _whole(decoder).items()}
    held = {name: (p, _take(left, name, p.shape)) for name, p in whole.items() if name in left}
    for parameter, value in held.values():
        with torch.no_grad():
            parameter.copy_(value)
        parameter.requires_grad_(True)
    values = [value for parameter, value in held.values() if parameter is decoder.embed.weight]
    if _ties(decoder) and held and not (len(values) == 2 and torch.equal(*values)):
        raise CheckpointError("the adapter's head is not its embedding, and its base ties them")


def _take(left: dict[str, Tensor], name: str, size: Sequence[int]) -> Tensor:
    found = left.pop(name, None)
    if found is None or tuple(found.shape) != tuple(size):
        what = "is missing" if found is None else f"is {tuple(found.shape)}"
        raise CheckpointError(
            f"the adapter does not fit this base: {name} {what}, wanted {tuple(size)}"
        )
    return found


def _scale(settings: dict[str, Any], module: str, rank: int) -> float:
    """The factor of a layer's product: alpha, which may differ by layer, over rank or its root."""
    patterns = settings.get("alpha_pattern") or {}
    alphas = [alpha for key, alpha in patterns.items() if f".{module}".endswith(f".{key}")]
    alpha = float([*alphas, settings["lora_alpha"]][0])
    return alpha / (math.sqrt(rank) if settings.get("use_rslora") else rank)


def _refuse_what_is_not_read(settings: dict[str, Any], file: Path) -> None:
    """Raise ``ConfigError`` for every setting that would make the adapter compute otherwise."""
    odd = {key: value for key, value in settings.items() if value and key not in _KNOWN}
    wanted: dict[str, tuple[Any, ...]] = {
        "peft_type": ("LORA",),
        "bias": ("none", None),
        # other ways to start change the weights of the base as well
        "init_lora_weights": (True, False, None, "gaussian"),
    }
    odd |= {k: settings.get(k) for k, values in wanted.items() if settings.get(k) not in values}
    patterns = settings.get("alpha_pattern") or {}
    if not isinstance(patterns, dict) or not all(re.fullmatch(r"[\w.]+", key) for key in patterns):
        odd["alpha_pattern"], patterns = patterns, {}
    alphas = {"lora_alpha": settings.get("lora_alpha"), **patterns}
    odd |= {k: alpha for k, alpha in alphas.items() if not isinstance(alpha, int | float)}
    if odd:
        raise ConfigError([f"{file}: {k}: {v!r} is not supported" for k, v in odd.items()])
