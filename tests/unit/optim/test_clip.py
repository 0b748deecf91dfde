"""Clipping: by value and norm as torch does, adaptively as ZClip does."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from wellfit.config.train import AdaptiveClip, NormClip, ValueClip
from wellfit.optim import NormHistory, clip_gradients, gradient_norm


def _params(scale: float = 1.0) -> list[nn.Parameter]:
    draw = torch.Generator().manual_seed(1)
    params = [nn.Parameter(torch.zeros(size)) for size in ((3, 4), (5,))]
    for p in params:
        p.grad = torch.randn(p.shape, generator=draw) * scale
    return params


@pytest.mark.parametrize("scale", [0.1, 10.0])
def test_norm_and_value_are_torch_s(scale: float) -> None:
    for clip, theirs in (
        (NormClip(max=0.7), lambda p: nn.utils.clip_grad_norm_(p, 0.7)),
        (ValueClip(max=0.3), lambda p: nn.utils.clip_grad_value_(p, 0.3)),
    ):
        a, b = _params(scale), _params(scale)
        clip_gradients(a, gradient_norm(a), clip, NormHistory())
        theirs(b)
        for p, q in zip(a, b, strict=True):
            torch.testing.assert_close(p.grad, q.grad)


class _ZClip:
    """The method as its authors publish it (bluorion-com/ZClip, zclip.py), z-score mode."""

    def __init__(self, alpha: float, z_thresh: float) -> None:
        self.alpha, self.z_thresh, self.buffer = alpha, z_thresh, []
        self.mean = self.var = None

    def step(self, norm: float) -> float:
        if self.mean is None:
            self.buffer.append(norm)
            if len(self.buffer) == 25:
                self.mean = sum(self.buffer) / 25
                self.var = sum((x - self.mean) ** 2 for x in self.buffer) / 25
            return norm
        std = self.var**0.5
        z = (norm - self.mean) / (std + 1e-6)
        kept = norm
        if z > self.z_thresh:
            kept = self.mean + (self.z_thresh * std) / (z / self.z_thresh)
        self.mean = self.alpha * self.mean + (1 - self.alpha) * kept
        self.var = self.alpha * self.var + (1 - self.alpha) * (kept - self.mean) ** 2
        return kept


def test_the_adaptive_bound_is_that_of_zclip() -> None:
    draw = torch.Generator().manual_seed(3)
    norms = (1 + 0.2 * torch.randn(400, generator=draw)).abs().tolist()
    norms[10] = norms[60] = norms[200] = 9.0
    ours, theirs = NormHistory(), _ZClip(0.9, 2.0)
    cut = 0
    for norm in norms:
        bound = ours.bound(norm, z=2.0, memory=0.9)
        assert bound == pytest.approx(theirs.step(norm), rel=1e-9)
        cut += bound < norm
    # the outlier among the first 25 is only listened to; later ones are cut
    assert 2 <= cut < 60


def test_an_outlier_is_scaled_to_its_bound_and_the_usual_is_left_alone() -> None:
    history = NormHistory(count=25, mean=1.0, variance=0.01)
    usual, outlier = _params(), _params()
    length = float(gradient_norm(usual))
    for p in usual:
        p.grad /= length
    for p in outlier:
        p.grad *= 3 / length
    before = [p.grad.clone() for p in usual]
    clip_gradients(usual, gradient_norm(usual), AdaptiveClip(), history)
    assert all(torch.equal(p.grad, g) for p, g in zip(usual, before, strict=True))
    clip_gradients(outlier, gradient_norm(outlier), AdaptiveClip(), history)
    # 20 deviations out: the bound is the mean, and of 2.5 deviations an eighth
    assert float(gradient_norm(outlier)) == pytest.approx(1 + 0.25 / 8, rel=0.02)
