"""Lion: steps of the sign of a momentum (Chen et al. 2023, arXiv:2302.06675, algorithm 2)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor


class Lion(torch.optim.Optimizer):
    """Lion, with decoupled weight decay: weights are multiplied by ``1 - lr * weight_decay``.

    Each of ``groups`` has its parameters and their ``lr``.
    """

    def __init__(self, groups: list[dict[str, Any]], *, betas: tuple[float, float]) -> None:
        super().__init__(groups, {"betas": betas, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            lr, (beta1, beta2) = group["lr"], group["betas"]
            for params in together(group["params"]):
                grads = [p.grad for p in params if p.grad is not None]
                for p in [p for p in params if p not in self.state]:
                    self.state[p]["momentum"] = torch.zeros_like(p)
                kept = [self.state[p]["momentum"] for p in params]
                signs = torch._foreach_lerp(kept, grads, 1 - beta1)
                for x in signs:
                    x.sign_()
                torch._foreach_mul_(params, 1 - lr * group["weight_decay"])
                torch._foreach_add_(params, signs, alpha=-lr)
                torch._foreach_lerp_(kept, grads, 1 - beta2)


def together(params: list[Tensor]) -> Iterator[list[Tensor]]:
    """The parameters that have a gradient, in lists to be worked on at once.

    On a GPU all of them, to start few kernels; on a CPU one by one, because what one
    pass leaves in the cache the next one finds there.
    """
    ready = [p for p in params if p.grad is not None]
    if ready and ready[0].is_cuda:
        yield ready
    else:
        yield from ([p] for p in ready)
