"""From the recipe's optim section to the optimizers of a model."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any, assert_never

import torch
from torch import nn

from wellfit.config import known
from wellfit.config import optim as kinds
from wellfit.config.optim import Group, Optim
from wellfit.errors import ConfigError
from wellfit.optim.light import light
from wellfit.optim.lion import Lion
from wellfit.optim.muon import Muon
from wellfit.optim.optimizers import Optimizers
from wellfit.optim.schedule_free import ScheduleFreeAdamW

# Those that decay weights themselves, apart from the gradient; the others are given it here.
_DECAYING = (torch.optim.Adafactor, Muon, Lion, ScheduleFreeAdamW)
_WIDE_AT_ONCE = 1 << 26  # parameters: half a GB of two moments
_NOT_HIDDEN = ("head.weight", "score.weight", ".lora_a", ".lora_b")


def build_optimizers(cfg: Optim, model: nn.Module, *, weight_decay: float) -> Optimizers:
    """The optimizers that ``cfg`` asks for, over every trained parameter of ``model``.

    Only matrices that multiply activations are decayed and penalised: decaying a gain or an
    embedding row that a batch never touched would move it without evidence.

    Raises ``ConfigError`` for a group that no parameter is in.
    """
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    tables = {m.weight for m in model.modules() if isinstance(m, nn.Embedding)}
    matrices = [p for p in trained.values() if p.ndim == 2 and p not in tables]
    decayed, peak_lr, rules = set(matrices), known(cfg.lr), dict[str, Group]()
    if isinstance(cfg, kinds.Lbfgs):
        decayed = set()  # it searches along one line, so its parameters are one group
    else:
        rules = _rules(cfg.groups, list(trained))

    def grouped(params: dict[str, nn.Parameter], lr: float) -> list[dict[str, Any]]:
        by: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, p in params.items():
            rule = rules.get(name, Group(match="*"))
            decay = weight_decay if p in decayed else 0.0
            decay = decay if rule.weight_decay is None else rule.weight_decay
            by.setdefault((lr * rule.lr_scale, decay), []).append(p)
        return [
            {"params": held, "lr": rate, "peak_lr": rate, "decay": decay}
            for (rate, decay), held in by.items()
        ]

    kept = torch.bfloat16 if isinstance(cfg, kinds.Lean) and cfg.state == "bf16" else torch.float32
    if isinstance(cfg, kinds.Muon):
        # Heads read out what is hidden; the factors of a LoRA matrix are no matrix each, and made
        # orthogonal every direction of them would grow alike.
        hidden = {n: p for n, p in trained.items() if p in decayed and not n.endswith(_NOT_HIDDEN)}
        rest = {n: p for n, p in trained.items() if n not in hidden}
        parts: list[torch.optim.Optimizer] = []
        for some in _apart(hidden, kept):
            made = grouped(some, peak_lr)
            parts.append(light(Muon)(made, momentum=cfg.momentum, normalize=cfg.normalize))
        for some in _apart(rest, kept):
            groups = grouped(some, known(cfg.adam_lr))
            parts.append(light(torch.optim.AdamW)(groups, betas=cfg.betas, eps=cfg.eps, fused=True))
    else:
        parts = [_single(cfg, grouped(some, peak_lr)) for some in _apart(trained, kept)]
    for part in parts:
        for group in part.param_groups:
            own = isinstance(part, _DECAYING) or group.get("decoupled_weight_decay", False)
            group["weight_decay"] = group.pop("decay") if own else 0.0
    return Optimizers(parts, model, peak_lr=peak_lr, matrices=matrices, kept=kept)


def _apart(params: dict[str, nn.Parameter], kept: torch.dtype) -> list[dict[str, nn.Parameter]]:
    """The parameters of each optimizer: all in one, but where state is kept in less than a step
    needs.  There only a part of it may be wide at a time, or nothing would be saved.
    """
    found, size = list[dict[str, nn.Parameter]](), 0
    for name, p in params.items():
        if not found or (kept != torch.float32 and size + p.numel() > _WIDE_AT_ONCE):
            found, size = [*found, {}], 0
        found[-1][name] = p
        size += p.numel()
    return found


def _single(cfg: Optim, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """One optimizer for all groups: torch's own where it has one, fused where that is built.

    Elsewhere torch chooses: one loop over parameters on a CPU, where it measured faster.
    """
    match cfg:
        case kinds.Adam(betas=betas, eps=eps) | kinds.AdamW(betas=betas, eps=eps):
            kind = torch.optim.AdamW if isinstance(cfg, kinds.AdamW) else torch.optim.Adam
            return light(kind)(groups, betas=betas, eps=eps, amsgrad=cfg.amsgrad, fused=True)
        case kinds.NAdam(betas=betas, eps=eps, momentum_decay=slow):
            return light(torch.optim.NAdam)(
                groups, betas=betas, eps=eps, momentum_decay=slow, decoupled_weight_decay=True
            )
        case kinds.RAdam(betas=betas, eps=eps):
            return light(torch.optim.RAdam)(
                groups, betas=betas, eps=eps, decoupled_weight_decay=True
            )
        case kinds.Adamax():
            return light(torch.optim.Adamax)(groups, betas=cfg.betas, eps=cfg.eps)
        case kinds.ScheduleFreeAdamW():
            return light(ScheduleFreeAdamW)(groups, betas=cfg.betas, eps=cfg.eps)
        case kinds.Lion():
            return light(Lion)(groups, betas=cfg.betas)
        case kinds.Sgd(momentum=momentum, dampening=dampening, nesterov=ahead):
            return light(torch.optim.SGD)(
                groups, momentum=momentum, dampening=dampening, nesterov=ahead, fused=True
            )
        case kinds.RmsProp():
            return light(torch.optim.RMSprop)(
                groups, alpha=cfg.alpha, eps=cfg.eps, momentum=cfg.momentum, centered=cfg.centered
            )
        case kinds.Adagrad():
            fused = None if groups[0]["params"][0].is_cuda else True
            return light(torch.optim.Adagrad)(
                groups, lr_decay=cfg.lr_decay, eps=cfg.eps, fused=fused
            )
        case kinds.Adadelta():
            return light(torch.optim.Adadelta)(groups, rho=cfg.rho, eps=cfg.eps)
        case kinds.Adafactor():
            return light(torch.optim.Adafactor)(
                groups, beta2_decay=cfg.beta2_decay, d=cfg.clip_threshold
            )
        case kinds.Lbfgs(evaluations=most, history=kept):
            by = "strong_wolfe"
            return light(torch.optim.LBFGS)(
                groups, max_iter=1, max_eval=most, history_size=kept, line_search_fn=by
            )
        case kinds.Muon():
            raise AssertionError("muon is not one optimizer over groups")
        case never:
            assert_never(never)


def _rules(groups: Sequence[Group], names: list[str]) -> dict[str, Group]:
    """The group that each named parameter is in, if any: the first that matches."""
    out: dict[str, Group] = {}
    wrong = []
    for group in groups:
        found = [name for name in names if fnmatchcase(name, group.match)]
        new = {name: group for name in found if name not in out}
        out |= new
        if not found:
            some = ", ".join(names[:: max(1, len(names) // 5)])
            wrong.append(
                f"optim.groups: {group.match} matches no parameter that is trained; there are "
                f"{len(names)}, such as {some}"
            )
        elif not new:
            wrong.append(
                f"optim.groups: all that {group.match} matches is in an earlier group, and the "
                "first that matches counts; put it before"
            )
    if wrong:
        raise ConfigError(wrong)
    return out
