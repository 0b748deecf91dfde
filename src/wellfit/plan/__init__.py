"""What this machine is, what a recipe will cost, and the laws that fill in auto values."""

from wellfit.plan.decide import Decision, Rehearsal, decide_horizon, decide_parts, model_of
from wellfit.plan.machine import Machine, environment, peak_memory_bytes, this_machine

__all__ = [
    "Decision",
    "Machine",
    "Rehearsal",
    "decide_horizon",
    "decide_parts",
    "environment",
    "model_of",
    "peak_memory_bytes",
    "this_machine",
]
