"""The matrix products of a training step of a decoder, and nothing else.

What a step could take at best: the same products, of the same sizes and in the same dtype, with
every tensor at hand.  Forward and both backward products of each linear layer and of the head;
attention as products of whole (T, T) scores, two forward and four backward.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from wellfit.model import Shape


class Products(NamedTuple):
    """All products of a pass over some sequences, and what they come to."""

    run: Callable[[], None]
    flops: float


def products(shape: Shape, *, sequences: int, dtype: torch.dtype) -> Products:
    """The products of one pass of ``sequences`` through a model of this shape."""
    rows = sequences * shape.context
    queries, keys = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    sizes = [(shape.width, queries), (shape.width, keys), (shape.width, keys)]
    sizes += [(queries, shape.width)]
    sizes += [(shape.width, shape.mlp_width)] * (2 if shape.gated else 1)
    sizes += [(shape.mlp_width, shape.width)]
    layers = [_Linear(*size, rows=rows, dtype=dtype) for size in sizes]
    head = _Linear(shape.width, shape.vocab, rows=rows, dtype=dtype)
    attention = _Attention(shape, sequences=sequences, dtype=dtype)

    def run() -> None:
        for _ in range(shape.depth):
            for layer in layers:
                layer()
            attention()
        head()

    linear = sum(layer.flops for layer in layers)
    return Products(run, shape.depth * (linear + attention.flops) + head.flops)


class _Linear:
    def __init__(self, n_in: int, n_out: int, *, rows: int, dtype: torch.dtype) -> None:
        # rows at a time, as a loss over a large vocabulary never holds all of them
        at_once = max(1, min(rows, (1 << 26) // n_out))
        self.times, self.rest = divmod(rows, at_once)
        self.x, self.g = torch.randn(at_once, n_in).to(dtype), torch.randn(at_once, n_out).to(dtype)
        self.w = torch.randn(n_out, n_in).to(dtype)
        self.flops = 6.0 * rows * n_in * n_out

    def __call__(self) -> None:
        for _ in range(self.times):
            self._part(self.x, self.g)
        if self.rest:
            self._part(self.x[: self.rest], self.g[: self.rest])

    def _part(self, x: Tensor, g: Tensor) -> None:
        torch.nn.functional.linear(x, self.w)
        torch.mm(g, self.w)
        torch.mm(g.t(), x)


class _Attention:
    def __init__(self, shape: Shape, *, sequences: int, dtype: torch.dtype) -> None:
        N, T, K = sequences * shape.heads, shape.context, shape.head_dim
        self.x_NTK, self.w_NTT = torch.randn(N, T, K).to(dtype), torch.randn(N, T, T).to(dtype)
        self.flops = 6 * 2.0 * N * T * T * K

    def __call__(self) -> None:
        x_NTK, w_NTT = self.x_NTK, self.w_NTT
        torch.bmm(x_NTK, x_NTK.mT)  # scores
        torch.bmm(w_NTT, x_NTK)  # what is attended to
        torch.bmm(w_NTT.mT, x_NTK)  # the gradient of the values
        torch.bmm(x_NTK, x_NTK.mT)  # of the weights
        torch.bmm(w_NTT, x_NTK)  # of the queries
        torch.bmm(w_NTT.mT, x_NTK)  # of the keys
