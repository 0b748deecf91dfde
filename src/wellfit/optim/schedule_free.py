"""AdamW without a schedule (Defazio et al. 2024, "The Road Less Scheduled", arXiv:2405.15682)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from wellfit.optim.lion import together


class ScheduleFreeAdamW(torch.optim.Optimizer):
    """Schedule-free AdamW (algorithm 1).

    The parameters hold y, where gradients are taken; the state holds z, which the steps move.
    What is to be measured is x, the average of all z so far weighed by their squared rates, of
    which y is a mixture: y = (1 - beta1) z + beta1 x.  Weight decay is decoupled, at y.
    Each of ``groups`` has its parameters and their ``lr``.
    """

    def __init__(
        self, groups: list[dict[str, Any]], *, betas: tuple[float, float], eps: float
    ) -> None:
        super().__init__(groups, {"betas": betas, "eps": eps, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            lr, (beta1, beta2) = group["lr"], group["betas"]
            shared = self.state[group["params"][0]]  # what the group has in common
            steps = shared["steps"] = shared.get("steps", 0) + 1
            fastest = shared["fastest"] = max(lr, shared.get("fastest", 0.0))
            total = shared["total"] = shared.get("total", 0.0) + fastest**2
            share = fastest**2 / total if total else 0.0  # of the new z in the average
            for params in together(group["params"]):
                grads = [p.grad for p in params if p.grad is not None]
                squares, z = [], []
                for p in params:
                    state = self.state[p]
                    if "z" not in state:
                        state["z"], state["exp_avg_sq"] = p.clone(), torch.zeros_like(p)
                    z.append(state["z"])
                    squares.append(state["exp_avg_sq"])
                torch._foreach_mul_(squares, beta2)
                torch._foreach_addcmul_(squares, grads, grads, 1 - beta2)
                scales = torch._foreach_div(squares, 1 - beta2**steps)
                torch._foreach_sqrt_(scales)
                torch._foreach_add_(scales, group["eps"])
                updates = torch._foreach_div(grads, scales)
                if group["weight_decay"]:
                    torch._foreach_add_(updates, params, alpha=group["weight_decay"])
                # y, x and z after the step, with x left out: it follows from the other two
                torch._foreach_lerp_(params, z, share)
                torch._foreach_add_(params, updates, alpha=lr * (beta1 * (1 - share) - 1))
                torch._foreach_sub_(z, updates, alpha=lr)

    @torch.no_grad()
    def averages(self) -> dict[nn.Parameter, Tensor]:
        """x of every parameter that has moved."""
        return {
            p: torch.lerp(p.detach(), self.state[p]["z"], 1 - 1 / group["betas"][0])
            for group in self.param_groups
            for p in group["params"]
            if "z" in self.state.get(p, {})
        }
