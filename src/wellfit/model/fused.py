"""Parts of the decoder whose forward and backward are written out, for speed on a processor.

Each is equal to its plain form up to rounding (tests hold them against torch), saves less for
the backward pass, and makes fewer passes over memory.  Measured on two cores in bfloat16, a
step of four blocks 256 wide: attention alone took forward and backward from 271 ms to 203 ms
(LOG.md, 2026-11-21).

Dims: B sequences, H heads, T time, D width, K per head, N batch and heads together, or rows,
P pool.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Windows = tuple[Tensor, Tensor]
"""A pool of values (P,), and where in it the window of each row begins (N,)."""

_GELU = math.sqrt(2 / math.pi)
# Of tanh(x) = x P(x^2) / Q(x^2) below 8.4, the highest power first: least squares in float64 whose
# weights grew with the error until it was 1e-8 everywhere (Lawson's way).
_TANH_ABOVE = (1.4287991e-08, 2.1251829e-05, 0.0035335617, 0.13412686, 0.99999995)
_TANH_BELOW = (8.148941e-07, 0.000334846, 0.026020462, 0.46746, 1.0)
_ONEDNN = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
_ONEDNN_BF16 = _ONEDNN and torch.ops.mkldnn._is_mkldnn_bf16_supported()
LONGEST = 512  # beyond this the (T, T) weights cost more memory than they save time


def pays(q_BHTK: Tensor, *, grouped: bool) -> bool:
    """Whether attention that keeps its weights is the faster one here: short, on a CPU, to learn.

    With shared key-value heads, which have to be copied, only in bfloat16: torch's backward pass
    is twice as slow there, and a third faster in float32 (8 heads, 2 shared, context 256).  To
    look alone torch's is 1.4 to 1.9 times as fast (LOG.md, 2026-11-22).
    """
    short = q_BHTK.device.type == "cpu" and q_BHTK.shape[2] <= LONGEST
    return short and torch.is_grad_enabled() and not (grouped and q_BHTK.dtype == torch.float32)


class CausalAttention(torch.autograd.Function):
    """Causal attention that keeps its weights (T, T) for the backward pass.

    Flash attention computes them again instead; for short sequences on a processor that costs
    more than keeping them, and its backward pass runs far below the speed of matrix products.
    """

    @staticmethod
    def forward(
        ctx: Any,
        q_BHTK: Tensor,
        k_BHTK: Tensor,
        v_BHTK: Tensor,
        mask: Tensor | None,
        scale: float,
        pool_P: Tensor | None,
        starts_N: Tensor | None,
    ) -> Tensor:
        B, H, T, K = q_BHTK.shape
        q_NTK, k_NTK, v_NTK = (x.reshape(-1, T, K) for x in (q_BHTK, k_BHTK, v_BHTK))
        if mask is None and torch.compiler.is_compiling():
            # Read with the scores by their softmax; as a running sum, since a compiler would work
            # out anything less for each score anew.
            seen_TT = torch.eye(T, device=q_NTK.device).cumsum(0)
            scores_NTT = torch.bmm(q_NTK, k_NTK.mT) * scale + (seen_TT - 1) * 1e30
        else:
            if mask is None:
                mask = q_NTK.new_full((T, T), float("-inf")).triu_(1)
            mask_NTT = mask.expand(B, H, T, T).reshape(-1, T, T)
            scores_NTT = torch.baddbmm(mask_NTT, q_NTK, k_NTK.mT, alpha=scale)
        weights_NTT = kept_NTT = scores_NTT.softmax(-1).to(q_NTK.dtype)
        if pool_P is not None and starts_N is not None:
            kept_NTT = _times(weights_NTT, pool_P, starts_N)
        ctx.save_for_backward(q_NTK, k_NTK, v_NTK, weights_NTT, kept_NTT, pool_P, starts_N)
        ctx.scale = scale
        return torch.bmm(kept_NTT, v_NTK).view(B, H, T, K)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        q_NTK, k_NTK, v_NTK, weights_NTT, kept_NTT, pool_P, starts_N = ctx.saved_tensors
        shape = grads[0].shape
        g_NTK = grads[0].reshape(v_NTK.shape)
        dv_NTK = torch.bmm(kept_NTT.mT, g_NTK)
        dw_NTT = torch.bmm(g_NTK, v_NTK.mT)
        if pool_P is not None:
            dw_NTT = _times(dw_NTT, pool_P, starts_N, out=dw_NTT)
        ds_NTT = torch._softmax_backward_data(dw_NTT, weights_NTT, -1, weights_NTT.dtype)
        dq_NTK = torch.bmm(ds_NTT, k_NTK).mul_(ctx.scale)
        dk_NTK = torch.bmm(ds_NTT.mT, q_NTK).mul_(ctx.scale)
        return dq_NTK.view(shape), dk_NTK.view(shape), dv_NTK.view(shape), None, None, None, None


def causal_attention(
    q_BHTK: Tensor,
    k_BHTK: Tensor,
    v_BHTK: Tensor,
    *,
    mask: Tensor | None = None,
    scale: float | None = None,
    dropped: Windows | None = None,
) -> Tensor:
    """Softmax of causal scores, times the values; every tensor (B, H, T, K).

    ``mask`` (B, 1, T, T) is added to the scores in place of the causal one; ``scale`` multiplies
    them (None: the inverse root of K).  ``dropped`` multiplies the weights, by a window for each
    sequence and head.
    """
    scale = q_BHTK.shape[-1] ** -0.5 if scale is None else scale
    return CausalAttention.apply(  # type: ignore[no-any-return, no-untyped-call]
        q_BHTK, k_BHTK, v_BHTK, mask, scale, *(dropped or (None, None))
    )


def _times(x: Tensor, pool_P: Tensor, starts_N: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Each row x[n] times the window of the pool that begins at its start.

    Row by row on a processor, where a slice costs nothing; elsewhere, and when compiling, by
    choosing rows of all the windows there are, which lie on top of each other.
    """
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        size = x[0].numel()
        windows = pool_P.as_strided((len(pool_P) - size + 1, size), (1, 1))
        return x * windows[starts_N].view_as(x)
    out = torch.empty_like(x) if out is None else out
    for row, to, start in zip(x.unbind(0), out.unbind(0), starts_N.tolist(), strict=True):
        torch.mul(row, pool_P[start : start + row.numel()].view_as(row), out=to)
    return out


class TimesWindows(torch.autograd.Function):
    """Rows times windows of a pool of constants; nothing of the size of the rows is kept."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, pool_P: Tensor, starts_N: Tensor) -> Tensor:
        ctx.save_for_backward(pool_P, starts_N)
        return _times(x.contiguous(), pool_P, starts_N)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        pool_P, starts_N = ctx.saved_tensors
        return _times(grads[0].contiguous(), pool_P, starts_N), None, None


def times_windows(x: Tensor, pool_P: Tensor, starts_N: Tensor) -> Tensor:
    """Each row x[n] times the window of the pool that begins at ``starts_N[n]``."""
    return TimesWindows.apply(x, pool_P, starts_N)  # type: ignore[no-any-return, no-untyped-call]


class RmsNorm(torch.autograd.Function):
    """Root-mean-square normalisation of the last dimension without a gain (arXiv:1910.07467)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float) -> Tensor:
        # not by dtype=torch.float32, which copies x first; it sums up in float32 in either way
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True).float()
        inverse = norm.square_().div_(x.shape[-1]).add_(eps).rsqrt_().to(x.dtype)
        y: Tensor = x * inverse
        ctx.save_for_backward(y, inverse)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        y, inverse = ctx.saved_tensors
        g = grads[0]
        along = (g * y).sum(-1, keepdim=True).div_(-y.shape[-1])
        return torch.addcmul(g, y, along).mul_(inverse), None


def rms_norm(x: Tensor, eps: float) -> Tensor:
    """``x`` divided by its root mean square over the last dimension."""
    return RmsNorm.apply(x, eps)  # type: ignore[no-any-return, no-untyped-call]


class Rotation(torch.autograd.Function):
    """Pairs of coordinates turned by angles; the gradient is turned back by the same ones."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _turned(x, cos, sin, 1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        return _turned(grads[0], cos, sin, -1), None, None


def _turned(x: Tensor, cos: Tensor, sin: Tensor, way: int) -> Tensor:
    first, second = x.chunk(2, -1)
    return (x * cos).addcmul_(torch.cat((second, first), -1), sin, value=way)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each pair of coordinates by its position's angle (RoFormer, arXiv:2104.09864).

    Halves are paired, (i, i + K / 2); of ``sin`` the first half is negated.
    """
    return Rotation.apply(x, cos, sin)  # type: ignore[no-any-return, no-untyped-call]


class ReluSquared(torch.autograd.Function):
    """The square of the positive part (Primer, arXiv:2109.08668)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        positive = F.relu(x)
        ctx.save_for_backward(positive)
        return positive.square()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (positive,), zero = ctx.saved_tensors, grads[0].new_zeros(())
        return torch.addcmul(zero, grads[0], positive, value=2)


def relu_squared(x: Tensor) -> Tensor:
    """The square of the positive part of ``x``."""
    if not torch.is_grad_enabled():
        return F.relu(x).square_()
    return ReluSquared.apply(x)  # type: ignore[no-any-return, no-untyped-call]


def _column_sums(x_ND: Tensor) -> Tensor:
    """Sums over the rows; when compiling first over as many as stay in a core's cache."""
    if torch.compiler.is_compiling() and len(x_ND) % 64 == 0:
        return x_ND.reshape(-1, 64, x_ND.shape[1]).sum(1, dtype=torch.float32).sum(0)
    return x_ND.sum(0)


class LayerNorm(torch.autograd.Function):
    """Layer normalisation for a compiler of a processor, whose own sums up whole columns."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, eps: float) -> Tensor:
        variance, mean = torch.var_mean(x.float(), -1, correction=0, keepdim=True)
        inverse = (variance + eps).rsqrt()
        ctx.save_for_backward(x, weight, mean, inverse)
        y = (x - mean) * inverse * weight
        return (y if bias is None else y + bias).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (x, weight, mean, inverse), (dy,) = ctx.saved_tensors, grads
        y, g = (x - mean) * inverse, dy * weight.float()
        dx = (g - g.mean(-1, keepdim=True) - y * (g * y).mean(-1, keepdim=True)) * inverse
        dw = _column_sums((dy * y).flatten(0, -2)).to(weight.dtype)
        db = _column_sums(dy.flatten(0, -2)).to(weight.dtype) if ctx.needs_input_grad[2] else None
        return dx.to(x.dtype), dw, db, None


def layer_norm(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """``F.layer_norm`` over the last dimension."""
    if weight is not None and x.is_cpu and torch.compiler.is_compiling():
        return LayerNorm.apply(x, weight, bias, eps)  # type: ignore[no-any-return, no-untyped-call]
    return F.layer_norm(x, x.shape[-1:], weight, bias, eps)


class OneDnnLinear(torch.autograd.Function):
    """``F.linear`` by oneDNN, which adds the bias inside the product.

    torch copies the bias to every row of the result first, and multiplies on top of that; the
    numbers are the same to the bit.  A compiler adds it where they are read next.  A gradient of
    weights turns the wider of its two sides, which with AMX is up to a third faster.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        if torch.compiler.is_compiling():
            y = F.linear(x, weight)
            return y if bias is None else y + bias
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        (x, weight), (_, learns, shifts) = ctx.saved_tensors, ctx.needs_input_grad
        g, rows, dw = grads[0].flatten(0, -2), x.flatten(0, -2), None
        if learns:
            dw = g.mT @ rows if g.shape[1] > rows.shape[1] else (rows.mT @ g).mT
        db = _column_sums(g).to(g.dtype) if shifts else None
        return (g @ weight).view_as(x), dw, db


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``F.linear``; of many rows on a processor by oneDNN, where torch's way is the slower one.

    That is in bfloat16 with a bias or compiled, and in float32 where nothing is learned: MKL,
    which torch takes, is half as fast on an AMD processor (LOG.md, 2026-11-21).
    """
    compiling = torch.compiler.is_compiling()
    half, plain = bias is not None or compiling, torch.is_grad_enabled() or compiling
    pays = {torch.bfloat16: _ONEDNN_BF16 and half, torch.float32: _ONEDNN and not plain}
    if x.is_cpu and pays.get(x.dtype) and x.numel() >= 64 * x.shape[-1]:
        return OneDnnLinear.apply(x, weight, bias)  # type: ignore[no-any-return, no-untyped-call]
    return F.linear(x, weight, bias)


def _tanh(x: Tensor) -> Tensor:
    """tanh of up to 8.46 for a compiler and bfloat16, rational, up to 4e-7; torch's is a call."""
    above, below = torch.zeros_like(x), torch.zeros_like(x)  # which a compiler leaves out
    for p, q in zip(_TANH_ABOVE, _TANH_BELOW, strict=True):
        above, below = above * (x * x) + p, below * (x * x) + q
    return x * above / below


class Gelu(torch.autograd.Function):
    """GELU for a compiler of a processor: what it keeps for the backward pass is its slope.

    The compiler would keep the input, and compute all of it a second time: 2% of a step.  It takes
    no part of a flip twice, and a flip of no dimension costs nothing (torch 2.11 to 2.13).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        # beyond 5 all passes or nothing: the rest of a rounding, times a cube, would be a slope
        near = x.clamp(-5, 5) if x.dtype == torch.bfloat16 else x
        u = _GELU * near * (1 + 0.044715 * near * near)
        passed = 0.5 + 0.5 * _tanh(u) if x.dtype == torch.bfloat16 else torch.sigmoid(2 * u)
        bend = 2 * passed * (1 - passed) * _GELU * (1 + 3 * 0.044715 * near * near)
        ctx.save_for_backward((passed + near * bend).flip(()))
        return x * passed

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return grads[0] * ctx.saved_tensors[0]  # type: ignore[no-any-return]


def gelu(x: Tensor) -> Tensor:
    """GELU by its tanh form (arXiv:1606.08415, sec. 2), as GPT-2 has it."""
    if torch.compiler.is_compiling() and x.device.type == "cpu":
        return Gelu.apply(x)  # type: ignore[no-any-return, no-untyped-call]
    return F.gelu(x, approximate="tanh")
