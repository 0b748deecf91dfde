"""What this machine is: processor, memory, accelerator, software.

Everything is read from the system or measured; nothing is assumed from a model name.
"""

from __future__ import annotations

import os
import platform
import resource
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import torch

_CPU_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_int8")


@dataclass(frozen=True, slots=True)
class Machine:
    """The part of a machine that decides how a run goes."""

    cpu: str
    cores: int  # usable by this process: affinity and cgroup quota are respected
    cpu_flags: tuple[str, ...]
    memory_bytes: int  # usable by this process: the cgroup limit is respected
    gpu: str | None
    gpu_memory_bytes: int
    system: str
    python: str
    torch: str
    gpu_capability: tuple[int, ...] = ()  # CUDA's number of the GPU's generation, such as (9, 0)

    def facts(self) -> dict[str, Any]:
        """As plain JSON, for environment.json and doctor."""
        return {**asdict(self), "cpu_flags": list(self.cpu_flags), "summary": self.summary()}

    def summary(self) -> str:
        """One line for cards and reports."""
        gpu = f"{self.gpu}, " if self.gpu else ""
        return f"{gpu}{self.cores} cores of {self.cpu}, torch {self.torch}"


def this_machine() -> Machine:
    """Look at the machine this process runs on."""
    name, flags = _cpu()
    gpu, gpu_memory_bytes, capability = None, 0, tuple[int, ...]()
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        gpu, gpu_memory_bytes = properties.name, properties.total_memory
        capability = (properties.major, properties.minor)
    return Machine(
        cpu=name,
        cores=usable_cores(),
        cpu_flags=tuple(flag for flag in _CPU_FLAGS if flag in flags),
        memory_bytes=usable_memory_bytes(),
        gpu=gpu,
        gpu_memory_bytes=gpu_memory_bytes,
        system=platform.platform(),
        python=platform.python_version(),
        torch=torch.__version__,
        gpu_capability=capability,
    )


def usable_cores() -> int:
    """Cores that this process may keep busy."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cores = affinity or 1
    quota = _text_of("/sys/fs/cgroup/cpu.max").split()
    if len(quota) == 2 and quota[0].isdigit():
        cores = min(cores, max(1, int(quota[0]) // int(quota[1])))
    return cores


def usable_memory_bytes() -> int:
    """Memory that this process may use before it is killed."""
    total = psutil.virtual_memory().total
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        limit = _text_of(file).strip()
        if limit.isdigit():
            total = min(total, int(limit))
    return total


def peak_memory_bytes(device: str) -> int:
    """The most memory that this process has held so far; on a GPU, of the GPU's."""
    if device == "cuda":
        return int(torch.cuda.max_memory_allocated())
    scale = 1 if sys.platform == "darwin" else 1024  # Linux counts in KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


def environment(machine: Machine, *, threads: int) -> dict[str, Any]:
    """What environment.json says: enough to know later where numbers came from."""
    from importlib.metadata import distributions

    import wellfit

    wanted = ("torch", "numpy", "safetensors", "tokenizers", "pydantic", "transformers", "wellfit")
    versions = {d.name: d.version for d in distributions() if d.name in wanted}
    return {
        "machine": machine.facts(),
        "threads": threads,
        "wellfit": wellfit.__version__,
        "git_commit": _git_commit(Path.cwd()),
        "versions": dict(sorted(versions.items())),
        "command": sys.argv,
    }


def matmul_flops_per_s(dtype: torch.dtype, *, device: str, size: int = 1024) -> float:
    """FLOP/s of a square matrix product: the machine's own ceiling for this dtype.

    The best of several, because a neighbour can only make it slower.
    """
    if device == "cuda":
        size *= 8
    a = torch.randn(size, size, device=device).to(dtype)
    best_s = float("inf")
    for _ in range(6):
        t0 = time.perf_counter()
        product = a @ a
        if device == "cuda":
            torch.cuda.synchronize()
        best_s = min(best_s, time.perf_counter() - t0)
    assert product.shape == (size, size)
    return 2 * size**3 / best_s


def _cpu() -> tuple[str, set[str]]:
    """Name and feature flags of the processor."""
    fields: dict[str, str] = {}
    for line in _text_of("/proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    name = fields.get("model name") or platform.processor() or platform.machine()
    return name, set(fields.get("flags", fields.get("Features", "")).split())


def _text_of(file: str) -> str:
    """What the kernel says in a file of its own; nothing where it is not Linux."""
    try:
        return Path(file).read_text()
    except OSError:
        return ""


def _git_commit(folder: Path) -> str | None:
    """The commit of the working directory, marked when files differ from it; None outside git."""
    git = shutil.which("git")
    if git is None:
        return None
    ask = [git, "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    done = subprocess.run(ask, capture_output=True, text=True, timeout=20, check=False)
    return done.stdout.strip() or None
