"""Gradient clipping."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


@torch.no_grad()
def clip_by_norm(params: Iterable[nn.Parameter], max_norm: float | None) -> Tensor:
    """The norm of all gradients together, () float32; scaled down to ``max_norm`` if above it.

    With ``max_norm`` None nothing is scaled and the norm is only measured.  A non-finite norm
    is returned as it is, and the gradients are then spoilt: the caller must not step on them.
    """
    with_grad = [p for p in params if p.grad is not None]
    norm = nn.utils.get_total_norm([p.grad for p in with_grad if p.grad is not None])
    if max_norm is not None:
        nn.utils.clip_grads_with_norm_(with_grad, max_norm, norm)
    return norm
