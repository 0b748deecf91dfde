"""Written-out forward and backward passes against torch's own."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from wellfit.model import fused

EPS = 1e-6


def _causal(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def _both(
    ours: Callable[..., Tensor], theirs: Callable[..., Tensor], shapes: list[tuple[int, ...]]
) -> list[tuple[Tensor, Tensor]]:
    """Outputs and gradients of the two on the same input, in pairs."""
    draw = torch.Generator().manual_seed(1)
    inputs = [torch.randn(shape, generator=draw) for shape in shapes]
    results = []
    for f in (ours, theirs):
        leaves = [x.clone().requires_grad_() for x in inputs]
        y = f(*leaves)
        weight = torch.randn(y.shape, generator=torch.Generator().manual_seed(2))
        (y * weight).sum().backward()
        results.append([y.detach(), *(x.grad for x in leaves)])
    return list(zip(*results, strict=True))


CASES = {
    "attention": (fused.causal_attention, _causal, [(2, 3, 7, 4)] * 3),
    "attention of one": (fused.causal_attention, _causal, [(1, 1, 1, 8)] * 3),
    "rms": (
        lambda x: fused.rms_norm(x, EPS),
        lambda x: F.rms_norm(x, (x.shape[-1],), None, EPS),
        [(3, 5, 16)],
    ),
    "relu squared": (fused.relu_squared, lambda x: F.relu(x).square(), [(4, 33)]),
}


@pytest.mark.parametrize("case", CASES)
def test_a_fused_part_equals_torch_forward_and_backward(case: str) -> None:
    for a, b in _both(*CASES[case]):
        # float32 rounding of sums taken in another order
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_the_gradient_of_relu_squared_agrees_with_finite_differences() -> None:
    x = torch.randn(2, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    assert torch.autograd.gradcheck(fused.relu_squared, (x.requires_grad_(),))


def test_a_row_of_zeros_is_normalised_to_zeros() -> None:
    assert torch.equal(fused.rms_norm(torch.zeros(2, 4), EPS), torch.zeros(2, 4))


@pytest.mark.parametrize("rows", [3, 200])
@pytest.mark.parametrize("bias", [False, True])
def test_a_product_without_gradients_is_torchs(rows: int, bias: bool) -> None:
    draw = torch.Generator().manual_seed(1)
    x, weight = torch.randn(2, rows, 48, generator=draw), torch.randn(80, 48, generator=draw)
    added = torch.randn(80, generator=draw) if bias else None
    wanted = F.linear(x.double(), weight.double(), None if added is None else added.double())
    for way in (torch.no_grad, torch.inference_mode):
        with way():
            torch.testing.assert_close(
                fused.linear(x, weight, added).double(), wanted, rtol=1e-5, atol=1e-5
            )


def test_a_product_with_gradients_has_them() -> None:
    weight = torch.randn(8, 4, requires_grad=True)
    fused.linear(torch.ones(100, 4), weight, None).sum().backward()
    assert weight.grad is not None and weight.grad.eq(100).all()
