"""A run that is looked at again: its recipe, its data, and the model it chose."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from wellfit.checkpoint import committed, load, newest_verified
from wellfit.config import Recipe
from wellfit.data import Prepared
from wellfit.errors import CheckpointError
from wellfit.model import Decoder, build_model
from wellfit.plan import model_of, this_machine
from wellfit.report import NoScreen
from wellfit.store import RunDir
from wellfit.train.ranks import Ranks
from wellfit.train.setup import Here, check_same_data, prepared, read_resolved
from wellfit.train.state import load_weights


class Again(NamedTuple):
    """A run as it was trained, with the weights that val chose so far."""

    recipe: Recipe
    data: Prepared
    model: Decoder
    step: int  # of the chosen weights


def open_again(path: Path) -> Again:
    """Open a run, finished or not, to measure its chosen model on its own data.

    Raises ``RunError`` when the data changed since, ``CheckpointError`` before the first save.
    """
    run = RunDir.open(path)
    recipe, _ = read_resolved(run)
    data = prepared(recipe, Here(this_machine(), "cpu", Ranks(0, 1, 0), NoScreen()))
    check_same_data(run, data)
    shape = model_of(recipe, data).shape
    model = build_model(recipe.model, shape, seed=recipe.train.seed, weights=False)
    best = committed(run.checkpoints, "best")
    if best:
        load_weights(model, load(best[-1]).tensors["model"])
        return Again(recipe, data, model, best[-1].step)
    newest = newest_verified(run.checkpoints, rejected=lambda checkpoint, why: None)
    if newest is None:
        raise CheckpointError(f"{path} has not saved anything yet; wait for its first checkpoint")
    load_weights(model, newest[1].tensors["model"])
    return Again(recipe, data, model, newest[0].step)
