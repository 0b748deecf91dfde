"""A run that is looked at again: its recipe, its data, and the model it chose."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from wellfit.checkpoint import committed, load, newest_verified
from wellfit.config import Recipe
from wellfit.data import Labels, Prepared
from wellfit.errors import CheckpointError, RunError
from wellfit.model import build_model, read_model, read_outputs
from wellfit.plan import model_of
from wellfit.report import NoScreen
from wellfit.store import RunDir
from wellfit.tokenizer import Tokenizer, load_tokenizer
from wellfit.train.ranks import Ranks
from wellfit.train.setup import check_same_data, prepared, read_resolved
from wellfit.train.state import load_weights


class Again(NamedTuple):
    """A run as it was trained, with the weights that val chose so far."""

    recipe: Recipe
    data: Prepared
    model: Any  # a decoder, or an encoder
    step: int  # of the chosen weights


class Opened(NamedTuple):
    """A model with its tokenizer; of a run also what it was trained for."""

    model: Any
    tokenizer: Tokenizer
    step: int = 0
    recipe: Recipe | None = None
    labels: Labels | None = None


def open_model(target: Path) -> Opened:
    """A run's chosen model, or a model in published layout.  Raises ``RunError`` for neither."""
    run = RunDir(target.absolute())
    if run.db.is_file() and not run.model.is_dir():
        recipe, data, model, step = open_again(target)
        return Opened(model, data.tokenizer, step, recipe, data.labels)
    if run.db.is_file():
        recipe, labels = read_resolved(run).recipe, None
        if said := json.loads(run.data.read_text()).get("labels"):
            means, deviations = tuple(said["means"]), tuple(said["deviations"])
            labels = Labels(tuple(said["names"]), said["several"], means, deviations)
        return Opened(read_model(run.model), load_tokenizer(run.model), 0, recipe, labels)
    if (target / "config.json").is_file():
        return Opened(read_model(target), load_tokenizer(target), labels=_published(target))
    raise RunError(
        f"{target} is neither a run (it holds no run.db) nor a model (it holds no config.json). "
        "List runs with: wellfit runs ls"
    )


def _published(folder: Path) -> Labels | None:
    """What the outputs of a published model mean."""
    found = read_outputs(folder)
    if found is None:
        return None
    several = found.problem == "multi_label_classification"
    return Labels(found.names, several, found.means, found.deviations)


def open_again(path: Path) -> Again:
    """Open a run, finished or not, to measure its chosen model on its own data.

    Raises ``RunError`` when the data changed since, ``CheckpointError`` before the first save.
    """
    run = RunDir.open(path)
    recipe = read_resolved(run).recipe
    data = prepared(recipe, Ranks(), NoScreen())
    check_same_data(run, data)
    shape = model_of(recipe, data).shape
    model = build_model(recipe.model, shape, seed=recipe.train.seed, weights=False)
    if best := committed(run.checkpoints, "best"):
        chosen, contents = best[-1], load(best[-1])
    elif newest := newest_verified(run.checkpoints, rejected=lambda checkpoint, why: None):
        chosen, contents = newest
    else:
        raise CheckpointError(f"{path} has not saved anything yet; wait for its first checkpoint")
    load_weights(model, contents.tensors["model"])
    return Again(recipe, data, model, chosen.step)
