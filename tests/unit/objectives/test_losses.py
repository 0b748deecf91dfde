"""What losses do at their edges: nothing to count, nothing known, nothing to learn, hand cases."""

from __future__ import annotations

import math

import pytest
import torch

from wellfit.objectives import (
    IGNORE,
    class_loss,
    counted,
    linear_cross_entropy,
    linear_nats,
    pays,
    regression_loss,
    several_loss,
    token_loss,
)

NAN = float("nan")


def inputs(T: int = 6, D: int = 4, V: int = 9) -> tuple[torch.Tensor, ...]:
    draw = torch.Generator().manual_seed(1)
    h_TD, w_VD = torch.randn(T, D, generator=draw), torch.randn(V, D, generator=draw)
    return h_TD.requires_grad_(), w_VD.requires_grad_(), torch.arange(T)


def test_even_logits_cost_the_log_of_their_number():
    tally = token_loss(torch.zeros(2, 8), torch.tensor([3, 5]), label_smoothing=0.5)
    # smoothing costs nothing where all are alike
    assert tally.mean() == pytest.approx(math.log(8))
    squared = token_loss(torch.zeros(2, 8), torch.tensor([3, 5]), z_weight=0.1)
    assert squared.mean() == pytest.approx(math.log(8) + 0.1 * math.log(8) ** 2)


def test_what_is_logged_as_nats_has_no_terms_of_training():
    logits_TV = torch.randn(5, 7, generator=torch.Generator().manual_seed(1))
    nats = token_loss(logits_TV, torch.arange(5)).total
    assert nats == token_loss(logits_TV, torch.arange(5)).total
    assert nats != token_loss(logits_TV, torch.arange(5), label_smoothing=0.1).total


def test_ignored_rows_have_no_gradient():
    h_TD, w_VD, y_T = inputs()
    tally = linear_cross_entropy(h_TD, w_VD, y_T.masked_fill(y_T == 2, IGNORE), softcap=None)
    tally.total.backward()
    assert int(tally.count) == 5
    assert h_TD.grad[2].eq(0).all() and h_TD.grad[[0, 1, 3, 4, 5]].ne(0).all()


def test_a_batch_without_targets_has_a_gradient_of_zeros():
    h_TD, w_VD, y_T = inputs()
    tally = linear_cross_entropy(h_TD, w_VD, y_T.fill_(IGNORE), softcap=3.0)
    tally.total.backward()
    assert (tally.total.item(), tally.count.item()) == (0.0, 0)
    assert h_TD.grad.eq(0).all() and w_VD.grad.eq(0).all()
    assert linear_nats(h_TD, w_VD, y_T, softcap=None).eq(0).all()


def test_a_frozen_weight_gets_no_gradient_computed(monkeypatch):
    h_TD, w_VD, y_T = inputs()
    whole = linear_cross_entropy(h_TD, w_VD, y_T, softcap=None)
    whole.total.backward()
    alone_TD = h_TD.detach().clone().requires_grad_()
    made = []
    empty_like = torch.empty_like
    monkeypatch.setattr(torch, "empty_like", lambda *a, **k: made.append(a) or empty_like(*a, **k))
    linear_cross_entropy(alone_TD, w_VD.detach(), y_T, softcap=None).total.backward()
    # no room for it was made either
    assert not made
    assert torch.equal(alone_TD.grad, h_TD.grad)


def test_a_frozen_trunk_leaves_the_gradient_of_the_weight_alone():
    h_TD, w_VD, y_T = inputs()
    linear_cross_entropy(h_TD, w_VD, y_T, softcap=None).total.backward()
    alone_VD = w_VD.detach().clone().requires_grad_()
    linear_cross_entropy(h_TD.detach(), alone_VD, y_T, softcap=None).total.backward()
    assert torch.equal(alone_VD.grad, w_VD.grad)


def test_without_gradients_only_the_loss_is_computed():
    h_TD, w_VD, y_T = inputs()
    with torch.no_grad():
        tally = linear_cross_entropy(h_TD, w_VD, y_T, softcap=2.0)
    assert not tally.total.requires_grad
    trained = linear_cross_entropy(h_TD, w_VD, y_T, softcap=2.0)
    assert torch.equal(tally.total, trained.total.detach())
    # and inference mode, in which evaluation runs, is no different
    with torch.inference_mode():
        nats_T = linear_nats(h_TD, w_VD, y_T, softcap=2.0)
    torch.testing.assert_close(nats_T.sum(), tally.total)


def test_differentiating_twice_is_said_rather_than_wrong():
    total = linear_cross_entropy(*inputs(), softcap=None).total
    total.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="differentiated before"):
        total.backward()


def test_a_loss_that_is_not_finite_shows():
    h_TD, w_VD, y_T = inputs()
    with torch.no_grad():
        h_TD[3, 0] = NAN
    # the step's guard has to see it
    assert linear_cross_entropy(h_TD, w_VD, y_T, softcap=None).total.isnan()
    assert linear_nats(h_TD, w_VD, y_T, softcap=None).isnan().tolist() == [
        False, False, False, True, False, False,
    ]  # fmt: skip


def test_shapes_that_do_not_meet_are_named():
    h_TD, w_VD, y_T = inputs()
    with pytest.raises(ValueError, match=r"\(6, 4\), \(9, 4\) and \(5,\)"):
        linear_cross_entropy(h_TD, w_VD, y_T[:5], softcap=None)
    with pytest.raises(ValueError, match=r"\(6, 4\), \(9, 3\) and \(6,\)"):
        linear_nats(h_TD, w_VD[:, :3], y_T, softcap=None)
    with pytest.raises(ValueError, match=r"\(2, 1\) and \(2,\)"):
        regression_loss(torch.zeros(2, 1), torch.zeros(2), kind="mse")


def test_large_logits_are_chunked_and_small_ones_are_not():
    assert pays(2048, 50_257)
    assert not pays(2048, 65)


def test_focal_loss_worked_by_hand():
    # p of the label is 3/4: (1/4)^2 * ln(4/3)
    scores_BC = torch.tensor([[math.log(3.0), 0.0]])
    tally = class_loss(scores_BC, torch.tensor([0]), gamma=2.0)
    assert tally.mean() == pytest.approx(math.log(4 / 3) / 16)
    weighted = class_loss(
        scores_BC, torch.tensor([0]), gamma=2.0, weights_C=torch.tensor([3.0, 1.0])
    )
    assert float(weighted.total) == pytest.approx(3 * math.log(4 / 3) / 16)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_focal_loss_of_what_is_certain_has_a_finite_gradient(gamma):
    scores_BC = torch.tensor([[200.0, -200.0], [-200.0, 200.0]], requires_grad=True)
    class_loss(scores_BC, torch.tensor([0, 0]), gamma=gamma).total.backward()
    several_loss(scores_BC, torch.eye(2), gamma=gamma).total.backward()
    assert scores_BC.grad.isfinite().all()


def test_the_count_of_weighted_labels_is_the_sum_of_their_weights():
    scores_BC, labels_B = torch.zeros(5, 2), torch.tensor([0, 0, 0, 1, IGNORE])
    for gamma in (None, 0.0):
        weights_C = torch.tensor([0.5, 2.0])
        tally = class_loss(scores_BC, labels_B, weights_C=weights_C, gamma=gamma)
        # three of 0.5 and one of 2; what is ignored weighs nothing
        assert float(tally.count) == 3.5
        assert tally.mean() == pytest.approx(math.log(2))


def test_targets_that_nobody_knows_neither_count_nor_teach():
    assert counted(torch.tensor([1, IGNORE])).tolist() == [True, False]
    assert counted(torch.tensor([1.0, IGNORE, NAN])).tolist() == [True, True, False]
    targets_BL = torch.tensor([[1.0, NAN]])
    for kind in ("mse", "mae", "huber", "quantile"):
        x_BL = torch.zeros(1, 2, requires_grad=True)
        tally = regression_loss(x_BL, targets_BL, kind=kind, quantile=0.9)
        tally.total.backward()
        assert int(tally.count) == 1
        assert x_BL.grad[0, 0] < 0 and x_BL.grad[0, 1] == 0
    for known_BC in (targets_BL, torch.tensor([[1, IGNORE]])):
        x_BC = torch.zeros(1, 2, requires_grad=True)
        tally = several_loss(x_BC, known_BC, gamma=2.0, label_smoothing=0.1)
        tally.total.backward()
        assert int(tally.count) == 1
        assert x_BC.grad[0, 0] < 0 and x_BC.grad[0, 1] == 0


def test_a_quantile_of_nine_tenths_is_passed_by_a_tenth():
    # too low costs 0.9 a unit, too high 0.1
    low, high = (
        regression_loss(torch.tensor([[x]]), torch.zeros(1, 1), kind="quantile", quantile=0.9)
        for x in (-1.0, 1.0)
    )
    assert (low.mean(), high.mean()) == (pytest.approx(0.9), pytest.approx(0.1))
