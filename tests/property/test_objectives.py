"""Every loss is a sum: a batch cut in two has the tally and the gradient of the whole."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from wellfit.objectives import (
    IGNORE,
    Tally,
    class_loss,
    linear_cross_entropy,
    regression_loss,
    several_loss,
    token_loss,
)

WIDTH = 5
WEIGHT_VD = torch.randn(WIDTH, WIDTH, generator=torch.Generator().manual_seed(9))
WEIGHTS_C = torch.linspace(0.5, 2, WIDTH)

ONE = ("token", "linear", "class", "focal")  # losses whose target is one of WIDTH
LOSSES: dict[str, Callable[[Tensor, Tensor], Tally]] = {
    "token": lambda x, y: token_loss(x, y, label_smoothing=0.1, z_weight=0.1),
    "linear": lambda x, y: linear_cross_entropy(
        x, WEIGHT_VD, y, softcap=3.0, label_smoothing=0.1, z_weight=0.1
    ),
    "class": lambda x, y: class_loss(x, y, weights_C=WEIGHTS_C, label_smoothing=0.1),
    "focal": lambda x, y: class_loss(x, y, weights_C=WEIGHTS_C, gamma=2.0),
    "several": lambda x, y: several_loss(x, (y > 0).float(), gamma=1.0),
    "mse": lambda x, y: regression_loss(x, y, kind="mse"),
    "quantile": lambda x, y: regression_loss(x, y, kind="quantile", quantile=0.9),
}


@pytest.mark.parametrize("name", LOSSES)
@settings(max_examples=15)
@given(st.integers(2, 20), st.integers(0, 2**31), st.data())
def test_cutting_a_batch_changes_neither_tally_nor_gradient(name, n, seed, data):
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(n, WIDTH, generator=draw)
    if name in ONE:
        y = torch.randint(WIDTH, (n,), generator=draw)
        y = y.masked_fill(torch.rand(n, generator=draw) < 0.3, IGNORE)
    else:
        y = torch.randn(n, WIDTH, generator=draw)
    cut = data.draw(st.integers(1, n - 1))
    whole, parts = (x.clone().requires_grad_() for _ in range(2))
    tally = LOSSES[name](whole, y)
    first, second = (LOSSES[name](parts[p], y[p]) for p in (slice(cut), slice(cut, None)))
    joined = first.joined(second)
    torch.testing.assert_close(joined.count, tally.count)
    torch.testing.assert_close(joined.total, tally.total, rtol=1e-5, atol=1e-5)
    tally.total.backward()
    joined.total.backward()
    torch.testing.assert_close(parts.grad, whole.grad, rtol=1e-5, atol=1e-6)
