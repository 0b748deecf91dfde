"""The recipe: everything that was asked of a run, in one frozen value."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator

from wellfit.config.data import BpeTokenizer, Data, Tokenizer
from wellfit.config.fields import Section, Wanted, conflict
from wellfit.config.model import Decoder, Model
from wellfit.config.optim import Lbfgs, Linear, Muon, Optim, Schedule, ScheduleFreeAdamW
from wellfit.config.task import LanguageModel, Task
from wellfit.config.train import Checkpoint, Evaluate, Regularize, Stop, Train
from wellfit.units import Duration


class Recipe(Section):
    """Everything that was asked of a run."""

    preset: Annotated[
        str | None, Field(examples=["quick"]), Wanted("the name of a preset, or null", "quick")
    ] = None
    """The preset this recipe is a difference from; null for none."""
    task: Task = LanguageModel()
    """What the model is for."""
    data: Data
    """Which text to learn from, how it is read, and what is kept back."""
    tokenizer: Tokenizer = BpeTokenizer()
    """How text becomes tokens; left out with a pretrained model, its own tokenizer."""
    model: Model = Decoder()
    """The shape of the model."""
    train: Train
    """How long to train, on how much at a time, and on what."""
    optim: Optim = Muon()
    """How the weights are updated."""
    schedule: Schedule = Linear()
    """How the learning rate moves over the run."""
    regularize: Regularize = Regularize()
    """What keeps the model from learning the train split by heart, and its steps in bounds."""
    stop: Stop | None = Stop()
    """When training ends before its budget; null to train to the end."""
    evaluate: Evaluate = Evaluate()
    """What is measured during training, and how often."""
    checkpoint: Checkpoint = Checkpoint()
    """How often the run is saved, so that it can go on after a crash."""

    @model_validator(mode="before")
    @classmethod
    def _as_the_model_wants(cls, given: Any) -> Any:
        model = given.get("model") if isinstance(given, dict) else None
        match model.model_dump() if isinstance(model, Section) else model:
            case {"kind": "ngrams"}:
                return {"optim": {"kind": "sgd"}, **given}
            case {"kind": "pretrained", "path": path}:
                return {"tokenizer": {"kind": "pretrained", "path": path}, **given}
            case _:
                return given

    @model_validator(mode="after")
    def _warmup_fits(self) -> Recipe:
        warmup, budget = self.schedule.warmup, self.train.budget
        is_same_unit = isinstance(warmup, Duration) and warmup.unit == budget.unit
        if is_same_unit and warmup.amount > budget.amount:  # type: ignore[union-attr]
            text = f"{warmup} of warm-up are more than the budget, {budget}"
            raise conflict("schedule.warmup", f"{text}; write less, for example 2%")
        return self

    @model_validator(mode="after")
    def _optimizer_fits(self) -> Recipe:
        match self.optim:
            case ScheduleFreeAdamW():
                wrong = [] if self.schedule.kind == "constant" else ["schedule.kind: constant"]
                wrong += ["regularize.average: null"] if self.regularize.average else []
                why = "averages its weights in place of a schedule"
            case Lbfgs():
                wrong, why = _not_plain(self), "searches along a line, on one plain function"
            case _:
                return self
        if wrong:
            raise conflict("optim.kind", f"{self.optim.kind} {why}; write {', '.join(wrong)}")
        return self


def _not_plain(recipe: Recipe) -> list[str]:
    """What to write where the loss of a recipe is not one plain function of the weights."""
    r, schedule = recipe.regularize, recipe.schedule
    needed = {
        "schedule.kind: constant": schedule.kind != "constant",
        "schedule.warmup: 0": schedule.warmup != 0,
        "regularize.dropout: 0": r.disturbs,
        "regularize.weight_decay: 0": r.weight_decay not in (0, "auto"),
        "regularize.l1: 0": r.l1 != 0,
        "regularize.clip: null": r.clip is not None,
        "regularize.gradient_noise: null": r.gradient_noise is not None,
    }
    return [line for line, is_wrong in needed.items() if is_wrong]
