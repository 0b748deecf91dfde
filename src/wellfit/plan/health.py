"""What ``wellfit doctor`` looks at."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import torch

from wellfit.plan.machine import matmul_flops_per_s, this_machine
from wellfit.units import format_bytes

_PARTS = (
    ("transformers", "hf", "loads and checks published models"),
    ("pyarrow", "data", "reads parquet"),
    ("zstandard", "data", "reads .zst files"),
    ("torchao", "gpu", "trains in fp8"),
    ("rensa", "data", "finds near copies of documents"),
)
_LOW_DISK_BYTES = 2e9


def look_over() -> dict[str, Any]:
    """Machine, measured arithmetic, optional parts, and problems with what to do about each."""
    machine = this_machine()
    torch.set_num_threads(machine.cores)
    device = "cuda" if machine.gpu else "cpu"
    free_bytes = shutil.disk_usage(Path.cwd()).free
    facts = {
        "processor": machine.cpu,
        "cores": machine.cores,
        "memory": format_bytes(machine.memory_bytes),
        "GPU": machine.gpu or "none that torch can use",
        "free disk here": format_bytes(free_bytes),
        "system": machine.system,
        "python": machine.python,
        "torch": machine.torch,
        "float32 products": _rate(torch.float32, device),
        "bfloat16 products": _rate(torch.bfloat16, device),
        "compiler": shutil.which("g++") or shutil.which("clang++") or "none",
    }
    problems = []
    if free_bytes < _LOW_DISK_BYTES:
        problems.append(f"only {format_bytes(free_bytes)} of disk are free here: make room")
    if facts["compiler"] == "none":
        problems.append("no C++ compiler: long runs cannot be compiled. Install g++")
    return {"machine": facts, "parts": [_part(*part) for part in _PARTS], "problems": problems}


def _rate(dtype: torch.dtype, device: str) -> str:
    return f"{matmul_flops_per_s(dtype, device=device) / 1e12:.2f} TFLOP/s"


def _part(module: str, extra: str, what: str) -> dict[str, str]:
    there = importlib.util.find_spec(module) is not None
    return {
        "name": module,
        "what": what,
        "state": "installed" if there else f"missing: {what}",
        "install": "" if there else f"pip install 'wellfit[{extra}]'",
    }
