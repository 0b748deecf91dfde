"""Optimizers, schedules, clipping."""

from wellfit.optim.build import build_optimizers
from wellfit.optim.clip import NormHistory, clip_gradients, gradient_norm
from wellfit.optim.optimizers import NamedState, Optimizers
from wellfit.optim.schedule import lr_scale, steps_of

__all__ = [
    "NamedState",
    "NormHistory",
    "Optimizers",
    "build_optimizers",
    "clip_gradients",
    "gradient_norm",
    "lr_scale",
    "steps_of",
]
