import pytest
import torch

from tests.tiny_models import SHAPES, random_decoder
from wellfit.config import recipe_from_dict
from wellfit.optim import build_optimizers, lr_scale

BASE = {"data.path": "x.txt", "train.budget": "10 steps"}


def _recipe(**keys: object):
    return recipe_from_dict({**BASE, **{k.replace("__", "."): v for k, v in keys.items()}})


def _optimizers(kind: str):
    optim = {"kind": kind, "lr": 0.01}
    if kind == "muon":
        optim["adam_lr"] = 0.003
    model = random_decoder(SHAPES["nanochat"])
    return model, build_optimizers(_recipe(optim=optim).optim, model, weight_decay=0.1)


@pytest.mark.parametrize("kind", ["muon", "adamw"])
def test_every_parameter_is_in_exactly_one_optimizer(kind: str) -> None:
    model, optimizers = _optimizers(kind)
    held = [p for part in optimizers.parts for g in part.param_groups for p in g["params"]]
    assert sorted(map(id, held)) == sorted(map(id, model.parameters()))


def test_muon_takes_the_matrices_of_the_blocks_and_nothing_else() -> None:
    model, optimizers = _optimizers("muon")
    names = {id(p): name for name, p in model.named_parameters()}
    muon = {names[id(p)] for g in optimizers.parts[0].param_groups for p in g["params"]}
    assert muon == {
        n for n, p in model.named_parameters() if n.startswith("blocks.") and p.ndim == 2
    }


@pytest.mark.parametrize("kind", ["muon", "adamw"])
def test_state_goes_to_the_same_parameter_by_name(kind: str) -> None:
    def step(model, optimizers):
        loss = model(torch.arange(6)[None]).float().square().mean()
        loss.backward()
        optimizers.step(1.0)
        optimizers.zero_grad()

    model, optimizers = _optimizers(kind)
    step(model, optimizers)
    other, fresh = _optimizers(kind)
    other.load_state_dict(model.state_dict())
    fresh.load_named_state({k: v.clone() for k, v in optimizers.named_state().items()})
    step(model, optimizers)
    step(other, fresh)
    # a second step from restored state is the second step of the original, to the bit
    for (name, p), q in zip(model.named_parameters(), other.parameters(), strict=True):
        assert torch.equal(p, q), name


def test_state_of_an_unknown_parameter_is_refused() -> None:
    _, optimizers = _optimizers("adamw")
    with pytest.raises(KeyError, match="nobody"):
        optimizers.load_named_state({"nobody/exp_avg": torch.zeros(1)})


# 10 steps, worked by hand: progress of step s is (s - warmup) / (10 - warmup)
SCHEDULES = [
    ({"kind": "linear", "warmup": "2 steps"}, {0: 0.5, 1: 1.0, 2: 1.0, 6: 0.5, 9: 0.125}),
    ({"kind": "linear", "warmup": "2 steps", "floor": 0.2}, {6: 0.6, 9: 0.3}),
    ({"kind": "cosine", "warmup": 0.0, "floor": 0.0}, {0: 1.0, 5: 0.5}),
    ({"kind": "cosine", "warmup": 0.0, "floor": 0.1}, {0: 1.0, 5: 0.55}),
    ({"kind": "wsd", "warmup": 0.0, "decay": 0.5, "floor": 0.0}, {0: 1.0, 5: 1.0, 8: 0.4}),
    ({"kind": "constant", "warmup": 0.4}, {0: 0.25, 3: 1.0, 9: 1.0}),
]


@pytest.mark.parametrize(("schedule", "wanted"), SCHEDULES)
def test_a_schedule_has_its_hand_worked_values(schedule: dict, wanted: dict[int, float]) -> None:
    cfg = _recipe(schedule=schedule).schedule
    for step, value in wanted.items():
        assert lr_scale(cfg, step, total=10) == pytest.approx(value)


@pytest.mark.parametrize("kind", ["linear", "cosine", "wsd", "constant"])
@pytest.mark.parametrize("total", [1, 2, 7, 1000])
def test_a_schedule_stays_in_bounds_and_every_step_learns(kind: str, total: int) -> None:
    cfg = _recipe(schedule={"kind": kind}).schedule
    values = [lr_scale(cfg, step, total=total) for step in range(total)]
    assert all(0 < value <= 1 for value in values)
