"""Parts of the decoder whose forward and backward are written out, for speed on a processor.

Each is equal to its plain form up to rounding (tests hold them against torch), saves less for
the backward pass, and makes fewer passes over memory.  Measured on two cores in bfloat16, a
step of four blocks 256 wide: attention alone took forward and backward from 271 ms to 203 ms
(LOG.md, 2026-11-21).

Dims: B sequences, H heads, T time, K per head, N batch and heads together.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

LONGEST = 512  # beyond this the (T, T) weights cost more memory than they save time


def pays(q_BHTK: Tensor) -> bool:
    """Whether attention that keeps its weights is the faster one here: short, and on a CPU."""
    return q_BHTK.device.type == "cpu" and q_BHTK.shape[2] <= LONGEST


class CausalAttention(torch.autograd.Function):
    """Causal attention that keeps its weights (T, T) for the backward pass.

    Flash attention computes them again instead; for short sequences on a processor that costs
    more than keeping them, and its backward pass runs far below the speed of matrix products.
    """

    @staticmethod
    def forward(ctx: Any, q_BHTK: Tensor, k_BHTK: Tensor, v_BHTK: Tensor) -> Tensor:
        B, H, T, K = q_BHTK.shape
        q_NTK, k_NTK, v_NTK = (x.reshape(-1, T, K) for x in (q_BHTK, k_BHTK, v_BHTK))
        mask_TT = q_NTK.new_full((T, T), float("-inf")).triu_(1)
        weights_NTT = torch.baddbmm(mask_TT, q_NTK, k_NTK.mT, alpha=K**-0.5).softmax(-1)
        ctx.save_for_backward(q_NTK, k_NTK, v_NTK, weights_NTT)
        return torch.bmm(weights_NTT, v_NTK).view(B, H, T, K)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q_NTK, k_NTK, v_NTK, weights_NTT = ctx.saved_tensors
        shape = grads[0].shape
        g_NTK = grads[0].reshape(v_NTK.shape)
        scale = q_NTK.shape[-1] ** -0.5
        dv_NTK = torch.bmm(weights_NTT.mT, g_NTK)
        dw_NTT = torch.bmm(g_NTK, v_NTK.mT)
        ds_NTT = torch._softmax_backward_data(dw_NTT, weights_NTT, -1, weights_NTT.dtype)
        dq_NTK = torch.bmm(ds_NTT, k_NTK).mul_(scale)
        dk_NTK = torch.bmm(ds_NTT.mT, q_NTK).mul_(scale)
        return dq_NTK.view(shape), dk_NTK.view(shape), dv_NTK.view(shape)


def causal_attention(q_BHTK: Tensor, k_BHTK: Tensor, v_BHTK: Tensor) -> Tensor:
    """Softmax of causal scores, times the values; every tensor (B, H, T, K)."""
    y_BHTK: Tensor = CausalAttention.apply(q_BHTK, k_BHTK, v_BHTK)  # type: ignore[no-untyped-call]
    return y_BHTK


class RmsNorm(torch.autograd.Function):
    """Root-mean-square normalisation of the last dimension without a gain (arXiv:1910.07467)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float) -> Tensor:
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
        inverse = norm.square_().div_(x.shape[-1]).add_(eps).rsqrt_().to(x.dtype)
        y: Tensor = x * inverse
        ctx.save_for_backward(y, inverse)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        y, inverse = ctx.saved_tensors
        g = grads[0]
        along = (g * y).sum(-1, keepdim=True, dtype=torch.float32).div_(-y.shape[-1])
        return torch.addcmul(g, y, along.to(g.dtype)).mul_(inverse), None


def rms_norm(x: Tensor, eps: float) -> Tensor:
    """``x`` divided by its root mean square over the last dimension."""
    y: Tensor = RmsNorm.apply(x, eps)  # type: ignore[no-untyped-call]
    return y


class ReluSquared(torch.autograd.Function):
    """The square of the positive part (Primer, arXiv:2109.08668)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        positive = F.relu(x)
        ctx.save_for_backward(positive)
        return positive.square()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (positive,) = ctx.saved_tensors
        twice: Tensor = (grads[0] * positive).mul_(2)
        return twice


def relu_squared(x: Tensor) -> Tensor:
    """The square of the positive part of ``x``."""
    y: Tensor = ReluSquared.apply(x)  # type: ignore[no-untyped-call]
    return y
