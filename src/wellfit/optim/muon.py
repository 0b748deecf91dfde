"""Muon: momentum whose update is made orthogonal (Jordan et al. 2024, kellerjordan.github.io).

Dims: N matrices of one shape, R rows, C columns (R <= C).
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor

# Quintic whose iterates drive every singular value in (0, 1] towards 1; it does not converge
# to exactly 1, and need not (same source).
_A, _B, _C = 3.4445, -4.7750, 2.0315
_STEPS = 5


def orthogonalize(g_NRC: Tensor) -> Tensor:
    """The nearest (semi-)orthogonal matrix of each, by Newton-Schulz iteration.

    Works in bfloat16: the iteration forgives rounding, and the products run at the machine's
    full rate.  Shapes: any (N, R, C); the result has the same shape.
    """
    x_NRC = g_NRC.bfloat16()
    tall = x_NRC.shape[1] > x_NRC.shape[2]
    if tall:
        x_NRC = x_NRC.mT
    x_NRC = x_NRC / (x_NRC.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(_STEPS):
        gram_NRR = x_NRC @ x_NRC.mT
        poly_NRR = torch.baddbmm(gram_NRR, gram_NRR, gram_NRR, beta=_B, alpha=_C)
        x_NRC = torch.baddbmm(x_NRC, poly_NRR, x_NRC, beta=_A)
    return x_NRC.mT if tall else x_NRC


class Muon(torch.optim.Optimizer):
    """Muon for the hidden matrices of a model, batched over matrices of one shape.

    ``torch.optim.Muon`` walks over the matrices one at a time; batching makes few large
    products of many small ones.  Weight decay is decoupled: a step multiplies weights by
    ``1 - lr * weight_decay``.  Each update is scaled by sqrt(max(1, rows / columns)), so that
    one rate serves every shape.  Each of ``groups`` has its parameters and their ``lr``.
    """

    def __init__(self, groups: list[dict[str, Any]], *, momentum: float) -> None:
        super().__init__(groups, {"momentum": momentum, "weight_decay": 0.0})
        shapes = [tuple(p.shape) for group in self.param_groups for p in group["params"]]
        assert all(len(shape) == 2 for shape in shapes), f"Muon takes matrices, got {shapes}"

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every matrix that has a gradient."""
        for group in self.param_groups:
            by_shape: dict[tuple[int, ...], list[Tensor]] = defaultdict(list)
            for p in group["params"]:
                if p.grad is not None:
                    # Tall matrices go with the wide ones that they are when transposed.
                    by_shape[tuple(sorted(p.shape))].append(p)
            for params in by_shape.values():
                self._step_shape(params, group)

    def _step_shape(self, params: list[Tensor], group: dict[str, float]) -> None:
        grads = [p.grad for p in params if p.grad is not None]
        buffers = [self.state[p].setdefault("momentum", torch.zeros_like(p)) for p in params]
        torch._foreach_lerp_(buffers, grads, 1 - group["momentum"])
        nesterov = torch._foreach_lerp(grads, buffers, group["momentum"])
        wide = [u.mT if u.shape[0] > u.shape[1] else u for u in nesterov]
        stacked_NRC = torch.stack([u.bfloat16() for u in wide])
        updates_NRC = orthogonalize(stacked_NRC)
        torch._foreach_mul_(params, 1 - group["lr"] * group["weight_decay"])
        for p, u_RC in zip(params, updates_NRC, strict=True):
            rows, columns = p.shape
            scale = max(1.0, rows / columns) ** 0.5
            p.add_(u_RC.mT if rows > columns else u_RC, alpha=-group["lr"] * scale)
