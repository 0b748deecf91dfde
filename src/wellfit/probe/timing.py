"""Where the time of a training step goes, from what torch's profiler saw of it.

A step is cut twice: into its parts, which ``during`` marks, and into kinds of operations, by their
names (operations.toml).  On a CPU an operation's time is its own, without that of the operations
inside it.  On a GPU it is that of its kernels, and what no kernel fills is idle time, of the part
in which the device waited.  Either way the pieces add up to the step.
"""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from importlib import resources
from typing import Any

import torch
from torch.autograd.profiler_util import FunctionEvent

_OURS = "wellfit::"  # before the names of our own ranges
_UNCUT = ("data", "gradients", "optimizer")  # parts that are a kind by themselves


def during(part: str) -> AbstractContextManager[object]:
    """Mark a step, or a part of it, for a profiler; where none runs, this does nothing."""
    runs = torch.autograd.profiler._is_profiler_enabled
    return torch.autograd.profiler.record_function(_OURS + part) if runs else nullcontext()


def kind_of(names: Sequence[str]) -> str:
    """The kind of an operation, from its name and the names of what called it, innermost first."""
    asked = [("itself", names[0]), *((by, name) for by in ("owner", "plain") for name in names)]
    return next((kind for by, name in asked if (kind := _named(by, name))), "other")


@cache
def _named(by: str, name: str) -> str | None:
    return next((kind for kind, found in _patterns()[by].items() if re.search(found, name)), None)


@cache
def _patterns() -> dict[str, dict[str, str]]:
    return tomllib.loads(resources.files("wellfit.probe").joinpath("operations.toml").read_text())


def pieces(events: Sequence[FunctionEvent]) -> Iterator[tuple[dict[str, str], float]]:
    """The time of one step, cut up: what went into a piece, and its us.

    ``events`` are all that happened while the step was marked.
    """
    on_device = [e for e in events if not _on_cpu(e) and not e.is_user_annotation]
    marks = {e.name for e in events if not _on_cpu(e) and e.is_user_annotation}  # are no kernels
    # On a GPU, autograd launches the kernels of a backward pass from a thread of its own; else a
    # thread besides the step's takes no time of it.
    elsewhere: tuple[str, tuple[str, ...]] = ("backward" if on_device else "", ())
    places = {id(None): elsewhere}  # of an operation: its part, and its name with its callers'
    for e in (e for e in events if _on_cpu(e) and not e.is_async):
        part, callers = around = places.get(id(e.cpu_parent), elsewhere)
        is_range = e.name.startswith(_OURS)
        if is_range:
            part, callers = e.name.removeprefix(_OURS), ()
        places[id(e)] = part, (e.name, *callers)
        kind = part if part in _UNCUT else "dispatch" if is_range else kind_of((e.name, *callers))
        shapes = ", ".join("x".join(map(str, s)) for s in e.input_shapes or () if s)  # type: ignore[call-overload]
        piece = {"part": part, "kind": kind, "operation": e.name, "shapes": shapes}
        if part and not on_device:
            yield piece, e.self_cpu_time_total
        for kernel in (kernel for kernel in e.kernels if kernel.name not in marks):
            vague = kind in ("dispatch", "other")  # as many kernels that are launched at once
            named = kind_of((kernel.name, e.name, *callers)) if vague else kind
            yield piece | {"kind": named}, kernel.duration
        if on_device and is_range:
            idle_us = _idle_us(e, on_device)
            yield piece | {"kind": "idle"}, idle_us
            if part != "step":  # that was not the time of the part around it
                yield piece | {"kind": "idle", "part": around[0]}, -idle_us


def breakdown(steps: Sequence[Sequence[FunctionEvent]]) -> dict[str, Any]:
    """A step's seconds by part, by kind and by operation, the longest first; means of ``steps``."""
    found = [piece for events in steps for piece in pieces(events)]
    n, total_us = len(steps), sum(us for _, us in found)

    def by(*fields: str) -> list[dict[str, Any]]:
        rows: dict[tuple[Any, ...], list[float]] = defaultdict(lambda: [0.0, 0])
        for piece, us in found:
            row = rows[tuple(piece[field] for field in fields)]
            row[:] = row[0] + us, row[1] + 1
        return [
            dict(zip(fields, at, strict=True), s=us / n / 1e6, frac=us / total_us, calls=calls / n)
            for at, (us, calls) in sorted(rows.items(), key=lambda row: -row[1][0])
        ]

    kinds = by("kind")
    return {
        "step_s": total_us * 1e-6 / n,
        "matrix_products_frac": sum(k["frac"] for k in kinds if k["kind"] == "matrix products"),
        "parts": by("part"),
        "kinds": kinds,
        "kinds_by_part": by("part", "kind"),
        "operations": by("operation", "shapes", "kind")[:20],
    }


def _on_cpu(e: FunctionEvent) -> bool:
    return str(e.device_type.name) == "CPU"


def _idle_us(e: FunctionEvent, on_device: Sequence[FunctionEvent]) -> float:
    ours, theirs = e.time_range, (other.time_range for other in on_device)
    both = (min(ours.end, x.end) - max(ours.start, x.start) for x in theirs)
    return float(ours.end - ours.start - sum(us for us in both if us > 0))
