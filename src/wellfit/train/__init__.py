"""Training: state, step, loop, and the only users of torch.distributed besides checkpoint."""

from wellfit.train.loop import Outcome, run, train_steps
from wellfit.train.setup import resume, start
from wellfit.train.state import TrainState

__all__ = ["Outcome", "TrainState", "resume", "run", "start", "train_steps"]
