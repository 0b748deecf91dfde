"""Optimizers, schedules, clipping."""

from wellfit.optim.build import Optimizers, build_optimizers, lr_scale, warmup_steps
from wellfit.optim.clip import clip_by_norm
from wellfit.optim.muon import Muon, orthogonalize

__all__ = [
    "Muon",
    "Optimizers",
    "build_optimizers",
    "clip_by_norm",
    "lr_scale",
    "orthogonalize",
    "warmup_steps",
]
