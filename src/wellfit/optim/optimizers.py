"""The optimizers of one model as one: stepped together, saved and restored by parameter name."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from wellfit.optim.schedule_free import ScheduleFreeAdamW


class NamedState(NamedTuple):
    """State of optimizers under ``parameter/key``: tensors, and what is JSON.

    A tensor inside a list is among the tensors, and the list holds ``{"tensor": its name}``.
    """

    tensors: dict[str, Tensor]
    plain: dict[str, Any]


class Optimizers:
    """The optimizers of one model, stepped together, with their state by parameter name.

    By name rather than by position because position is an accident of construction: a
    parameter added in the middle would hand every later one its neighbour's moments.

    Each group of parameters has its own ``peak_lr``, and a ``decay`` where the optimizer knows
    no decoupled weight decay of its own.  ``matrices`` are what penalties act on.  ``kept`` is
    the dtype of the state between steps; a step has its own part's in float32, one at a time.
    """

    def __init__(
        self,
        parts: list[torch.optim.Optimizer],
        model: nn.Module,
        *,
        peak_lr: float,
        matrices: Sequence[nn.Parameter],
        kept: torch.dtype = torch.float32,
    ) -> None:
        self.parts, self.peak_lr, self.matrices, self.kept = parts, peak_lr, matrices, kept
        self.name_of: dict[nn.Parameter, str] = {
            p: name for name, p in model.named_parameters() if p.requires_grad
        }
        held = [p for part in parts for group in part.param_groups for p in group["params"]]
        assert len(held) == len(set(held)), "a parameter is in two optimizers"
        assert set(held) == set(self.name_of), "a trained parameter is in no optimizer"

    @property
    def searches(self) -> bool:
        """Whether a step evaluates the loss again and again, along a line."""
        return isinstance(self.parts[0], torch.optim.LBFGS)

    def step(self, lr_scale: float, again: Callable[[], Tensor] | None = None) -> None:
        """Update every parameter at ``lr_scale`` of its group's peak rate.

        ``again`` gives the loss at the weights as they are when it is called, with gradients;
        only a line search calls it.  What it raises leaves weights and state as they were.
        """
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = group["peak_lr"] * lr_scale
                if decay := group.get("decay", 0.0):
                    moved = [p.detach() for p in group["params"] if p.grad is not None]
                    torch._foreach_mul_(moved, 1 - group["lr"] * decay)
            if isinstance(part, torch.optim.LBFGS):
                assert again is not None, "a line search has to evaluate the loss"
                _search(part, again)
            else:
                self._keep(part, torch.float32)
                part.step()
                self._keep(part, self.kept)

    def _keep(self, part: torch.optim.Optimizer, dtype: torch.dtype) -> None:
        """Round the moments of a part to this dtype; a count of steps has no size, and stays."""
        for state in part.state.values() if self.kept != torch.float32 else ():
            state |= {key: x.to(dtype) for key, x in state.items() if x.ndim}

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for part in self.parts:
            part.zero_grad(set_to_none=True)

    def averages(self) -> dict[nn.Parameter, Tensor]:
        """The weights to measure, of optimizers that train at others; empty for most."""
        averaging = [part for part in self.parts if isinstance(part, ScheduleFreeAdamW)]
        return {p: average for part in averaging for p, average in part.averages().items()}

    def named_state(self) -> NamedState:
        """All that the optimizers remember, under ``parameter/key``."""
        named = NamedState({}, {})
        for part in self.parts:
            states: Mapping[Any, dict[str, Any]] = part.state
            for p, state in states.items():
                for key, value in state.items():
                    name = f"{self.name_of[p]}/{key}"
                    if isinstance(value, Tensor):
                        named.tensors[name] = value
                    else:
                        named.plain[name] = _taken_apart(name, value, named.tensors)
        return named

    def load_named_state(self, named: NamedState) -> None:
        """Put back what ``named_state`` returned, in place of all that is there.

        Tensors are copied: a file's lie in memory as they come, and the last bit of a dot product
        depends on where its operands begin.

        Raises ``KeyError`` for a parameter that this model does not have: a state that fits no
        parameter means that the checkpoint is of another recipe.
        """
        owner: dict[str, tuple[dict[str, Any], dict[str, Any], Tensor]] = {}
        for part in self.parts:
            part.state.clear()
            for group in part.param_groups:
                owner |= {self.name_of[p]: (part.state[p], group, p) for p in group["params"]}
        for name, value in named.tensors.items():
            parameter, key, *place = name.split("/")
            if not place:  # of a list otherwise, which is among what is plain
                state, group, p = owner[parameter]
                # a count of steps stays on the host, but where the kernel itself reads it
                stays = key == "step" and not (group.get("fused") or group.get("capturable"))
                state[key] = value.to("cpu" if stays else p.device, copy=True)
        for name, value in named.plain.items():
            parameter, key = name.split("/")
            state, _, p = owner[parameter]
            state[key] = _put_together(value, named.tensors, p.device)
        for part in self.parts:  # asking for a state makes an empty one, and empty is not none
            for p in [p for p, state in part.state.items() if not state]:
                del part.state[p]


def _search(part: torch.optim.LBFGS, again: Callable[[], Tensor]) -> None:
    params = [p for group in part.param_groups for p in group["params"]]
    before, state = [p.detach().clone() for p in params], copy.deepcopy(dict(part.state[params[0]]))
    try:
        part.step(again)  # type: ignore[no-untyped-call]
    except BaseException:
        part.state[params[0]] = state
        with torch.no_grad():
            torch._foreach_copy_(params, before)
        raise


def _taken_apart(name: str, value: object, tensors: dict[str, Tensor]) -> Any:
    match value:
        case Tensor():
            tensors[name] = value
            return {"tensor": name}
        case list():
            return [_taken_apart(f"{name}/{i}", item, tensors) for i, item in enumerate(value)]
        case None | bool() | int() | float():
            return value
        case _:
            raise TypeError(f"{name}: cannot save a {type(value).__name__}")


def _put_together(value: Any, tensors: Mapping[str, Tensor], device: torch.device) -> Any:
    match value:
        case {"tensor": name}:
            return tensors[name].to(device, copy=True)
        case list():
            return [_put_together(item, tensors, device) for item in value]
        case _:
            return value
