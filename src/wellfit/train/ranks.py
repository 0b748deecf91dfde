"""The processes of one run, under torchrun or alone.

Everything that training needs of ``torch.distributed`` is here: a sum, and an agreement.  Every
function is the identity for a single process.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from datetime import timedelta
from typing import NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

T = TypeVar("T")
TIMEOUT_S = 120  # a rank that is cut off is noticed in minutes, not torch's half hour


class Ranks(NamedTuple):
    """Who this process is among the processes of the run."""

    rank: int = 0
    world: int = 1
    device: str = "cpu"

    @property
    def leads(self) -> bool:
        """Whether this process writes the record and the checkpoints."""
        return self.rank == 0


def join(device: str) -> Ranks:
    """Join the run's processes as torchrun's environment says; alone where it says nothing."""
    if "RANK" not in os.environ:
        return Ranks(device=device)
    if device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    backend = "nccl" if device == "cuda" else "gloo"
    dist.init_process_group(backend, timeout=timedelta(seconds=TIMEOUT_S))
    return Ranks(dist.get_rank(), dist.get_world_size(), device)


def leave(ranks: Ranks, *, done: bool) -> None:
    """Leave the group that ``join`` joined; when all is ``done``, no rank before the last is ready.

    After an error there is nobody to wait for: the others may never come.
    """
    if ranks.world > 1:
        if done:
            dist.barrier()
        dist.destroy_process_group()


def sum_gradients(ranks: Ranks, params: Iterable[nn.Parameter]) -> None:
    """Add every rank's gradients into each rank's, in one exchange.

    A sum and not a mean: each rank has already divided by the count of the whole batch.
    """
    if ranks.world == 1:
        return
    grads = [p.grad for p in params if p.grad is not None]
    flat = torch.cat([g.reshape(-1) for g in grads])
    dist.all_reduce(flat)
    for g, summed in zip(grads, flat.split([g.numel() for g in grads]), strict=True):
        g.copy_(summed.view_as(g))


def summed(ranks: Ranks, x: Tensor) -> Tensor:
    """The sum of ``x`` over all ranks."""
    if ranks.world > 1:
        x = x.to(ranks.device, copy=True)
        dist.all_reduce(x)
    return x


def agreed(ranks: Ranks, value: T) -> T:
    """Rank 0's value, on every rank: for what is measured or found on disk, and so may differ.

    Travels as JSON, because torch sends objects in a form that can run code: a value is a number,
    a text, None, or lists and mappings of these.  Waiting for it is waiting for rank 0.
    """
    if ranks.world == 1:
        return value
    said = json.dumps(value).encode() if ranks.leads else b""
    length = summed(ranks, torch.tensor([len(said)]))
    letters = torch.zeros(int(length), dtype=torch.uint8, device=ranks.device)
    if ranks.leads:
        letters.copy_(torch.frombuffer(bytearray(said), dtype=torch.uint8))
    dist.broadcast(letters, src=0)
    heard: T = json.loads(bytes(letters.tolist()))
    return heard


def any_of(ranks: Ranks, flags: int) -> int:
    """The bits that are set on any rank, on every rank."""
    if ranks.world == 1:
        return flags
    bits = summed(ranks, torch.tensor([flags >> i & 1 for i in range(8)]))
    return sum((bit > 0) << i for i, bit in enumerate(bits.tolist()))
