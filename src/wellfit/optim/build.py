"""From the recipe's optim and schedule sections to an optimizer and a rate at each step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, assert_never

import torch
from torch import Tensor, nn

from wellfit.config import AdamW, Constant, Cosine, Linear, Optim, Schedule, Wsd, known
from wellfit.config import Muon as MuonConfig
from wellfit.optim import schedule as curves
from wellfit.optim.muon import Muon
from wellfit.units import Duration


class Optimizers:
    """The optimizers of one model, stepped together, with their state by parameter name.

    By name rather than by position because position is an accident of construction: a
    parameter added in the middle would hand every later one its neighbour's moments.
    """

    def __init__(self, parts: list[torch.optim.Optimizer], model: nn.Module) -> None:
        self.parts = parts
        self._name_of: dict[Tensor, str] = {p: name for name, p in model.named_parameters()}
        held = [p for part in parts for group in part.param_groups for p in group["params"]]
        assert len(held) == len(set(held)), "a parameter is in two optimizers"
        trained = {p for p in self._name_of if p.requires_grad}
        assert set(held) == trained, "a trained parameter is in no optimizer"
        for part in parts:
            for group in part.param_groups:
                group["peak_lr"] = group["lr"]

    @property
    def peak_lr(self) -> float:
        """The peak rate of the first group: the one that charts and cards show."""
        return float(self.parts[0].param_groups[0]["peak_lr"])

    def step(self, lr_scale: float) -> None:
        """Update every parameter at ``lr_scale`` of its group's peak rate."""
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = group["peak_lr"] * lr_scale
            part.step()

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for part in self.parts:
            part.zero_grad(set_to_none=True)

    def named_state(self) -> dict[str, Tensor]:
        """Every tensor of optimizer state as ``parameter/key``."""
        return {
            f"{self._name_of[p]}/{key}": value
            for part in self.parts
            for p, state in part.state.items()
            for key, value in state.items()
            if isinstance(value, Tensor)
        }

    def load_named_state(self, named: Mapping[str, Tensor]) -> None:
        """Put back what ``named_state`` returned.

        Raises ``KeyError`` for a parameter that this model does not have: a state that fits no
        parameter means that the checkpoint is of another recipe.
        """
        owner = {
            self._name_of[p]: (part, p)
            for part in self.parts
            for group in part.param_groups
            for p in group["params"]
        }
        for name, value in named.items():
            parameter, _, key = name.rpartition("/")
            part, p = owner[parameter]
            part.state[p][key] = value.to(p.device)  # fused AdamW keeps its count there too


def build_optimizers(cfg: Optim, model: nn.Module, *, weight_decay: float) -> Optimizers:
    """The optimizers that ``cfg`` asks for, over every trained parameter of ``model``.

    Matrices inside the blocks are hidden matrices; embedding, positions, head, gains and
    biases are the rest.  Only matrices that multiply activations are decayed: decaying a gain
    or an embedding row that a batch never touched would move it without evidence.
    """
    hidden, head, rest = [], [], []
    for name, p in model.named_parameters():
        if not p.requires_grad:
            continue
        if name.startswith("blocks.") and p.ndim == 2:
            hidden.append(p)
        elif name == "head.weight":
            head.append(p)
        else:
            rest.append(p)
    match cfg:
        case MuonConfig():
            muon = Muon(hidden, lr=known(cfg.lr), momentum=cfg.momentum, weight_decay=weight_decay)
            adam_groups = [_group(head, weight_decay), _group(rest, 0.0)]
            adamw = _adamw(adam_groups, lr=known(cfg.adam_lr), betas=cfg.betas, eps=cfg.eps)
            return Optimizers([muon, adamw], model)
        case AdamW():
            groups = [_group(hidden + head, weight_decay), _group(rest, 0.0)]
            adamw = _adamw(groups, lr=known(cfg.lr), betas=cfg.betas, eps=cfg.eps)
            return Optimizers([adamw], model)
        case never:
            assert_never(never)


def lr_scale(cfg: Schedule, step: int, *, total: int) -> float:
    """Multiplier of every peak rate at ``step`` (0-based) of a run of ``total`` steps."""
    rising_steps = warmup_steps(cfg.warmup, total=total)
    rising = curves.warmup(step, steps=rising_steps)
    if rising < 1:
        return rising
    # The last update is at step total - 1 and still learns: progress 1 would come after it.
    span = max(1, total - rising_steps)
    progress = min(1.0, max(0, step - rising_steps) / span)
    match cfg:
        case Linear():
            return curves.linear(progress, floor=cfg.floor)
        case Cosine():
            return curves.cosine(progress, floor=cfg.floor)
        case Wsd():
            return curves.stable_decay(progress, decay=cfg.decay, floor=cfg.floor)
        case Constant():
            return 1.0
        case never:
            assert_never(never)


def warmup_steps(warmup: Duration | float, *, total: int) -> int:
    """Steps of warm-up: as given, or as a share of the run."""
    if isinstance(warmup, Duration):
        assert warmup.unit == "steps", f"unresolved warm-up {warmup}"
        return min(total, int(warmup.amount))
    return round(warmup * total)


def _group(params: list[nn.Parameter], weight_decay: float) -> dict[str, Any]:
    return {"params": params, "weight_decay": weight_decay}


def _adamw(
    groups: list[dict[str, Any]], *, lr: float, betas: tuple[float, float], eps: float
) -> torch.optim.Optimizer:
    filled = [group for group in groups if group["params"]]
    return torch.optim.AdamW(filled, lr=lr, betas=betas, eps=eps, fused=True)


def trained_parameters(optimizers: Optimizers) -> Iterator[nn.Parameter]:
    """Every parameter that a step moves."""
    for part in optimizers.parts:
        for group in part.param_groups:
            yield from group["params"]
