"""Muon: momentum whose update is made orthogonal (Jordan et al. 2024, kellerjordan.github.io).

Dims: N matrices of one shape, R rows, C columns (R <= C).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Barrier
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Quintic(NamedTuple):
    """``a x + b x^3 + c x^5``, a step that brings singular values nearer to 1."""

    a: float
    b: float
    c: float


# Those whose composition is nearest to 1 on [0.003, 1], one after the other, each with one percent
# of room for rounding: values from 0.003 of the largest on end between 0.79 and 1.21.  Made as
# Polar Express (arXiv:2505.16932) says, by a linear program over a fine grid.  Three steps are
# not enough (LOG.md, 2026-11-21).
_STEPS = (
    (Quintic(8.30193, -24.04243, 17.46994), Quintic(4.01023, -2.92902, 0.54299)),
    (Quintic(3.50255, -2.57718, 0.50491), Quintic(2.52267, -1.8392, 0.42711)),
)
_ROOM = 1.01  # a singular value above 1 would be thrown far away by the first of them
_LARGE = 512  # rows from which on a matrix is treated alone, on one core, its products in parts
_PARTS = 4
_IN_CACHE = 1 << 16  # elements that momentum and update go through at a time
_MOST = 8.0  # how much longer a neuron is made: one that died would go on as its momentum fades
_COPIED = 1 << 26  # elements of small matrices, or on a GPU: 256 MiB in float32


def orthogonalize(g_NRC: Tensor) -> Tensor:
    """Matrices near the (semi-)orthogonal one nearest to each: same directions, values near 1.

    What a matrix is divided by bounds its largest singular value more tightly than the Frobenius
    norm does, so that four steps reach as far down as five do otherwise.  Of a large wide one two
    steps at a time are taken on its Gram matrix (R, R), which is the smaller one, and put into
    one product; that rounds three times as much, and of small ones gains a tenth.  Works in
    bfloat16, which runs at the machine's full rate: the steps forgive rounding where multiples of
    the identity, next to which all else is small, are kept apart from what is rounded.

    Shapes   (N, R, C), R <= C; the result has the same, in bfloat16.
    """
    x_NRC = g_NRC.bfloat16()
    wide = x_NRC.shape[1] >= _LARGE and x_NRC.shape[2] > 2 * x_NRC.shape[1]
    gram_NRR = _symmetric(x_NRC, x_NRC)
    # the fourth root of the sum of the fourth powers of all singular values
    norm_N11 = torch.linalg.matrix_norm(gram_NRR, keepdim=True, dtype=torch.float32)
    inverse_N11 = 1 / (_ROOM * norm_N11.sqrt() + 1e-7)
    x_NRC = x_NRC * inverse_N11.bfloat16()  # what that rounds is within the room
    if len(gram_NRR) == 1:  # a mere number, for which nothing is copied to float32
        inverse_N11 = inverse_N11.squeeze()
    gram_NRR = (gram_NRR * inverse_N11.square()).bfloat16()
    for turn, (first, second) in enumerate(_STEPS):
        gram_NRR = _symmetric(x_NRC, x_NRC) if turn else gram_NRR
        if wide:
            x_NRC = _two(first, second, x_NRC, gram_NRR)
        else:
            x_NRC = _one(first, x_NRC, gram_NRR)
            x_NRC = _one(second, x_NRC, _symmetric(x_NRC, x_NRC))
    return x_NRC


def _one(step: Quintic, x_NRC: Tensor, gram_NRR: Tensor) -> Tensor:
    """A step of a matrix, whose Gram matrix is known."""
    even_NRR = _symmetric(gram_NRR, gram_NRR, gram_NRR, beta=step.b, alpha=step.c)
    return _times(even_NRR, x_NRC, plus=step.a)


def _two(first: Quintic, second: Quintic, x_NRC: Tensor, gram_NRR: Tensor) -> Tensor:
    """Both steps of a matrix, by way of its Gram matrix."""
    # the first step multiplies by a + one; of the result, the Gram matrix
    one_NRR = _symmetric(gram_NRR, gram_NRR, gram_NRR, beta=first.b, alpha=first.c)
    once_NRR = _symmetric(one_NRR, gram_NRR, gram_NRR, beta=first.a)
    gram_NRR = _symmetric(once_NRR, one_NRR, once_NRR, beta=first.a)
    two_NRR = _symmetric(gram_NRR, gram_NRR, gram_NRR, beta=second.b, alpha=second.c)
    # (a + two) (a + one), without the identity's share
    mixed_NRR = (one_NRR * second.a).add_(two_NRR, alpha=first.a)
    both_NRR = _symmetric(two_NRR, one_NRR, mixed_NRR)
    return _times(both_NRR, x_NRC, plus=first.a * second.a)


def _times(even_NRR: Tensor, x_NRC: Tensor, *, plus: float) -> Tensor:
    """``(even + plus) x`` of a symmetric matrix; it lies as x does, by rows or by columns."""
    if x_NRC.is_contiguous():
        return torch.baddbmm(x_NRC, even_NRR, x_NRC, beta=plus)
    return torch.baddbmm(x_NRC.mT, x_NRC.mT, even_NRR, beta=plus).mT


def _symmetric(
    a_NRC: Tensor,
    b_NRC: Tensor,
    plus_NRR: Tensor | None = None,
    *,
    beta: float = 1.0,
    alpha: float = 1.0,
) -> Tensor:
    """``alpha a b^T``, known to be symmetric, and ``beta`` times ``plus``.

    Of a large one little more than half is computed; smaller ones go faster whole, as do those of
    processors with AMX up to twice as wide as high.
    """
    N, R, C = a_NRC.shape
    if N > 1 or a_NRC.device.type != "cpu":
        if plus_NRR is None:
            return a_NRC @ b_NRC.mT
        return torch.baddbmm(plus_NRR, a_NRC, b_NRC.mT, beta=beta, alpha=alpha)
    out_NRR = a_NRC.new_empty(N, R, R)
    out, a, b = out_NRR[0], a_NRC[0], b_NRC[0]
    whole = R < _LARGE or (C <= 2 * R and torch.cpu._is_amx_tile_supported())
    part = R if whole else -(-R // _PARTS)
    for start in range(0, R, part):
        end = min(start + part, R)
        if plus_NRR is None:
            rows = a[start:end] @ b[:end].mT
        else:
            plus = plus_NRR[0, start:end, :end]
            rows = torch.addmm(plus, a[start:end], b[:end].mT, beta=beta, alpha=alpha)
        if whole:
            return rows[None]
        out[start:end, :end] = rows
        out[:start, start:end] = rows[:, :start].mT
    return out_NRR


def _normalize(u_NRC: Tensor) -> None:
    """Scale the vectors along the longer side of each matrix, its neurons, to one length, in place.

    The length of the whole stays, but for the share of those that are zero; of a square matrix the
    neurons are its rows.  They differ however well the iteration did, as a tall matrix with
    orthonormal columns has rows of any length.

    Source  one normalization after the iteration, without state: Muon+, arXiv:2602.21545; along
            which side, and that the length stays: KellerJordan/modded-nanogpt pull request 141.
    """
    across = -1 if u_NRC.shape[1] == u_NRC.shape[2] else -2
    # torch's norm of columns takes three times as long
    lengths = u_NRC.square().sum(across, keepdim=True).float().sqrt()
    usual_N11 = lengths.square().mean((-2, -1), keepdim=True).sqrt()
    u_NRC.mul_((usual_N11 / lengths.clamp_min(usual_N11 / _MOST + 1e-12)).bfloat16())


_Work = tuple[list[Tensor], dict[str, Any]]
"""Matrices of one shape, or its transpose, and the settings of their group."""


@cache
def _workers(cores: int) -> ThreadPoolExecutor:
    """Threads that compute on one core each: they need not wait for each other in a product."""
    pool, ready = ThreadPoolExecutor(cores), Barrier(cores)

    def begin(_: int) -> None:
        torch.get_num_threads()  # without which the number set next is overwritten at first use
        torch.set_num_threads(1)  # of this thread, and of those that begin later
        ready.wait()

    list(pool.map(begin, range(cores)))
    torch.set_num_threads(cores)
    return pool


class Muon(torch.optim.Optimizer):
    """Muon for the hidden matrices of a model, batched over matrices of one shape.

    ``torch.optim.Muon`` walks over the matrices one at a time; batching makes few large
    products of many small ones, and on a processor each core has large ones of its own.  Weight
    decay is decoupled: a step multiplies weights by ``1 - lr * weight_decay``.  Each update is
    scaled by sqrt(max(1, rows / columns)), so that one rate serves every shape; ``normalize`` gives
    every neuron a share of it of one length.  Each of ``groups`` has its parameters and their
    ``lr``.
    """

    def __init__(self, groups: list[dict[str, Any]], *, momentum: float, normalize: bool) -> None:
        usual = {"momentum": momentum, "weight_decay": 0.0, "normalize": normalize}
        super().__init__(groups, usual)
        shapes = [tuple(p.shape) for group in self.param_groups for p in group["params"]]
        assert all(len(shape) == 2 for shape in shapes), f"Muon takes matrices, got {shapes}"

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every matrix that has a gradient."""
        together, apart = list[_Work](), list[_Work]()
        for group in self.param_groups:
            by_shape: dict[tuple[int, ...], list[Tensor]] = defaultdict(list)
            for p in group["params"]:
                if p.grad is not None:
                    # Tall matrices go with the wide ones that they are when transposed.
                    by_shape[tuple(sorted(p.shape))].append(p)
            for (rows, _), params in by_shape.items():
                if params[0].is_cpu and rows >= _LARGE:
                    apart += [([p], group) for p in params]
                else:
                    together.append((params, group))
        for work in together:
            self._step_alike(work)
        if apart:
            list(_workers(torch.get_num_threads()).map(self._step_alike, apart))

    @torch.no_grad()
    def _step_alike(self, work: _Work) -> None:
        """Update matrices of one shape, or its transpose."""
        params, group = work
        momentum, lr = group["momentum"], group["lr"]
        for p in params:
            if p not in self.state:
                self.state[p]["momentum"] = torch.zeros_like(p)
        kept = [self.state[p]["momentum"] for p in params]
        grads = [p.grad for p in params if p.grad is not None]
        # where all are tall, a wide view of how they lie, so that none has to be turned
        tall = all(p.shape[0] > p.shape[1] for p in params)
        size = params[0].shape if tall else sorted(params[0].shape)
        u_NRC = params[0].new_empty(len(params), *size, dtype=torch.bfloat16)
        u_NRC = u_NRC.mT if tall else u_NRC
        for to, g, m in _passes(_turned(u_NRC, params), grads, kept):
            torch._foreach_lerp_(m, g, 1 - momentum)
            torch._foreach_copy_(to, torch._foreach_lerp(g, m, momentum))  # looking ahead: Nesterov
        u_NRC = orthogonalize(u_NRC)
        if group["normalize"]:
            _normalize(u_NRC)
        us_RC = _turned(u_NRC, params)
        for shape in {p.shape for p in params}:
            scale = max(1.0, shape[0] / shape[1]) ** 0.5
            at = [i for i, p in enumerate(params) if p.shape == shape]
            for to, u in _passes([params[i] for i in at], [us_RC[i] for i in at]):
                if group["weight_decay"]:
                    torch._foreach_mul_(to, 1 - lr * group["weight_decay"])
                torch._foreach_add_(to, u, alpha=-lr * scale)


def _turned(x_NRC: Tensor, params: list[Tensor]) -> list[Tensor]:
    """Each matrix as its parameter lies, tall or wide."""
    pairs = zip(x_NRC.unbind(), params, strict=True)
    return [x_RC.mT if p.shape[0] > p.shape[1] else x_RC for x_RC, p in pairs]


def _passes(*lists: list[Tensor]) -> Iterator[tuple[list[Tensor], ...]]:
    """What to go through at a time: parts of a matrix that stay in a core's cache.

    On a GPU, and of small matrices, where to begin takes longer than the work, as many whole ones
    as leave room for a copy.
    """
    size = lists[0][0].numel()
    if not lists[0][0].is_cpu or size <= 4 * _IN_CACHE:
        at_once = max(1, _COPIED // size)
        for first in range(0, len(lists[0]), at_once):
            yield tuple(tensors[first : first + at_once] for tensors in lists)
        return
    for tensors in zip(*lists, strict=True):
        rows = max(1, _IN_CACHE // tensors[0].shape[1])
        for parts in zip(*(x.split(rows) for x in tensors), strict=True):
            yield tuple([part] for part in parts)
