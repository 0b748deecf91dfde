"""What is resumed: everything, by name."""

import copy
from dataclasses import fields

import pytest
import torch

from tests.tiny_models import SHAPES, random_decoder
from wellfit.checkpoint import Contents, commit, load
from wellfit.config import Lora, recipe_from_dict
from wellfit.config.optim import AdamW
from wellfit.config.train import EmaAverage
from wellfit.errors import CheckpointError
from wellfit.model import add_lora
from wellfit.optim import NormHistory, build_optimizers
from wellfit.train import TrainState
from wellfit.train.average import take_average
from wellfit.train.stopping import PlateauState, StopState


def _state(seed: int = 1) -> TrainState:
    recipe = recipe_from_dict(
        {"data.path": "x", "train.budget": "1 step", "optim": {"lr": 0.01, "adam_lr": 0.01}}
    )
    model = random_decoder(SHAPES["nanochat"], seed=seed)
    return TrainState(model, build_optimizers(recipe.optim, model, weight_decay=0.0))


def _trained() -> TrainState:
    state = _state()
    state.model(torch.arange(10)[None]).float().square().mean().backward()
    state.optimizers.step(0.5)
    state.optimizers.zero_grad()
    state.step, state.tokens_seen, state.evaluated_step, state.elapsed_s = 3, 99, 2, 0.1 + 0.2
    state.stop = StopState(best=1 / 3, best_step=2, stale=1)
    state.plateau = PlateauState(0.25, best=1 / 7, bad=2)
    state.norms = NormHistory(30, 1 / 3, 0.1)
    take_average(state, EmaAverage(), total=10)
    return state


def test_a_state_comes_back_from_disk_whole(tmp_path) -> None:
    state, back = _trained(), _state(seed=2)
    back.restore(load(commit(tmp_path, 3, state.contents())))
    for f in fields(TrainState):
        if f.name not in ("model", "optimizers", "average"):
            assert getattr(back, f.name) == getattr(state, f.name), f.name
    for name, tensor in state.model.state_dict().items():
        assert torch.equal(tensor, back.model.state_dict()[name]), name
    ours, theirs = state.optimizers.named_state(), back.optimizers.named_state()
    assert ours.plain == theirs.plain
    assert back.average.count == 1
    pairs = [(ours.tensors, theirs.tensors), (state.average.weights, back.average.weights)]
    for one, other in pairs:
        assert one and one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_a_field_that_is_not_saved_cannot_be_added_unnoticed() -> None:
    """Every field reaches the checkpoint, so a new one is resumed or fails here."""
    saved = set(_trained().contents().state) | {"model"}
    assert saved == {f.name for f in fields(TrainState)}


def test_every_tensor_that_a_step_changes_is_in_the_checkpoint() -> None:
    state = _state()
    before = copy.deepcopy(state.contents().tensors)
    state.model(torch.arange(10)[None]).float().square().mean().backward()
    state.optimizers.step(1.0)
    after = state.contents().tensors
    moments = {name for part in state.optimizers.parts for s in part.state.values() for name in s}
    # Muon's momentum; AdamW's two moments and its count
    assert moments == {"momentum", "exp_avg", "exp_avg_sq", "step"}
    assert not before["optimizer"] and after["optimizer"]


def test_a_state_of_another_version_is_refused_by_name() -> None:
    contents = _trained().contents()
    short = {k: v for k, v in contents.state.items() if k != "stop"}
    with pytest.raises(CheckpointError, match="this version wants"):
        _state().restore(Contents(contents.tensors, short))


def test_weights_of_another_model_are_refused() -> None:
    contents = _trained().contents()
    tensors = {**contents.tensors, "model": random_decoder(SHAPES["llama"]).state_dict()}
    with pytest.raises(CheckpointError, match="of another model"):
        _state().restore(Contents(tensors, contents.state))


def _lora_state(seed: int, **lora) -> TrainState:
    state = _state()
    add_lora(state.model, Lora(rank=2, **lora), seed=seed)
    return TrainState(state.model, build_optimizers(AdamW(lr=0.01), state.model, weight_decay=0.0))


@pytest.mark.parametrize("lora", [{}, {"dora": True, "embeddings": True}])
def test_of_a_lora_run_a_checkpoint_holds_what_is_trained_and_no_more(lora, tmp_path) -> None:
    state, back = _lora_state(seed=1, **lora), _lora_state(seed=2, **lora)
    state.model(torch.arange(10)[None]).float().square().mean().backward()
    state.optimizers.step(1.0)
    contents = load(commit(tmp_path, 1, state.contents()))
    trained = {name for name, p in state.model.named_parameters() if p.requires_grad}
    # the base lies where it lay
    assert contents.tensors["model"].keys() == trained
    back.restore(contents)
    for name, tensor in state.model.state_dict().items():
        assert torch.equal(tensor, back.model.state_dict()[name]), name


def test_weights_that_are_only_a_part_of_what_is_trained_are_refused() -> None:
    state = _lora_state(seed=1)
    contents = state.contents()
    short = dict(contents.tensors["model"])
    del short["blocks.1.mlp.up.lora_b"]
    with pytest.raises(
        CheckpointError, match=r"another model: 1 tensors .* blocks.1.mlp.up.lora_b"
    ):
        state.restore(Contents({**contents.tensors, "model": short}, contents.state))
    # nor do those of a whole model fit
    with pytest.raises(CheckpointError, match="another model"):
        state.restore(
            Contents({**contents.tensors, "model": _state().model.state_dict()}, contents.state)
        )
