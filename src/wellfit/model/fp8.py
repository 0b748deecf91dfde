"""A decoder whose matrix products are taken in 8 bits, through torchao.

For training alone: it shares its weights with the decoder that is measured and published.
"""

from __future__ import annotations

import copy
from typing import Any

from torch import nn

from wellfit.errors import ConfigError, need
from wellfit.model.decoder import Decoder, Linear

_MULTIPLE = 16  # of both sizes of a matrix, or the 8-bit product does not take it
_SMALLEST = 1 << 20  # elements of a matrix; scaling smaller ones costs more than it saves


def in_fp8(decoder: Decoder, *, smallest: int = _SMALLEST, **options: Any) -> Decoder:
    """The same decoder, with the same parameters, whose blocks multiply in float8.

    Scaled by tensor, anew at each product; embedding, head and small layers stay as they are.
    ``options`` are further ones of torchao's ``Float8LinearConfig``.

    Raises ``ConfigError`` where every layer is small or odd, ``MissingExtra`` without torchao.
    """
    float8 = need("torchao.float8", extra="gpu", why="train.precision: fp8")
    # Rows are padded where a batch of them is not a multiple of 16; all others are taken as is.
    config = float8.Float8LinearConfig(pad_inner_dim=True, **options)
    kept = {id(x): x for x in (*decoder.parameters(), *decoder.buffers())}
    twin = copy.deepcopy(decoder, kept)
    large = [
        (name, m)
        for name, m in twin.blocks.named_modules()
        if isinstance(m, Linear) and m.weight.numel() >= smallest
        if not any(size % _MULTIPLE for size in m.weight.shape)
    ]
    if not large:
        what = f"no layer has {smallest:,} weights in sizes that are multiples of {_MULTIPLE}"
        raise ConfigError([f"train.precision: fp8 gains nothing here, {what}; write bf16"])
    for name, layer in large:
        n_out, n_in = layer.weight.shape
        plain = nn.Linear(n_in, n_out, bias=False, device="meta")
        plain.weight, plain.bias = layer.weight, layer.bias  # type: ignore[assignment]
        twin.blocks.set_submodule(name, float8.convert_to_float8_training(plain, config=config))
    return twin
