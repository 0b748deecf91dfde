"""Where each weight lies in the published layouts, and copying in both directions.

A map is a list of places that is read both ways, so that what is written can be read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from wellfit.model.decoder import Decoder
from wellfit.model.shape import Shape

_PLAIN = {torch.float32, torch.float16, torch.bfloat16, torch.float64}
# Tables that old files carry along.
_DERIVED = re.compile(r".*\.(attn\.bias|attn\.masked_bias|rotary_emb\.inv_freq)")


HEAD, SCORE, POSITIONS = "lm_head.weight", "score.weight", "positions.weight"


class Place(NamedTuple):
    """Where weights of ours lie in a published file: joined along their outputs, as one tensor."""

    ours: tuple[str, ...]
    theirs: str
    transposed: bool = False  # GPT-2 stores (in, out)

    @property
    def layers(self) -> list[str]:
        """The layers of ours whose weights these are; none for a bias."""
        return [n.removesuffix(".weight") for n in self.ours if n.endswith(".weight")]

    @property
    def module(self) -> str:
        """The published layer that holds it."""
        return self.theirs.rpartition(".")[0]


def published_places(shape: Shape) -> list[Place]:
    """Where every weight of a decoder of this shape lies."""
    places = _gpt2_places(shape) if shape.family == "gpt2" else _rope_places(shape)
    if shape.outputs is not None:
        return [*places, Place((SCORE,), SCORE)]
    return places + ([] if shape.tied else [Place(("head.weight",), HEAD)])


def _gpt2_places(shape: Shape) -> list[Place]:
    def both(ours: Sequence[str], theirs: str, transposed: bool = False) -> list[Place]:
        weight = Place(tuple(f"{name}.weight" for name in ours), f"{theirs}.weight", transposed)
        return [weight, Place(tuple(f"{name}.bias" for name in ours), f"{theirs}.bias")]

    places = [
        Place(("embed.weight",), "transformer.wte.weight"),
        Place((POSITIONS,), "transformer.wpe.weight"),
    ]
    for i in range(shape.depth):
        at, there = f"blocks.{i}", f"transformer.h.{i}"
        places += both([f"{at}.norm_attention"], f"{there}.ln_1")
        places += both([f"{at}.attention.{name}" for name in "qkv"], f"{there}.attn.c_attn", True)
        places += both([f"{at}.attention.o"], f"{there}.attn.c_proj", True)
        places += both([f"{at}.norm_mlp"], f"{there}.ln_2")
        places += both([f"{at}.mlp.up"], f"{there}.mlp.c_fc", True)
        places += both([f"{at}.mlp.down"], f"{there}.mlp.c_proj", True)
    places += both(["norm"], "transformer.ln_f")
    return places


def _rope_places(shape: Shape) -> list[Place]:
    parts = {f"attention.{name}": f"self_attn.{name}_proj" for name in "qkvo"}
    if shape.gated:
        parts |= {f"mlp.{name}": f"mlp.{name}_proj" for name in ("up", "gate", "down")}
    else:
        parts |= {"mlp.up": "mlp.fc1", "mlp.down": "mlp.fc2"}
    names = {f"{a}.weight": f"{b}.weight" for a, b in parts.items()}
    biased = [a for a in parts if shape.bias or (shape.qkv_bias and a.endswith((".q", ".k", ".v")))]
    names |= {f"{a}.bias": f"{parts[a]}.bias" for a in biased}
    if shape.norm_gain:
        names["norm_attention.weight"] = "input_layernorm.weight"
        names["norm_mlp.weight"] = "post_attention_layernorm.weight"
        if shape.post_norm:
            names["norm_attention_out.weight"] = "post_attention_layernorm.weight"
            names["norm_mlp.weight"] = "pre_feedforward_layernorm.weight"
            names["norm_mlp_out.weight"] = "post_feedforward_layernorm.weight"
        if shape.qk_norm:
            names |= {f"attention.norm_{n}.weight": f"self_attn.{n}_norm.weight" for n in "qk"}
    ends = {"embed.weight": "model.embed_tokens.weight"}
    ends |= {"norm.weight": "model.norm.weight"} if shape.norm_gain else {}
    inner = [
        Place((f"blocks.{i}.{ours}",), f"model.layers.{i}.{theirs}")
        for i in range(shape.depth)
        for ours, theirs in names.items()
    ]
    return [Place((ours,), theirs) for ours, theirs in ends.items()] + inner


def published_weights(decoder: Decoder) -> dict[str, Tensor]:
    """The weights under their published names, on the CPU, contiguous, in float32."""
    own = decoder.state_dict()
    places = published_places(decoder.shape)
    placed = {name for place in places for name in place.ours}
    assert placed == set(own), f"weights without a place: {sorted(placed ^ set(own))}"
    out = {}
    for place in places:
        tensor = torch.cat([own[name].detach().cpu().float() for name in place.ours])
        out[place.theirs] = (tensor.T if place.transposed else tensor).contiguous()
    return out


def published_names(shape: Shape, found: Iterable[str]) -> dict[str, str]:
    """The weights among the tensors of a file, by their full names.

    Tables that follow from the settings are none; GPT-2's first files leave out ``transformer.``.
    """
    bare = ("wte.", "wpe.", "h.", "ln_f.") if shape.family == "gpt2" else ()
    weights = [name for name in found if not _DERIVED.fullmatch(name)]
    return {f"transformer.{name}" if name.startswith(bare) else name: name for name in weights}


def take_weights(
    decoder: Decoder, published: Mapping[str, Callable[[], Tensor]], *, described: Shape
) -> list[str]:
    """Copy published weights into the decoder; the problems that were met, [] when there are none.

    ``published`` holds functions so that one tensor at a time is in memory.  ``described`` is the
    shape that the file's settings give.  The decoder's may have a shorter context, which takes the
    first positions, and a head for a labelled task of its own, which keeps the values it has.
    """
    own = decoder.state_dict()
    shape = decoder.shape
    places, heads = published_places(described), set[str]()
    same_head = (described.outputs, described.pool) == (shape.outputs, shape.pool)
    if shape.outputs is not None and not same_head:
        heads = {HEAD, SCORE}
        places = [place for place in places if place.theirs not in heads]
    elif shape.tied and shape.outputs is None:
        heads = {HEAD}
    problems = _differences({place.theirs for place in places}, set(published) - heads)
    for place in places:
        if place.theirs in published:
            tensor = published[place.theirs]()
            problem = _take(tensor, [own[name] for name in place.ours], place, described)
            problems += [problem] if problem else []
    if HEAD in heads & set(published) and shape.outputs is None and not problems:
        if not torch.equal(published[HEAD]().float(), own["embed.weight"]):
            problems.append(f"{HEAD} is not the embedding, and its config.json ties them")
    return problems


def _take(tensor: Tensor, own: list[Tensor], place: Place, described: Shape) -> str | None:
    """Copy one published tensor into the weights it is made of, or say why it cannot be."""
    tensor = tensor.T if place.transposed and tensor.ndim == 2 else tensor
    sizes = [weight.shape[0] for weight in own]
    cut = place.ours == (POSITIONS,)
    wanted = (described.context if cut else sum(sizes), *own[0].shape[1:])
    if tuple(tensor.shape) != wanted:
        shown = tuple(reversed(wanted)) if place.transposed else wanted
        found = tuple(tensor.T.shape) if place.transposed else tuple(tensor.shape)
        return f"{place.theirs} is {found}, and its config.json makes it {shown}"
    if tensor.dtype not in _PLAIN:
        return f"{place.theirs} holds {tensor.dtype}; quantized weights are not read"
    for weight, part in zip(own, torch.split(tensor[: sum(sizes)], sizes), strict=True):
        weight.copy_(part)
    return None


def _differences(wanted: set[str], found: set[str]) -> list[str]:
    groups = {"missing": sorted(wanted - found), "unexpected": sorted(found - wanted)}
    return [
        f"{len(names)} {kind}: {', '.join(names[:5])}{' and more' if len(names) > 5 else ''}"
        for kind, names in groups.items()
        if names
    ]
