"""What the token loss costs in time and memory, and what it costs by torch's own ways.

    python -m bench.objectives [--rounds 5] [--threads 2] [--json FILE]

Forward and backward from hidden states (2,048, 768) in bfloat16 and a float32 weight
(50,257, 768) to the gradients of both.  Time: all ways in turn within each round, so that
neighbours disturb them alike; the quartiles of seconds, and of the ratio to the plain way within a
round.  Memory: each way once in a process of its own, peak resident size over that before it
(VmHWM, reset by writing 5 to /proc/self/clear_refs), the gradients that stay included.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from wellfit.objectives import linear_cross_entropy

N, D, V = 2048, 768, 50_257

Way = Callable[[Tensor, Tensor, Tensor], Tensor]
Sizes = tuple[int, int, int]


def plain(hidden_ND: Tensor, weight_VD: Tensor, targets_N: Tensor) -> Tensor:
    """Logits whole, loss in float32: the unfused path that bars are measured against."""
    logits_NV = F.linear(hidden_ND, weight_VD.to(hidden_ND.dtype)).float()
    return F.cross_entropy(logits_NV, targets_N, reduction="sum")


def half(hidden_ND: Tensor, weight_VD: Tensor, targets_N: Tensor) -> Tensor:
    """The same with the loss itself in bfloat16: faster, and less exact."""
    logits_NV = F.linear(hidden_ND, weight_VD.to(hidden_ND.dtype))
    return F.cross_entropy(logits_NV, targets_N, reduction="sum")


def torch_chunked(hidden_ND: Tensor, weight_VD: Tensor, targets_N: Tensor) -> Tensor:
    """torch's own chunked loss, as it chooses its parts itself."""
    return F.linear_cross_entropy(
        hidden_ND,
        weight_VD.to(hidden_ND.dtype),
        targets_N,
        reduction="sum",
        options=torch.nn.LinearCrossEntropyOptions(),
    )


def wellfit(hidden_ND: Tensor, weight_VD: Tensor, targets_N: Tensor) -> Tensor:
    """Ours."""
    return linear_cross_entropy(hidden_ND, weight_VD, targets_N, softcap=None).total


WAYS: dict[str, Way] = {
    "plain": plain,
    "plain, bf16 loss": half,
    "plain, compiled": torch.compile(plain),
    "torch chunked": torch_chunked,
    "wellfit": wellfit,
}


def drawn(sizes: Sizes = (N, D, V)) -> tuple[Tensor, Tensor, Tensor]:
    """The inputs of every way."""
    draw = torch.Generator().manual_seed(1)
    n, d, v = sizes
    hidden_ND = torch.randn(n, d, generator=draw).bfloat16().requires_grad_()
    weight_VD = (torch.randn(v, d, generator=draw) * 0.02).requires_grad_()
    return hidden_ND, weight_VD, torch.randint(v, (n,), generator=draw)


def once(way: Way, inputs: tuple[Tensor, Tensor, Tensor]) -> float:
    """Seconds of one forward and backward pass."""
    inputs[0].grad = inputs[1].grad = None
    start = time.perf_counter()
    (way(*inputs) / len(inputs[0])).backward()
    return time.perf_counter() - start


def extra_bytes(name: str, sizes: Sizes) -> int:
    """Peak resident memory that one pass adds, in a process of its own."""
    code = f"from bench.objectives import print_extra; print_extra({name!r}, {sizes!r})"
    return int(subprocess.check_output([sys.executable, "-c", code], text=True).split()[-1])


def print_extra(name: str, sizes: Sizes) -> None:
    """The other side of ``extra_bytes``."""
    inputs = drawn(sizes)
    # threads, kernels and (where compiled) code exist before the first look, at little memory
    few = (inputs[0][:64].detach().requires_grad_(), inputs[1], inputs[2][:64])
    once(WAYS["plain"], few)
    inputs[1].grad = None
    if "compiled" in name:
        once(WAYS[name], inputs)
        inputs[0].grad = inputs[1].grad = None
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    once(WAYS[name], inputs)
    sys.stdout.write(f"{_status('VmHWM') - before}\n")


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise LookupError(field)


def measure(names: list[str], rounds: int, sizes: Sizes = (N, D, V)) -> dict[str, dict[str, Any]]:
    """Seconds, ratio to plain and peak memory of each way; a slow way runs once."""
    inputs = drawn(sizes)
    first = {name: once(WAYS[name], inputs) for name in names}  # warm, and not counted
    first = {name: once(WAYS[name], inputs) for name in names}
    often = [name for name in names if first[name] < 5 * first["plain"]]
    seconds = {name: [] if name in often else [first[name]] for name in names}
    for _ in range(rounds):
        for name in often:
            seconds[name].append(once(WAYS[name], inputs))
    rows = {}
    for name, times in seconds.items():
        against = seconds["plain"] if name in often else [first["plain"]]
        ratios = [a / b for a, b in zip(times, against, strict=True)]
        rows[name] = {
            "seconds": _quartiles(times),
            "ratio": _quartiles(ratios),
            "extra_bytes": extra_bytes(name, sizes),
        }
    return rows


def _quartiles(values: list[float]) -> list[float]:
    return statistics.quantiles(values, n=4) if len(values) > 1 else values * 3


def main() -> None:
    """Print the table; write it as JSON where asked."""
    parser = argparse.ArgumentParser(prog="python -m bench.objectives", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    rows = measure(args.ways, args.rounds)
    memory = rows["plain"]["extra_bytes"]
    sys.stdout.write(f"N={N} D={D} V={V}, {args.threads} threads, torch {torch.__version__}\n")
    for name, row in rows.items():
        low, mid, high = row["seconds"]
        sys.stdout.write(
            f"{name:18} {mid:6.2f} s ({low:.2f} to {high:.2f}), {row['ratio'][1]:5.2f} of plain; "
            f"{row['extra_bytes'] / 2**20:6.0f} MiB, {row['extra_bytes'] / memory:.2f} of plain\n"
        )
    if args.json:
        about = {"torch": torch.__version__, "threads": args.threads, "rounds": args.rounds}
        args.json.write_text(json.dumps({**about, "ways": rows}, indent=1))


if __name__ == "__main__":
    main()
