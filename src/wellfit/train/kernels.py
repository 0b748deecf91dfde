"""Which of torch's kernels a run on a GPU takes, and where a run on a processor gets its memory."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from wellfit.plan.gpu import attention_kernels
from wellfit.train.job import Job

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG=:4096:8"

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of glibc's mallopt


def keep_memory() -> None:
    """Have this process keep what it frees, in place of handing each large tensor back at once.

    Otherwise glibc maps every one anew, and the system fills it with zeros page by page: an
    eighth of a step with 16,384 tokens at once (LOG.md, 2026-11-21).  Elsewhere than under glibc
    nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, -1)


@contextmanager
def kernels(job: Job) -> Iterator[None]:
    """The job's kernels, for as long as this lasts; on a CPU there is nothing to choose.

    Around the backward pass as well: checkpointed blocks run their attention again in it, and
    must find the same kernel.
    """
    if job.device != "cuda":
        yield
        return
    from torch.nn.attention import SDPBackend, sdpa_kernel

    exact = job.recipe.train.deterministic
    if exact:
        # Heeded only where this process has taken no product on the GPU before; torch says if not.
        os.environ.setdefault(*WORKSPACE.split("="))
        torch.use_deterministic_algorithms(True)
    order = attention_kernels(job.machine.gpu_capability, deterministic=exact)
    try:
        with sdpa_kernel([getattr(SDPBackend, name) for name in order], set_priority=True):
            yield
    finally:
        if exact:
            torch.use_deterministic_algorithms(False)
