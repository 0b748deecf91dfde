"""Everything the next step depends on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields

from torch import Tensor, nn

from wellfit.checkpoint import Contents
from wellfit.errors import CheckpointError
from wellfit.model import Decoder
from wellfit.optim import Optimizers


@dataclass
class StopState:
    """What early stopping remembers: the best evaluation so far, and how long ago it was."""

    best_val_loss: float | None = None
    best_step: int | None = None
    stale: int = 0  # evaluations since the best one

    def observe(self, step: int, val_loss: float, *, min_gain: float) -> bool:
        """Take note of an evaluation; return whether it is the best so far.

        Patience runs on gains of at least ``min_gain`` nats; any gain at all moves the best.
        """
        best = self.best_val_loss
        if best is None or val_loss < best - min_gain:
            self.stale = 0
        else:
            self.stale += 1
        if best is not None and not val_loss < best:
            return False
        self.best_val_loss, self.best_step = val_loss, step
        return True


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

    def contents(self) -> Contents:
        """What a checkpoint of this state holds."""
        kept = {f.name: getattr(self, f.name) for f in fields(self)}
        model, optimizers = kept.pop("model"), kept.pop("optimizers")
        kept["stop"] = asdict(self.stop)
        tensors = {"model": trained_state(model), "optimizer": optimizers.named_state()}
        return Contents(tensors, kept)

    def restore(self, contents: Contents) -> None:
        """Take over what a checkpoint holds.

        Raises ``CheckpointError`` when it is of another model or another state than this.
        """
        numbers = dict(contents.state)
        own = {f.name for f in fields(self)} - {"model", "optimizers"}
        if set(numbers) != own:
            raise CheckpointError(
                f"the checkpoint's state holds {sorted(numbers)}, this version wants {sorted(own)}."
                " Resume it with the version of wellfit that wrote it (environment.json names it)"
            )
        load_weights(self.model, contents.tensors["model"])
        try:
            self.optimizers.load_named_state(contents.tensors["optimizer"])
        except KeyError as e:
            raise CheckpointError(
                f"the checkpoint has optimizer state for {e}, the model has not"
            ) from e
        stop = numbers.pop("stop")
        for name, value in numbers.items():
            setattr(self, name, value)
        self.stop = StopState(**stop)


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
