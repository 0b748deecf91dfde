"""From the recipe's optim section to the optimizers of a model."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any, assert_never

import torch
from torch import nn

from wellfit.config import known
from wellfit.config.optim import (
    Adadelta,
    Adafactor,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Group,
    Lbfgs,
    NAdam,
    Optim,
    RAdam,
    RmsProp,
    Sgd,
)
from wellfit.config.optim import Lion as LionConfig
from wellfit.config.optim import Muon as MuonConfig
from wellfit.config.optim import ScheduleFreeAdamW as ScheduleFreeConfig
from wellfit.errors import ConfigError
from wellfit.optim.lion import Lion
from wellfit.optim.muon import Muon
from wellfit.optim.optimizers import Optimizers
from wellfit.optim.schedule_free import ScheduleFreeAdamW

# Those that decay weights themselves, apart from the gradient; the others are given it here.
_DECAYING = (
    torch.optim.AdamW,
    torch.optim.Adafactor,
    Muon,
    Lion,
    ScheduleFreeAdamW,
)
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
    if isinstance(cfg, Lbfgs):
        lbfgs = torch.optim.LBFGS(
            trained.values(),
            lr=known(cfg.lr),
            max_iter=1,
            max_eval=cfg.evaluations,
            history_size=cfg.history,
            line_search_fn="strong_wolfe",
        )
        lbfgs.param_groups[0]["peak_lr"] = known(cfg.lr)
        return Optimizers([lbfgs], model, peak_lr=known(cfg.lr), matrices=matrices)
    rules = _rules(cfg.groups, list(trained))
    decayed = set(matrices)

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

    peak_lr = known(cfg.lr)
    if isinstance(cfg, MuonConfig):
        # Heads read out what is hidden; the factors of a LoRA matrix are no matrix each, and made
        # orthogonal every direction of them would grow alike.
        hidden = {n: p for n, p in trained.items() if p in decayed and not n.endswith(_NOT_HIDDEN)}
        rest = {n: p for n, p in trained.items() if n not in hidden}
        adam_groups = grouped(rest, known(cfg.adam_lr))
        parts: list[torch.optim.Optimizer] = []
        if hidden:
            parts.append(Muon(grouped(hidden, peak_lr), lr=peak_lr, momentum=cfg.momentum))
        if rest:
            parts.append(torch.optim.AdamW(adam_groups, betas=cfg.betas, eps=cfg.eps, fused=True))
    else:
        parts = [_single(cfg, grouped(trained, peak_lr))]
    for part in parts:
        for group in part.param_groups:
            own = isinstance(part, _DECAYING) or group.get("decoupled_weight_decay", False)
            group["weight_decay"] = group.pop("decay") if own else 0.0
    return Optimizers(parts, model, peak_lr=peak_lr, matrices=matrices)


def _single(cfg: Optim, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """One optimizer for all groups: torch's own where it has one, fused where that is built.

    Elsewhere torch chooses: one loop over parameters on a CPU, where it measured faster.
    """
    on_cpu = not groups[0]["params"][0].is_cuda
    match cfg:
        case AdamW():
            return torch.optim.AdamW(
                groups, betas=cfg.betas, eps=cfg.eps, amsgrad=cfg.amsgrad, fused=True
            )
        case Adam():
            return torch.optim.Adam(
                groups, betas=cfg.betas, eps=cfg.eps, amsgrad=cfg.amsgrad, fused=True
            )
        case NAdam():
            return torch.optim.NAdam(
                groups,
                betas=cfg.betas,
                eps=cfg.eps,
                momentum_decay=cfg.momentum_decay,
                decoupled_weight_decay=True,
            )
        case RAdam():
            return torch.optim.RAdam(
                groups, betas=cfg.betas, eps=cfg.eps, decoupled_weight_decay=True
            )
        case Adamax():
            return torch.optim.Adamax(groups, betas=cfg.betas, eps=cfg.eps)
        case ScheduleFreeConfig():
            return ScheduleFreeAdamW(groups, lr=known(cfg.lr), betas=cfg.betas, eps=cfg.eps)
        case LionConfig():
            return Lion(groups, lr=known(cfg.lr), betas=cfg.betas)
        case Sgd():
            return torch.optim.SGD(
                groups,
                momentum=cfg.momentum,
                dampening=cfg.dampening,
                nesterov=cfg.nesterov,
                fused=True,
            )
        case RmsProp():
            return torch.optim.RMSprop(
                groups,
                alpha=cfg.alpha,
                eps=cfg.eps,
                momentum=cfg.momentum,
                centered=cfg.centered,
            )
        case Adagrad():
            return torch.optim.Adagrad(
                groups, lr_decay=cfg.lr_decay, eps=cfg.eps, fused=on_cpu or None
            )
        case Adadelta():
            return torch.optim.Adadelta(groups, rho=cfg.rho, eps=cfg.eps)
        case Adafactor():
            return torch.optim.Adafactor(groups, beta2_decay=cfg.beta2_decay, d=cfg.clip_threshold)
        case MuonConfig() | Lbfgs():
            raise AssertionError(f"{cfg.kind} is not one optimizer over groups")
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
