"""How the sizes of a decoder follow from its depth, each a small law with its reason.

A law is asked only where the recipe says ``auto``; what the recipe sets is never changed.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

HEAD_DIM = 64  # what heads aim at
LEAST_WIDTH = 128
LEAST_CONTEXT, MOST_CONTEXT = 256, 2048


class Choice(NamedTuple):
    """A value that was chosen automatically, why, and what the rule rests on."""

    value: Any
    reason: str
    source: str


def width(depth: int, *, heads: int | None) -> Choice:
    """64 per block, at least 128; with ``heads`` given, the next width that they divide evenly.

    Width and depth grow together because neither alone makes a good model: one dial is enough.
    """
    wanted = max(LEAST_WIDTH, HEAD_DIM * depth)
    reason = f"{HEAD_DIM} per block at depth {depth}, at least {LEAST_WIDTH}"
    if heads is not None and wanted % (2 * heads):  # 2: rotary positions turn pairs
        wanted = 2 * heads * math.ceil(wanted / (2 * heads))
        reason += f", rounded up to divide among {heads} heads"
    return Choice(wanted, reason, "width of 64 times depth as in nanochat; the floor is ours")


def heads(width: int, *, kv_heads: int | None) -> Choice | None:
    """As many heads as make each nearest to 64 wide; None where no number of them fits.

    Heads divide the width, come in multiples of ``kv_heads``, and are an even number wide
    where that is possible.
    """
    fitting = [n for n in range(kv_heads or 1, width + 1, kv_heads or 1) if width % n == 0]
    fitting = [n for n in fitting if width // n % 2 == 0] or fitting
    if not fitting:
        return None
    best = min(fitting, key=lambda n: abs(math.log(width / n / HEAD_DIM)))
    return Choice(best, f"heads of {width // best} at width {width}", "GPT-2: heads of 64")


def kv_heads(heads: int) -> Choice:
    """One for each head: sharing them saves memory when sampling, and costs a little loss."""
    return Choice(heads, "one for each head", "Grouped-query attention, arXiv:2305.13245, sec. 3")


def mlp_width(width: int, mlp: str) -> Choice:
    """4 times the width; for SwiGLU 8/3 times, rounded up to 64, as it has a third matrix."""
    if mlp == "swiglu":
        value = 64 * math.ceil(8 * width / 3 / 64)
        reason = f"8/3 of width {width}, in steps of 64: as many weights as 4 times without a gate"
        return Choice(value, reason, "GLU variants, arXiv:2002.05202, sec. 3")
    return Choice(4 * width, f"4 times width {width}", "arXiv:1706.03762, sec. 3.3")


def context(depth: int) -> Choice:
    """64 tokens per block, down to a power of two, from 256 to 2048.

    Attention costs as much again for each doubling, and a shallow model uses little of it.
    """
    value = 1 << int(math.log2(64 * depth))
    value = min(MOST_CONTEXT, max(LEAST_CONTEXT, value))
    reason = f"64 per block at depth {depth}, as a power of two, {LEAST_CONTEXT} to {MOST_CONTEXT}"
    return Choice(value, reason, "a rule of ours: GPT-2's 1024 would be depth 16")
