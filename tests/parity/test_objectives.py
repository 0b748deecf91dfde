"""Losses against torch, scikit-learn and transformers, and gradients against autograd."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from wellfit.objectives import (
    IGNORE,
    Tally,
    class_loss,
    linear_cross_entropy,
    linear_nats,
    regression_loss,
    regression_losses,
    several_loss,
    token_loss,
)
from wellfit.objectives import linear as chunked

T, D, V = 37, 16, 101


def drawn(*shape: int, seed: int = 1, scale: float = 1.0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * scale


def labels(n: int, classes: int, *, ignored: bool = True, seed: int = 2) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    y = torch.randint(classes, (n,), generator=draw)
    return y.masked_fill(torch.rand(n, generator=draw) < 0.3, IGNORE) if ignored else y


def plain(
    hidden_TD: Tensor,
    weight_VD: Tensor,
    targets_T: Tensor,
    *,
    softcap: float | None,
    **terms: float,
) -> Tensor:
    """The unfused path, by torch alone: what every other form has to be equal to."""
    logits_TV = F.linear(hidden_TD, weight_VD.to(hidden_TD.dtype))
    if softcap is not None:
        logits_TV = softcap * torch.tanh(logits_TV / softcap)
    smooth, z = terms.get("label_smoothing", 0.0), terms.get("z_weight", 0.0)
    logits_TV = logits_TV.float()
    total = F.cross_entropy(logits_TV, targets_T, reduction="sum", label_smoothing=smooth)
    log_T = logits_TV.exp().sum(-1).log()  # not by logsumexp, which token_loss uses
    return total + z * (log_T.square() * (targets_T != IGNORE)).sum()


TERMS: dict[str, dict[str, Any]] = {
    "plain": {"softcap": None},
    "capped": {"softcap": 2.0},
    "smoothed": {"softcap": None, "label_smoothing": 0.1},
    "z": {"softcap": None, "z_weight": 0.01},
    "all": {"softcap": 2.0, "label_smoothing": 0.3, "z_weight": 0.1},
}


@pytest.fixture(params=["whole", "in parts"])
def sizes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes at which everything is one piece, and sizes at which nothing divides evenly."""
    if request.param == "in parts":
        monkeypatch.setattr(chunked, "_GROUP_BYTES", {"cpu": 8 * V * 4})
        monkeypatch.setattr(chunked, "_BLOCK", {"cpu": 3 * V})
        monkeypatch.setattr(chunked, "_TILE", 19 * D)


@pytest.mark.usefixtures("sizes")
@pytest.mark.parametrize("terms", TERMS.values(), ids=TERMS)
def test_a_chunked_loss_equals_the_plain_one(terms: dict[str, Any]) -> None:
    y_T = labels(T, V)
    results = []
    for loss in (plain, lambda *a, **k: linear_cross_entropy(*a, **k).total):
        h_TD, w_VD = drawn(T, D).requires_grad_(), drawn(V, D, seed=3).requires_grad_()
        total = loss(h_TD, w_VD, y_T, **terms)
        (total * 0.37).backward()  # an incoming gradient other than 1
        results.append((total.detach(), h_TD.grad, w_VD.grad))
    for theirs, ours in zip(*results, strict=True):
        # float32 rounding of sums in another order
        torch.testing.assert_close(ours, theirs, rtol=2e-5, atol=2e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, when it compiles
@pytest.mark.parametrize("name", ["plain", "all"])
def test_a_fused_loss_equals_the_chunked_one(name: str) -> None:
    y_T = labels(T, V, ignored=False)
    results = []
    for fused in (False, True):
        h_TD, w_VD = drawn(T, D).requires_grad_(), drawn(V, D, seed=3).requires_grad_()
        tally = linear_cross_entropy(h_TD, w_VD, y_T, fused=fused, all_count=fused, **TERMS[name])
        tally.total.backward()
        assert int(tally.count) == T
        results.append((tally.total.detach(), h_TD.grad, w_VD.grad))
    for wanted, found in zip(*results, strict=True):
        # the same formula, rounded elsewhere
        torch.testing.assert_close(found, wanted, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("terms", TERMS.values(), ids=TERMS)
def test_the_token_loss_is_what_torch_says(terms: dict[str, Any]) -> None:
    terms = {**terms, "softcap": None}
    y_T, h_TD, w_VD = labels(T, V), drawn(T, D), drawn(V, D, seed=3)
    logits_TV = F.linear(h_TD, w_VD).requires_grad_()
    del terms["softcap"]
    tally = token_loss(logits_TV, y_T, **terms)
    wanted = plain(h_TD, w_VD, y_T, softcap=None, **terms)
    torch.testing.assert_close(tally.total, wanted, rtol=1e-6, atol=1e-5)
    # what is ignored is not counted
    assert int(tally.count) == int((y_T != IGNORE).sum()) < T


@pytest.mark.usefixtures("sizes")
def test_in_bfloat16_chunks_are_as_near_to_float32_as_the_plain_path_is() -> None:
    y_T, terms = labels(T, V), TERMS["capped"]
    exact, whole, parts = [], [], []
    for loss, dtype, into in (
        (plain, torch.float32, exact),
        (plain, torch.bfloat16, whole),
        (lambda *a, **k: linear_cross_entropy(*a, **k).total, torch.bfloat16, parts),
    ):
        # the same numbers: what bfloat16 can hold
        h_TD = drawn(T, D).bfloat16().to(dtype).requires_grad_()
        w_VD = drawn(V, D, seed=3).bfloat16().float().requires_grad_()
        total = loss(h_TD, w_VD, y_T, **terms)
        (total / T).backward()
        assert h_TD.grad is not None and w_VD.grad is not None
        # the master weight's gradient is not rounded to the compute dtype
        assert (h_TD.grad.dtype, w_VD.grad.dtype) == (dtype, torch.float32)
        into += [total.detach(), h_TD.grad.float(), w_VD.grad]
    for reference, other, ours in zip(exact, whole, parts, strict=True):
        error, limit = (ours - reference).norm(), (other - reference).norm()
        # half again leaves room for luck: both round about as often
        assert error <= 1.5 * limit + 1e-6


@pytest.mark.usefixtures("sizes")
@pytest.mark.parametrize("softcap", [None, 2.0])
def test_nats_of_each_target_are_those_of_torch(softcap: float | None) -> None:
    y_T, h_TD, w_VD = labels(T, V), drawn(T, D), drawn(V, D, seed=3)
    nats_T = linear_nats(h_TD, w_VD.requires_grad_(), y_T, softcap=softcap)
    logits_TV = F.linear(h_TD, w_VD)
    if softcap is not None:
        logits_TV = softcap * torch.tanh(logits_TV / softcap)
    wanted_T = F.cross_entropy(logits_TV, y_T, reduction="none")
    torch.testing.assert_close(nats_T, wanted_T.detach(), rtol=1e-5, atol=1e-5)
    assert not nats_T.requires_grad


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compiled_with_the_model_around_it_the_loss_is_the_same(backend: str) -> None:
    y_T = labels(T, V)

    def loss(x_TD: Tensor, w_VD: Tensor) -> Tally:
        return linear_cross_entropy(F.silu(x_TD), w_VD, y_T, softcap=2.0)

    results = []
    torch.compiler.reset()
    for run in (loss, torch.compile(loss, backend=backend)):
        x_TD, w_VD = drawn(T, D).requires_grad_(), drawn(V, D, seed=3).requires_grad_()
        run(x_TD, w_VD).total.backward()
        results.append((x_TD.grad, w_VD.grad))
    for eager, compiled in zip(*results, strict=True):
        torch.testing.assert_close(compiled, eager, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("smooth", [0.0, 0.2])
@pytest.mark.parametrize("weights_C", [None, torch.tensor([0.5, 2.0, 1.0])])
def test_class_loss_is_what_torch_says(weights_C: Tensor | None, smooth: float) -> None:
    x_BC, y_B = drawn(20, 3), labels(20, 3)
    options = {"weights_C": weights_C, "label_smoothing": smooth}
    tally = class_loss(x_BC, y_B, **options)
    torch_options = {"weight": weights_C, "label_smoothing": smooth}
    wanted = F.cross_entropy(x_BC, y_B, reduction="sum", **torch_options)
    torch.testing.assert_close(tally.total, wanted)
    assert tally.mean() == pytest.approx(float(F.cross_entropy(x_BC, y_B, **torch_options)))
    # a focal loss that turns away from nothing is cross-entropy
    focal = class_loss(x_BC, y_B, gamma=0.0, **options)
    torch.testing.assert_close(focal.total, wanted)
    assert torch.equal(focal.count, tally.count)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_losses_are_those_of_transformers(gamma: float) -> None:
    from transformers.loss.loss_for_object_detection import sigmoid_focal_loss

    x_BC, y_BC = drawn(20, 3, scale=3.0), (drawn(20, 3, seed=5) > 0).float()
    # theirs is a mean over labels, summed over texts; alpha below 0 weighs nothing
    wanted = sigmoid_focal_loss(x_BC, y_BC, num_boxes=1, alpha=-1, gamma=gamma) * 3
    torch.testing.assert_close(several_loss(x_BC, y_BC, gamma=gamma).total, wanted)
    # a choice of two whose scores are 0 and x is one yes or no about x
    pair_BC = torch.stack((torch.zeros(20), x_BC[:, 0]), dim=1)
    single = sigmoid_focal_loss(x_BC[:, :1], y_BC[:, :1], num_boxes=1, alpha=-1, gamma=gamma)
    torch.testing.assert_close(class_loss(pair_BC, y_BC[:, 0].long(), gamma=gamma).total, single)


def test_several_loss_is_what_torch_says() -> None:
    x_BC, y_BC = drawn(20, 3), (drawn(20, 3, seed=5) > 0).long()
    tally = several_loss(x_BC, y_BC, label_smoothing=0.2)
    wanted = F.binary_cross_entropy_with_logits(x_BC, y_BC * 0.8 + 0.1, reduction="sum")
    torch.testing.assert_close(tally.total, wanted)
    assert int(tally.count) == 60


def test_regression_losses_are_those_of_torch_and_scikit_learn() -> None:
    from sklearn.metrics import mean_pinball_loss

    x_BL, y_BL = drawn(20, 2), drawn(20, 2, seed=5)
    pinball = mean_pinball_loss(y_BL.flatten(), x_BL.flatten(), alpha=0.9)
    for wanted, options in (
        (F.mse_loss(x_BL, y_BL), {"kind": "mse"}),
        (F.l1_loss(x_BL, y_BL), {"kind": "mae"}),
        (F.huber_loss(x_BL, y_BL, delta=0.7), {"kind": "huber", "delta": 0.7}),
        (torch.tensor(pinball), {"kind": "quantile", "quantile": 0.9}),
    ):
        tally = regression_loss(x_BL, y_BL, **options)
        assert tally.mean() == pytest.approx(float(wanted), rel=1e-5)
        each_BL = regression_losses(x_BL, y_BL, **options)
        assert each_BL.shape == (20, 2)
        torch.testing.assert_close(each_BL.sum(), tally.total)


def test_what_memory_held_before_is_in_no_gradient() -> None:
    y_T = labels(T, V)
    h_TD = drawn(T, D).bfloat16().requires_grad_()
    w_VD = drawn(V, D, seed=3).requires_grad_()
    torch.use_deterministic_algorithms(True)  # which fills new memory with NaN
    try:
        linear_cross_entropy(h_TD, w_VD, y_T, softcap=None).total.backward()
    finally:
        torch.use_deterministic_algorithms(False)
    assert h_TD.grad is not None and w_VD.grad is not None
    assert h_TD.grad.isfinite().all() and w_VD.grad.isfinite().all()
