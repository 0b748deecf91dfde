"""Gradient clipping: by norm, by value, and by an outlier test on the norm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

import torch
from torch import Tensor, nn

from wellfit.config.train import AdaptiveClip, NormClip, ValueClip

_KNOWN_AFTER = 25  # lengths, until their mean and variance are trusted (ZClip, sec. 4)


@dataclass
class NormHistory:
    """Mean and variance of the length of the gradient so far (ZClip, arXiv:2504.02507)."""

    count: int = 0
    mean: float = 0.0
    variance: float = 0.0

    def bound(self, norm: float, *, z: float, memory: float) -> float:
        """The length to cut a gradient of this one to, its own unless it is an outlier.

        An outlier is cut to the nearer of the mean the further out it lies, and joins the
        history with the length it was cut to.
        """
        if self.count < _KNOWN_AFTER:
            self.count += 1
            before = norm - self.mean
            self.mean += before / self.count
            self.variance += (before * (norm - self.mean) - self.variance) / self.count
            return norm
        deviation = math.sqrt(self.variance)
        score = (norm - self.mean) / (deviation + 1e-6)
        kept = self.mean + z * deviation * z / score if score > z else norm
        self.mean += (1 - memory) * (kept - self.mean)
        self.variance += (1 - memory) * ((kept - self.mean) ** 2 - self.variance)
        return kept


@torch.no_grad()
def gradient_norm(params: Sequence[nn.Parameter]) -> Tensor:
    """The norm of all gradients together, () float32."""
    return nn.utils.get_total_norm([p.grad for p in params if p.grad is not None])


@torch.no_grad()
def clip_gradients(
    params: Sequence[nn.Parameter],
    norm: Tensor,
    clip: NormClip | ValueClip | AdaptiveClip,
    history: NormHistory,
) -> None:
    """Bound the gradients, whose norm is ``norm``, as the recipe says.

    ``history`` is read and moved by an adaptive clip alone.  A norm that is already on the host
    spares waiting for the device.
    """
    match clip:
        case NormClip():
            _shorten(params, clip.max, norm)
        case ValueClip():
            nn.utils.clip_grad_value_(params, clip.max)
        case AdaptiveClip():
            length = float(norm)
            most = history.bound(length, z=clip.z, memory=clip.memory)
            if most < length:
                _shorten(params, most, norm)
        case never:
            assert_never(never)


def _shorten(params: Sequence[nn.Parameter], most: float, norm: Tensor) -> None:
    """As torch's ``clip_grads_with_norm_``, without a pass over gradients that are short enough."""
    share = float(most / (norm + 1e-6))
    if share < 1:
        torch._foreach_mul_([p.grad for p in params if p.grad is not None], share)
