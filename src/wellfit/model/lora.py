"""LoRA: small trained matrices beside frozen weights.

Dims: R rank, N inputs of a layer, M outputs of it, P pool of masks.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wellfit.config import Lora
from wellfit.errors import ConfigError
from wellfit.model.decoder import Decoder, Linear
from wellfit.model.dropout import Drop, DropSource, drop_pool, mix
from wellfit.model.init import uniform_value
from wellfit.model.shape import Shape
from wellfit.model.weights import published_places

_PURPOSE = 0x10A  # keeps these masks apart from those of the other dropout
_MOST_LAYERS = 7  # of a block: q, k, v, o, gate, up, down


class LoraLinear(nn.Module):
    """A frozen ``Linear`` plus ``scale * B A``, a product of two small trained matrices.

    The product is never formed: an input passes through A and B, which costs a share
    R (N + M) / (N M) of the layer itself.  Weight and bias keep the names they had.

    With DoRA each row of W + scale * B A is brought to a trained length, ``magnitude_M``; the
    length it has by itself counts as a constant in the gradient, as in PEFT.  That length does
    form the sum, once per forward pass and in no graph.  Unlike in PEFT, dropout acts on the
    input of A alone and not on that of W, which spares a second product with W.

    Source  LoRA, arXiv:2106.09685; DoRA, arXiv:2402.09353, sec. 4.3.
    """

    def __init__(self, base: Linear, *, rank: int, scale: float, dora: bool) -> None:
        super().__init__()
        n_out, n_in = base.weight.shape
        self.weight, self.bias = base.weight, base.bias
        self.lora_a = nn.Parameter(base.weight.new_zeros(rank, n_in))
        self.lora_b = nn.Parameter(base.weight.new_zeros(n_out, rank))
        self.scale = scale
        self.magnitude = nn.Parameter(base.weight.detach().norm(dim=1)) if dora else None
        self.drop: Drop | None = None  # see ``dropping``
        self.site = 0

    def forward(self, x: Tensor) -> Tensor:
        low = x if self.drop is None else self.drop.apply(x, self.site)
        low = F.linear(low, self.lora_a.to(x.dtype)) * self.scale
        own = F.linear(low, self.lora_b.to(x.dtype))
        bias = None if self.bias is None else self.bias.to(x.dtype)
        if self.magnitude is None:
            return F.linear(x, self.weight.to(x.dtype), bias) + own
        with torch.no_grad():
            length_M = self._sum().norm(dim=1)
        factor_M = (self.magnitude / length_M).to(x.dtype)
        y: Tensor = (F.linear(x, self.weight.to(x.dtype)) + own) * factor_M
        return y if bias is None else y + bias

    def _sum(self) -> Tensor:
        return torch.addmm(self.weight, self.lora_b, self.lora_a, alpha=self.scale)

    @torch.no_grad()
    def merged(self) -> Linear:
        """The one layer that computes the same."""
        weight = self._sum()
        if self.magnitude is not None:
            weight *= (self.magnitude / weight.norm(dim=1))[:, None]
        linear = Linear(*reversed(self.weight.shape), bias=False)
        linear.weight = nn.Parameter(weight)
        linear.bias = self.bias
        return linear


def add_lora(decoder: Decoder, cfg: Lora, *, seed: int) -> None:
    """Freeze the decoder, and put small matrices beside the layers that ``cfg`` names.

    B starts at zero, so nothing changes yet; A is uniform with variance 1 / (3 N), drawn as a
    function of (seed, name) alone, as PEFT's (Kaiming with a = sqrt 5).

    Raises ``ConfigError`` for targets that this family does not have.
    """
    names = target_layers(decoder, cfg.targets)
    freeze(decoder, embeddings=cfg.embeddings)
    scale = cfg.alpha / (math.sqrt(cfg.rank) if cfg.rslora else cfg.rank)
    for name in names:
        layer = put_beside(decoder, name, rank=cfg.rank, scale=scale, dora=cfg.dora)
        size = tuple(layer.lora_a.shape)
        value = uniform_value(f"{name}.lora_a", size, bound=1 / math.sqrt(size[1]), seed=seed)
        with torch.no_grad():
            layer.lora_a.copy_(value)


def target_layers(decoder: Decoder, targets: str | tuple[str, ...]) -> list[str]:
    """The layers that the words of ``targets`` mean, in the order of the model.

    A word is a group (all, attention, mlp), a layer of ours (q) or its published name, which
    may mean several: GPT-2's c_attn is q, k and v, and its c_proj both o and down.
    """
    inner = [name for name, m in decoder.blocks[0].named_modules() if isinstance(m, Linear)]
    means: dict[str, set[str]] = {"all": set(inner)}
    for name in inner:
        for word in name.split("."):
            means.setdefault(word, set()).add(name)
    for place in published_places(decoder.shape):
        for name in place.layers:
            if name.removeprefix("blocks.0.") in inner:
                leaf = place.module.rpartition(".")[2]
                means.setdefault(leaf, set()).add(name.removeprefix("blocks.0."))
    asked = (targets,) if isinstance(targets, str) else targets
    unknown = [word for word in asked if word not in means]
    if unknown or not asked:
        said = ", ".join(map(repr, unknown)) or "nothing"
        what = f"{decoder.shape.family} has no layer {said}; write some of {' '.join(means)}"
        raise ConfigError([f"model.lora.targets: {what}"])
    chosen = set[str]().union(*(means[word] for word in asked))
    count = len(decoder.blocks)
    return [f"blocks.{i}.{name}" for i in range(count) for name in inner if name in chosen]


def freeze(decoder: Decoder, *, embeddings: bool) -> None:
    """Train nothing but the head of a labelled task and, if asked, embedding and output layer."""
    decoder.requires_grad_(False)
    for part in (decoder.score, *((decoder.embed, decoder.head) if embeddings else ())):
        if part is not None:
            part.requires_grad_(True)


def put_beside(decoder: Decoder, name: str, *, rank: int, scale: float, dora: bool) -> LoraLinear:
    """Replace the linear layer called ``name`` by one with small matrices, all zero yet."""
    base = decoder.get_submodule(name)
    assert isinstance(base, Linear), f"{name} is {type(base).__name__}"
    layer = LoraLinear(base, rank=rank, scale=scale, dora=dora)
    layer.site = len(lora_layers(decoder))
    decoder.set_submodule(name, layer)
    return layer


def lora_layers(decoder: Decoder) -> dict[str, LoraLinear]:
    """The layers that have small matrices, by name; empty for a plain decoder."""
    return {name: m for name, m in decoder.named_modules() if isinstance(m, LoraLinear)}


def merge(decoder: Decoder) -> Decoder:
    """A plain decoder that computes the same; the given one stays as it is."""
    plain = copy.deepcopy(decoder)
    for name, layer in lora_layers(plain).items():
        plain.set_submodule(name, layer.merged())
    return plain.requires_grad_(True)


def lora_drop_source(
    shape: Shape, cfg: Lora, *, seed: int, dtype: torch.dtype, device: str
) -> DropSource | None:
    """What draws the masks for the input of every A; None when nothing is dropped."""
    if not cfg.dropout:
        return None
    seed = int(mix(seed, _PURPOSE))
    window = shape.context * max(shape.width, shape.mlp_width, shape.heads * shape.head_dim)
    pool_P = drop_pool(cfg.dropout, seed, window, dtype, device)
    return DropSource(pool_P, seed, _MOST_LAYERS * shape.depth)


@contextmanager
def dropping(decoder: Decoder, drop: Drop | None) -> Iterator[None]:
    """Forward passes inside the block use these masks; None for none.

    By an attribute, because nothing between the decoder and its linear layers need know of it.
    The backward pass belongs inside as well: it runs checkpointed blocks again.
    """
    layers = lora_layers(decoder).values() if drop is not None else ()
    for layer in layers:
        layer.drop = drop
    try:
        yield
    finally:
        for layer in layers:
            layer.drop = None
