"""Moments that are kept in bfloat16 between steps."""

from __future__ import annotations

import pytest
import torch

from tests.tiny_models import SHAPES, random_decoder, random_tokens
from wellfit.config import load_dict
from wellfit.errors import ConfigError
from wellfit.optim import Optimizers, build, build_optimizers

STEPS = 20


def _optimizers(model: torch.nn.Module, **optim: object) -> Optimizers:
    rates = {"lr": 0.01} | ({"adam_lr": 0.01} if optim["kind"] == "muon" else {})
    base = {"data.path": "x", "train.budget": "1 step", "optim": {**rates, **optim}}
    return build_optimizers(load_dict(base).recipe.optim, model, weight_decay=0.1)


def _trained(**optim: object) -> tuple[torch.Tensor, Optimizers, float]:
    """All weights after some steps on changing batches, and how far they went."""
    model = random_decoder(SHAPES["nanochat"])
    before = torch.cat([p.detach().flatten().clone() for p in model.parameters()])
    optimizers = _optimizers(model, **optim)
    for step in range(STEPS):
        ids = random_tokens(4, 13, seed=step + 1)
        logits = model(ids[:, :-1]).flatten(0, 1)
        torch.nn.functional.cross_entropy(logits, ids[:, 1:].flatten()).backward()
        optimizers.step(1.0)
        optimizers.zero_grad()
    after = torch.cat([p.detach().flatten() for p in model.parameters()])
    return after, optimizers, float((after - before).norm())


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_the_way_is_nearly_that_of_float32(kind: str) -> None:
    wanted, wide, went = _trained(kind=kind)
    found, lean, _ = _trained(kind=kind, state="bf16")
    off = float((found - wanted).norm())
    # rounding to 1 part in 256 each step: a few percent of the way, and not nothing
    assert 0 < off < 0.05 * went
    moments = {
        name: x
        for part in lean.parts
        for state in part.state.values()
        for name, x in state.items()
        if x.ndim
    }
    assert moments and all(x.dtype == torch.bfloat16 for x in moments.values())
    assert not any(
        x.dtype == torch.bfloat16
        for part in wide.parts
        for s in part.state.values()
        for x in s.values()
    )


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_taking_parameters_in_parts_changes_nothing(kind: str, monkeypatch) -> None:
    whole, together, _ = _trained(kind=kind, state="bf16")
    monkeypatch.setattr(build, "_WIDE_AT_ONCE", 2000)
    parts, apart, _ = _trained(kind=kind, state="bf16")
    # only a part is in float32 at a time, or the peak of memory would be the same
    assert len(apart.parts) > len(together.parts) + 2
    # Muon multiplies matrices in batches, whose size may change the last bit
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-5 if kind == "adamw" else 0.02)


@pytest.mark.parametrize(
    "optim",
    [
        {"kind": "adamw", "betas": [0.9, 0.999], "state": "bf16"},
        {"kind": "muon", "momentum": 0.99, "state": "bf16"},
    ],
)
def test_a_moment_that_would_stand_still_is_refused(optim: dict[str, object]) -> None:
    keys = {"data.path": "x", "train.budget": "1 step", "optim": optim}
    with pytest.raises(
        ConfigError, match=r"bf16 stands still at 0\.99.*write fp32, or at most 0\.98"
    ):
        load_dict(keys)
    # a thousandth of a number is less than half a step of bfloat16, so it is lost
    half = torch.ones((), dtype=torch.bfloat16)
    assert half + 0.001 * (0.5 - half) == half
    assert half + 0.02 * (0.5 - half) != half
