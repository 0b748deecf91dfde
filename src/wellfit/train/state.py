"""Everything the next step depends on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from torch import Tensor, nn

from wellfit.checkpoint import Contents
from wellfit.errors import CheckpointError
from wellfit.model import Decoder
from wellfit.optim import NamedState, NormHistory, Optimizers
from wellfit.train.average import Average
from wellfit.train.stopping import PlateauState, StopState


@dataclass
class TrainState:
    """Everything the next step depends on.  If it is not here it is not resumed.

    There is no generator state: the batch stream, dropout and every other draw are functions of
    the seed and ``step``.  The schedule is a function of ``step`` and the recipe.
    """

    model: Decoder
    optimizers: Optimizers
    step: int = 0  # optimizer steps finished
    tokens_seen: int = 0  # targets counted in the loss, all ranks
    evaluated_step: int = -1  # the last step that was evaluated
    elapsed_s: float = 0.0  # time spent training, summed over attempts
    stop: StopState = field(default_factory=StopState)
    plateau: PlateauState = field(default_factory=PlateauState)
    norms: NormHistory = field(default_factory=NormHistory)  # of the gradient
    average: Average = field(default_factory=Average)  # of the weights

    def contents(self) -> Contents:
        """What a checkpoint of this state holds."""
        kept: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        del kept["model"]
        kept |= {name: asdict(kept[name]) for name in ("stop", "plateau", "norms")}
        named = self.optimizers.named_state()
        kept |= {"optimizers": named.plain, "average": self.average.count}
        tensors: dict[str, Mapping[str, Tensor]] = {"model": trained_state(self.model)}
        tensors["optimizer"] = named.tensors
        if self.average.count:
            tensors["average"] = self.average.weights
        return Contents(tensors, kept)

    def restore(self, contents: Contents) -> None:
        """Take over what a checkpoint holds.

        Raises ``CheckpointError`` when it is of another model or another state than this.
        """
        kept = dict(contents.state)
        own = {f.name for f in fields(self)} - {"model"}
        if set(kept) != own:
            raise CheckpointError(
                f"the checkpoint's state holds {sorted(kept)}, this version wants {sorted(own)}."
                " Resume it with the version of wellfit that wrote it (environment.json names it)"
            )
        load_weights(self.model, contents.tensors["model"])
        named = NamedState(dict(contents.tensors["optimizer"]), kept.pop("optimizers"))
        try:
            self.optimizers.load_named_state(named)
        except KeyError as e:
            raise CheckpointError(
                f"the checkpoint has optimizer state for {e}, the model has not"
            ) from e
        device = next(self.model.parameters()).device
        averaged = contents.tensors.get("average", {})
        weights = {name: w.to(device, copy=True) for name, w in averaged.items()}
        kept["average"] = Average(kept["average"], weights)
        for name, kind in (("stop", StopState), ("plateau", PlateauState), ("norms", NormHistory)):
            kept[name] = kind(**kept[name])
        for name, value in kept.items():
            setattr(self, name, value)


def trained_state(model: nn.Module) -> dict[str, Tensor]:
    """The tensors that training changes: all but frozen parameters, which are their base's."""
    named = model.named_parameters(remove_duplicate=False)
    frozen = {name for name, p in named if not p.requires_grad}
    return {name: t for name, t in model.state_dict().items() if name not in frozen}


def load_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Put a checkpoint's weights into the model: those that are trained, and all of them.

    Raises ``CheckpointError`` if they do not fit.
    """
    odd = sorted(trained_state(model).keys() ^ weights.keys())
    try:
        if odd:
            text = f"{len(odd)} tensors are in one and not in the other, such as {odd[0]}"
            raise RuntimeError(text)
        model.load_state_dict(weights, strict=False)  # what is frozen is not in a checkpoint
    except RuntimeError as e:
        raise CheckpointError(f"the checkpoint is of another model: {e}") from e
