"""Look where the time of a step goes: a few real steps of a run under torch's profiler.

What is trained does not change by it, not by a bit.  Each step is recorded by itself, so that
evaluations and saves in between are not; what the recording costs is told by the steps before
and after, which are timed without it.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Iterator
from contextlib import nullcontext

import torch
from torch.profiler import profile

from wellfit.errors import WellfitError
from wellfit.plan import peak_memory_bytes
from wellfit.probe.timing import breakdown, during
from wellfit.report.words import profile_line
from wellfit.store import write_text_atomic
from wellfit.train.ledger import Ledger
from wellfit.train.step import StepRecord

_FIRST, _LAST = 6, 10  # of the steps of this attempt: by then all is compiled and warm
_BESIDE = 3  # steps before and after that are timed without the profiler


def prepare_profiler() -> None:
    """Let compiled code name its kernels, and the profiler keep its own log from stderr.

    Comes before anything is compiled or profiled, as it does nothing later.
    """
    from torch._inductor import config

    config.cpp.enable_kernel_profile = True
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")


def profiled(ledger: Ledger, steps: Iterator[StepRecord]) -> Iterator[StepRecord]:
    """The same steps; where the ledger asks for it, a few of them profiled and written about."""
    recorded, plain_s = dict[int, profile](), list[float]()
    try:
        for turn in range(1, _LAST + _BESIDE + 1) if ledger.profile else ():
            # one more before the first, as a profiler has to warm up as well
            recorder = profile(record_shapes=True) if _FIRST - 1 <= turn <= _LAST else None
            t0 = time.perf_counter()
            with recorder or nullcontext(), during("step"):
                record = next(steps, None)
                if recorder and ledger.job.device == "cuda":
                    torch.cuda.synchronize()  # all that the step left to do
            if record is None:
                break
            if recorder is None and turn >= _FIRST - 1 - _BESIDE:
                plain_s.append(time.perf_counter() - t0)
            if recorder is not None and turn >= _FIRST:
                recorded[record.step] = recorder
            yield record
    finally:
        if ledger.profile:
            _write(ledger, recorded, plain_s)
    yield from steps


def _write(ledger: Ledger, recorded: dict[int, profile], plain_s: list[float]) -> None:
    """Write down what was seen; whatever goes wrong with that, training goes on."""
    if not recorded:
        ledger.warned(0, f"nothing was profiled: this attempt ended before its step {_FIRST}")
        return
    try:
        found = {
            "steps": list(recorded),
            "device": ledger.job.device,
            "unprofiled_step_s": statistics.median(plain_s),
            **breakdown([recorder.events() for recorder in recorded.values()]),
            "peak_memory_bytes": peak_memory_bytes(ledger.job.device),
        }
        recorded[max(recorded)].export_chrome_trace(str(ledger.job.run.trace))
        write_text_atomic(ledger.job.run.profile, json.dumps(found, indent=1))
        ledger.screen.say(profile_line(found))
    except (OSError, RuntimeError, WellfitError) as e:
        ledger.warned(max(recorded), f"the profile could not be written: {e}")
