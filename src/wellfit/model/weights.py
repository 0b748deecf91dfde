"""Where each weight lies in the published layouts, and copying in both directions.

A map is a list of places that is read both ways, so that what is written can be read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
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


# How other tools call our layers; those of a block without where it stands.
_GPT2 = {
    "embed": "transformer.wte",
    "positions": "transformer.wpe",
    "blocks": "transformer.h",
    "norm_attention": "ln_1",
    **{f"attention.{name}": "attn.c_attn" for name in "qkv"},
    "attention.o": "attn.c_proj",
    "norm_mlp": "ln_2",
    "mlp.up": "mlp.c_fc",
    "mlp.down": "mlp.c_proj",
    "norm": "transformer.ln_f",
}
_ROPE = {
    "embed": "model.embed_tokens",
    "blocks": "model.layers",
    "norm_attention": "input_layernorm",
    **{f"attention.{name}": f"self_attn.{name}_proj" for name in "qkvo"},
    **{f"attention.norm_{name}": f"self_attn.{name}_norm" for name in "qk"},
    "norm_mlp": "post_attention_layernorm",
    **{f"mlp.{name}": f"mlp.{name}_proj" for name in ("up", "gate", "down")},
    "norm": "model.norm",
}
_WITHOUT_GATE = {"mlp.up": "mlp.fc1", "mlp.down": "mlp.fc2"}
_POST_NORM = {
    "norm_attention_out": "post_attention_layernorm",
    "norm_mlp": "pre_feedforward_layernorm",
    "norm_mlp_out": "post_feedforward_layernorm",
}


def _on_meta(shape: Shape) -> dict[str, Tensor]:
    """The weights of a decoder of this shape, without values."""
    with torch.device("meta"):
        return Decoder(shape).state_dict()


def published_places(shape: Shape) -> list[Place]:
    """Where every weight of a decoder of this shape lies."""
    names = {"head": "lm_head", "score": "score", **(_GPT2 if shape.family == "gpt2" else _ROPE)}
    names |= {} if shape.gated or shape.family == "gpt2" else _WITHOUT_GATE
    names |= _POST_NORM if shape.post_norm else {}
    places: dict[str, list[str]] = {}
    for name in _on_meta(shape):
        layer, _, kind = name.rpartition(".")
        first, *block = layer.split(".", 2)  # of a block its number, and what it is there
        theirs = [names[first], *block[:1], *(names[inner] for inner in block[1:]), kind]
        places.setdefault(".".join(theirs), []).append(name)
    return [
        Place(tuple(ours), theirs, transposed=".c_" in theirs and theirs.endswith(".weight"))
        for theirs, ours in places.items()
    ]


def published_weights(decoder: Decoder) -> dict[str, Tensor]:
    """The weights under their published names, on the CPU, contiguous, in float32."""
    own, out, shape = decoder.state_dict(), dict[str, Tensor](), decoder.shape
    if shape.family == "gpt2" and not shape.bias:  # transformers' GPT-2 always has biases
        shape = replace(shape, bias=True)
        own |= {n: torch.zeros(w.shape) for n, w in _on_meta(shape).items() if n not in own}
    for place in published_places(shape):
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
