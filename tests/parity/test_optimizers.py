"""Every kind of optimizer against torch's own, or against its paper written out in float64."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from wellfit.config import recipe_from_dict
from wellfit.config.optim import Lbfgs
from wellfit.config.structure import kinds_of
from wellfit.optim import Optimizers, build_optimizers

BASE = {"data.path": "x", "train.budget": "9 steps"}
CONSTANT = {"kind": "constant", "warmup": 0}
O = torch.optim  # noqa: E741
# our keys, and torch's optimizer that should take the same steps
TORCH: list[tuple[dict, Callable]] = [
    ({"kind": "sgd", "momentum": 0.0}, lambda p: O.SGD(p, lr=0.02)),
    (
        {"kind": "sgd", "momentum": 0.8, "dampening": 0.3},
        lambda p: O.SGD(p, lr=0.02, momentum=0.8, dampening=0.3),
    ),
    ({"kind": "sgd", "nesterov": True}, lambda p: O.SGD(p, lr=0.02, momentum=0.9, nesterov=True)),
    (
        {"kind": "adam", "betas": [0.8, 0.9], "eps": 1e-3},
        lambda p: O.Adam(p, lr=0.02, betas=(0.8, 0.9), eps=1e-3),
    ),
    (
        {"kind": "adam", "betas": [0.5, 0.5], "amsgrad": True},
        lambda p: O.Adam(p, lr=0.02, betas=(0.5, 0.5), amsgrad=True),
    ),
    (
        {"kind": "adamw", "betas": [0.5, 0.5], "amsgrad": True},
        lambda p: O.AdamW(p, lr=0.02, betas=(0.5, 0.5), amsgrad=True, weight_decay=0.0),
    ),
    (
        {"kind": "nadam", "momentum_decay": 0.1},
        lambda p: O.NAdam(p, lr=0.02, momentum_decay=0.1),
    ),
    ({"kind": "radam", "eps": 1e-3}, lambda p: O.RAdam(p, lr=0.02, eps=1e-3)),
    ({"kind": "adamax"}, lambda p: O.Adamax(p, lr=0.02)),
    ({"kind": "adagrad", "lr_decay": 0.5}, lambda p: O.Adagrad(p, lr=0.02, lr_decay=0.5)),
    ({"kind": "adadelta", "rho": 0.7}, lambda p: O.Adadelta(p, lr=0.02, rho=0.7)),
    (
        {"kind": "rmsprop", "alpha": 0.8, "momentum": 0.5, "centered": True},
        lambda p: O.RMSprop(p, lr=0.02, alpha=0.8, momentum=0.5, centered=True),
    ),
    (
        {"kind": "adafactor", "beta2_decay": -0.5, "clip_threshold": 1.2},
        lambda p: O.Adafactor(p, lr=0.02, beta2_decay=-0.5, d=1.2),
    ),
]
OURS = {"muon", "lion", "schedule-free-adamw", "lbfgs"}  # compared below, or in test_muon.py


def _model(seed: int = 1) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Embedding(7, 6), nn.Linear(6, 5), nn.LayerNorm(5), nn.Linear(5, 3))


def _ours(model: nn.Module, decay: float = 0.0, **optim) -> Optimizers:
    recipe = recipe_from_dict({**BASE, "optim": {"lr": 0.02, **optim}, "schedule": CONSTANT})
    return build_optimizers(recipe.optim, model, weight_decay=decay)


def _give_gradients(models: list[nn.Module], step: int) -> None:
    draw = torch.Generator().manual_seed(step)
    for p, *others in zip(*(m.parameters() for m in models), strict=True):
        p.grad = torch.randn(p.shape, generator=draw) * (1 + step)
        for other in others:
            other.grad = p.grad.to(other.dtype, copy=True)


def test_every_kind_is_compared() -> None:
    kinds = kinds_of(type(recipe_from_dict(BASE)).model_fields["optim"])
    assert {keys["kind"] for keys, _ in TORCH} | OURS == set(kinds)


@pytest.mark.parametrize("decay", [0.0, 0.5])
@pytest.mark.parametrize(("keys", "build"), TORCH)
def test_a_kind_takes_the_steps_of_torch(keys: dict, build: Callable, decay: float) -> None:
    a, b = _model(), _model()
    matrices = [b[1].weight, b[3].weight]
    rest = [p for p in b.parameters() if all(p is not w for w in matrices)]
    ours, theirs = _ours(a, decay, **keys), build([{"params": matrices}, {"params": rest}])
    has_its_own = keys["kind"] == "adafactor"  # whose steps are a share of the weights before it
    if has_its_own:
        theirs.param_groups[0]["weight_decay"] = decay
    for step in range(6):
        _give_gradients([a, b], step)
        ours.step(0.5)
        for group in theirs.param_groups:
            group["lr"] = 0.02 * 0.5
        with torch.no_grad():
            for w in matrices:  # decoupled decay is this, for every kind (arXiv:1711.05101)
                w.mul_(1 - 0.02 * 0.5 * (0.0 if has_its_own else decay))
        theirs.step()
    for p, q in zip(a.parameters(), b.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=2e-6, atol=2e-7)


def _lion(w: Tensor, grads: list[Tensor], lr: float, decay: float) -> Tensor:
    """Algorithm 2 of arXiv:2302.06675, line by line."""
    m = torch.zeros_like(w)
    for g in grads:
        c = 0.9 * m + 0.1 * g
        w = w - lr * (torch.sign(c) + decay * w)
        m = 0.95 * m + 0.05 * g
    return w


def test_lion_takes_the_steps_of_its_paper() -> None:
    model = _model()
    ours, name = _ours(model, 0.3, kind="lion", betas=[0.9, 0.95]), "1.weight"
    start = model.get_parameter(name).detach().double().clone()
    grads = []
    for step in range(6):
        _give_gradients([model], step)
        grads.append(model.get_parameter(name).grad.double().clone())
        ours.step(1.0)
    wanted = _lion(start, grads, 0.02, 0.3)
    torch.testing.assert_close(model.get_parameter(name).double(), wanted, rtol=1e-5, atol=1e-6)


def test_schedule_free_adamw_takes_the_steps_of_its_paper() -> None:
    """Algorithm 1 of arXiv:2405.15682 with x, y and z all kept, and a warm-up in the rates."""
    model, (beta1, beta2), decay = _model(), (0.9, 0.95), 0.3
    kind = {"kind": "schedule-free-adamw", "betas": [beta1, beta2], "eps": 1e-8}
    ours, name = _ours(model, decay, **kind), "1.weight"
    x = z = y = model.get_parameter(name).detach().double().clone()
    v, total = torch.zeros_like(x), 0.0
    for step in range(8):
        _give_gradients([model], step)
        g, rate = model.get_parameter(name).grad.double(), min(1.0, (step + 1) / 3)
        ours.step(rate)
        v = beta2 * v + (1 - beta2) * g * g
        z = z - 0.02 * rate * (g / ((v / (1 - beta2 ** (step + 1))).sqrt() + 1e-8) + decay * y)
        total += (0.02 * rate) ** 2
        c = (0.02 * rate) ** 2 / total
        x = (1 - c) * x + c * z
        y = (1 - beta1) * z + beta1 * x
        torch.testing.assert_close(model.get_parameter(name).double(), y, rtol=1e-5, atol=1e-6)
    # what is measured is x
    averages = {ours.name_of[p]: w for p, w in ours.averages().items()}
    assert averages.keys() == dict(model.named_parameters()).keys()
    torch.testing.assert_close(averages[name].double(), x, rtol=1e-5, atol=1e-6)


class _Valley(nn.Module):
    """Rosenbrock's function, whose minimum is 0 at (1, 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.at = nn.Parameter(torch.tensor([-1.2, 1.0], dtype=torch.float64))

    def loss(self) -> Tensor:
        x, y = self.at
        return (1 - x) ** 2 + 100 * (y - x**2) ** 2


def test_so_many_steps_of_lbfgs_are_so_many_iterations_of_torch() -> None:
    a, b = _Valley(), _Valley()
    ours = build_optimizers(Lbfgs(lr=1.0, history=5), a, weight_decay=0.0)
    theirs = O.LBFGS(
        b.parameters(), max_iter=40, max_eval=1000, history_size=5, line_search_fn="strong_wolfe"
    )

    def gradient(model: _Valley, optimizer) -> Callable[[], Tensor]:
        def again() -> Tensor:
            optimizer.zero_grad()
            loss = model.loss()
            loss.backward()
            return loss

        return again

    for _ in range(40):
        ours.step(1.0, gradient(a, ours))
    theirs.step(gradient(b, theirs))
    torch.testing.assert_close(a.at, b.at, rtol=1e-9, atol=1e-9)
    assert a.loss().item() < 1e-6  # from 24.2


def test_what_stops_a_search_leaves_weights_and_state_as_they_were() -> None:
    model = _Valley()
    ours = build_optimizers(Lbfgs(lr=1.0), model, weight_decay=0.0)
    calls = 0

    def again() -> Tensor:
        nonlocal calls
        calls += 1
        if calls == 7:
            raise FloatingPointError("not finite")
        ours.zero_grad()
        loss = model.loss()
        loss.backward()
        return loss

    before, state = model.at.detach().clone(), ours.named_state()
    with pytest.raises(FloatingPointError):
        for _ in range(5):
            before, state = model.at.detach().clone(), ours.named_state()
            kept = {k: v.clone() for k, v in state.tensors.items()}
            ours.step(1.0, again)
    assert torch.equal(model.at, before)
    now = ours.named_state()
    assert now.plain == state.plain
    assert kept and all(torch.equal(now.tensors[k], kept[k]) for k in kept)
