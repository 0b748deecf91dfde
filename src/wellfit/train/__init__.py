"""Training: state, step, loop, and the only users of torch.distributed besides checkpoint."""

from wellfit.train.loop import Outcome, run, train_steps
from wellfit.train.setup import resume, start
from wellfit.train.state import TrainState
from wellfit.train.step import StepRecord, train_step
from wellfit.train.stopping import StopState

__all__ = [
    "Outcome",
    "StepRecord",
    "StopState",
    "TrainState",
    "resume",
    "run",
    "start",
    "train_step",
    "train_steps",
]
