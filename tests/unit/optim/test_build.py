import copy
import subprocess
import sys

import pytest
import torch

from tests.tiny_models import SHAPES, random_decoder
from wellfit.config import recipe_from_dict
from wellfit.errors import ConfigError
from wellfit.optim import NamedState, build_optimizers

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
    fresh.load_named_state(copy.deepcopy(optimizers.named_state()))
    step(model, optimizers)
    step(other, fresh)
    # a second step from restored state is the second step of the original, to the bit
    for (name, p), q in zip(model.named_parameters(), other.parameters(), strict=True):
        assert torch.equal(p, q), name


def test_state_of_an_unknown_parameter_is_refused() -> None:
    _, optimizers = _optimizers("adamw")
    with pytest.raises(KeyError, match="nobody"):
        optimizers.load_named_state(NamedState({"nobody/exp_avg": torch.zeros(1)}, {}))


def _grouped(kind: str, *groups: dict):
    optim = {"kind": kind, "lr": 0.01, "groups": list(groups)}
    model = random_decoder(SHAPES["nanochat"])
    if kind == "muon":
        optim["adam_lr"] = 0.003
    optimizers = build_optimizers(_recipe(optim=optim).optim, model, weight_decay=0.1)
    by_name = {}
    for part in optimizers.parts:
        for g in part.param_groups:
            decay = g["weight_decay"] + g.get("decay", 0.0)
            by_name |= {optimizers.name_of[p]: (g["peak_lr"], decay) for p in g["params"]}
    return optimizers, by_name


@pytest.mark.parametrize("kind", ["adamw", "sgd", "lion"])
def test_a_group_has_its_own_rate_and_decay_and_the_first_that_matches_counts(kind: str) -> None:
    optimizers, found = _grouped(
        kind,
        {"match": "blocks.1.mlp.*", "lr_scale": 0.5},
        {"match": "blocks.*", "lr_scale": 0.1, "weight_decay": 0.3},
        {"match": "embed*", "weight_decay": 0.2},
    )
    assert found["blocks.1.mlp.up.weight"] == (0.005, 0.1)
    assert found["blocks.0.mlp.up.weight"] == (0.001, 0.3)
    assert found["embed.weight"] == (0.01, 0.2)
    assert found["head.weight"] == (0.01, 0.1)
    # the rate that charts show is that of the recipe, whichever group comes first
    assert optimizers.peak_lr == 0.01


def test_a_group_of_muon_scales_the_rate_its_parameter_has() -> None:
    _, found = _grouped("muon", {"match": "*.weight", "lr_scale": 2.0})
    assert found["blocks.0.mlp.up.weight"][0] == 0.02
    assert found["embed.weight"][0] == 0.006


def test_a_group_that_nothing_is_in_is_refused_with_names_that_exist() -> None:
    with pytest.raises(ConfigError, match=r"layers\.\* matches no parameter.*such as embed.weight"):
        _grouped("adamw", {"match": "layers.*"})
    with pytest.raises(ConfigError, match=r"embed\.weight matches is in an earlier group"):
        _grouped("adamw", {"match": "embed*"}, {"match": "embed.weight"})


_EVERY_KIND = """
import sys, torch
from tests.tiny_models import SHAPES, random_decoder
from wellfit.config import optim, recipe_from_dict
from wellfit.config.structure import kinds_of
from wellfit.config.recipe import Recipe
from wellfit.optim import build_optimizers
for kind in kinds_of(Recipe.model_fields["optim"]):
    asked = {"kind": kind, "lr": 0.01} | ({"adam_lr": 0.003} if kind == "muon" else {})
    keys = {"data.path": "x.txt", "train.budget": "10 steps", "optim": asked}
    if kind in ("lbfgs", "schedule-free-adamw"):
        keys |= {"schedule": {"kind": "constant", "warmup": 0}, "regularize.clip": None}
    cfg, model = recipe_from_dict(keys).optim, random_decoder(SHAPES["nanochat"])
    optimizers = build_optimizers(cfg, model, weight_decay=0.0)

    def again():
        optimizers.zero_grad()
        loss = model(torch.arange(6)[None]).float().square().mean()
        loss.backward()
        return loss

    again()
    optimizers.step(1.0, again)
    optimizers.zero_grad()
    print(kind, "torch._dynamo" in sys.modules)
"""


def test_no_optimizer_loads_the_compiler() -> None:
    command = [sys.executable, "-c", _EVERY_KIND]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    loaded = dict(line.rsplit(" ", 1) for line in done.stdout.splitlines())
    assert len(loaded) >= 14 and set(loaded.values()) == {"False"}, loaded
