"""The token loss of hidden states, whose logits are never held whole.

The logits of a large vocabulary are the largest tensor of a training step.  Here they exist for
a group of rows at a time, and are overwritten by their own gradient, which is multiplied out at
once: the forward pass leaves two gradients behind, and the backward pass scales them.

Dims: T targets, D model, V vocabulary; R rows of a group.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch._compile import _disable_dynamo  # torch.compiler.disable imports the whole compiler
from torch.autograd.function import once_differentiable

from wellfit.objectives.tally import Tally, counted

# Sizes on a processor were measured (LOG.md); those of a GPU are a guess.
_GROUP_BYTES = {"cpu": 1 << 26}  # logits of a group of rows
_GROUP_BYTES_ELSEWHERE = 1 << 29
_BLOCK = {"cpu": 1 << 21}  # logits made float32 at a time: they stay in the cache
_BLOCK_ELSEWHERE = 1 << 26
_TILE = 1 << 22  # on a processor, elements of the weight's gradient multiplied out at a time: ditto


@dataclass(frozen=True, slots=True)
class _Terms:
    """What the loss of a token is made of."""

    softcap: float | None
    label_smoothing: float = 0.0
    z_weight: float = 0.0
    fused: bool = False


@cache
def _fused() -> Callable[..., Tensor]:
    """``_losses``, compiled: a few passes over the logits in place of ten."""
    return torch.compile(_losses)


def pays(n_tokens: int, vocab: int) -> bool:
    """Whether logits of this size are better not held whole.

    Where they are small, the plain path needs fewer calls and can be compiled with the model.
    """
    return n_tokens * vocab >= 1 << 22


@_disable_dynamo
def linear_cross_entropy(
    hidden_TD: Tensor,
    weight_VD: Tensor,
    targets_T: Tensor,
    *,
    softcap: float | None,
    label_smoothing: float = 0.0,
    z_weight: float = 0.0,
    all_count: bool = False,
    fused: bool = False,
) -> Tally:
    """``token_loss`` of the logits ``hidden @ weight.T``, capped by tanh where ``softcap`` says.

    The product is taken in the dtype of ``hidden_TD``; the rest is float32, and the gradient of
    ``weight_VD`` arrives in the weight's own dtype.  What needs no gradient gets none computed.
    Rows whose target is ignored cost nothing; finding them is one device sync, which
    ``all_count`` spares where the caller knows that there are none.  ``fused`` compiles what is
    done with the logits between the products.

    Raises ``RuntimeError`` when the same result is differentiated twice.
    """
    _check(hidden_TD, weight_VD, targets_T)
    if not all_count:
        rows_T = counted(targets_T).nonzero().squeeze(1)
        if len(rows_T) < len(targets_T):
            hidden_TD, targets_T = hidden_TD.index_select(0, rows_T), targets_T[rows_T]
    terms = _Terms(softcap, label_smoothing, z_weight, fused)
    if torch.is_grad_enabled() and (hidden_TD.requires_grad or weight_VD.requires_grad):
        total = _Chunked.apply(hidden_TD, weight_VD, targets_T, terms)  # type: ignore[no-untyped-call]
    else:
        total = _run(hidden_TD.detach(), weight_VD.detach(), targets_T, terms, None, None).sum()
    return Tally(total, targets_T.new_full((), len(targets_T)))  # filled there: no sync


@torch.no_grad()
def linear_nats(
    hidden_TD: Tensor, weight_VD: Tensor, targets_T: Tensor, *, softcap: float | None
) -> Tensor:
    """Nats of each target, (T,) float32, 0 where it is ignored.  Never differentiated."""
    _check(hidden_TD, weight_VD, targets_T)
    counts_T = counted(targets_T)
    targets_T = targets_T.where(counts_T, 0)
    nats_T = _run(hidden_TD, weight_VD, targets_T, _Terms(softcap), None, None)
    return nats_T.masked_fill_(~counts_T, 0.0)


def _check(hidden_TD: Tensor, weight_VD: Tensor, targets_T: Tensor) -> None:
    shapes = [tuple(x.shape) for x in (hidden_TD, weight_VD, targets_T)]
    if [len(s) for s in shapes] != [2, 2, 1] or shapes[0] != (*shapes[2], shapes[1][1]):
        raise ValueError(
            "a linear loss wants hidden states (T, D), weights (V, D) and targets (T,), "
            f"got {shapes[0]}, {shapes[1]} and {shapes[2]}"
        )


class _Chunked(torch.autograd.Function):
    """The sum of all losses; its gradients are there when the forward pass ends."""

    @staticmethod
    def forward(
        ctx: Any, hidden_TD: Tensor, weight_VD: Tensor, targets_T: Tensor, terms: _Terms
    ) -> Tensor:
        wants_hidden, wants_weight = ctx.needs_input_grad[:2]
        dh_TD = torch.zeros_like(hidden_TD, dtype=torch.float32) if wants_hidden else None
        # the first group of rows writes what the others add to
        new = torch.empty_like if len(targets_T) else torch.zeros_like
        dw_VD = new(weight_VD, dtype=torch.float32) if wants_weight else None
        losses_T = _run(hidden_TD, weight_VD, targets_T, terms, dh_TD, dw_VD)
        ctx.gradients = [(dh_TD, hidden_TD.dtype), (dw_VD, weight_VD.dtype)]
        return losses_T.sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.gradients is None:
            raise RuntimeError(
                "this loss was differentiated before, and its gradients are gone; "
                "compute it again, or use token_loss with retain_graph"
            )
        # in place: a second copy of the weight's gradient would be the peak of the step
        parts = [None if g is None else g.mul_(grads[0]).to(dtype) for g, dtype in ctx.gradients]
        ctx.gradients = None
        return (*parts, None, None)


def _run(
    hidden_TD: Tensor,
    weight_VD: Tensor,
    targets_T: Tensor,
    terms: _Terms,
    dh_TD: Tensor | None,
    dw_VD: Tensor | None,
) -> Tensor:
    """Loss of each target, (T,) float32; fills in the gradients of their sum that are given."""
    (T, D), V = hidden_TD.shape, len(weight_VD)
    weight_VD = weight_VD.to(hidden_TD.dtype)
    limit = _GROUP_BYTES.get(hidden_TD.device.type, _GROUP_BYTES_ELSEWHERE)
    groups = -(-T * V * hidden_TD.element_size() // limit)
    rows = -(-T // max(groups, 1))
    tile = max(1, _TILE // D) if hidden_TD.device.type == "cpu" else V
    losses = _fused() if terms.fused else _losses
    # rows that begin at whole lines of the cache: products of odd ones ran at two thirds
    logits_RV = hidden_TD.new_empty(rows, -(-V // 64) * 64)
    logits_RV[:, V:] = 0  # oneDNN with AMX reads on there, times zeros: NaN would stay NaN
    logits_RV = logits_RV[:, :V]
    product_VD = hidden_TD.new_empty(min(tile, V) if dw_VD is not None else 0, D)
    losses_T = hidden_TD.new_empty(T, dtype=torch.float32)
    for start in range(0, T, max(rows, 1)):
        group = slice(start, min(start + rows, T))
        hidden_RD = hidden_TD[group]
        part_RV = torch.mm(hidden_RD, weight_VD.mT, out=logits_RV[: len(hidden_RD)])
        differentiate = dh_TD is not None or dw_VD is not None
        losses_T[group] = losses(part_RV, targets_T[group], terms, differentiate=differentiate)
        for first in range(0, V if differentiate else 0, tile):
            words = slice(first, min(first + tile, V))
            if dh_TD is not None:
                dh_TD[group] += part_RV[:, words] @ weight_VD[words]
            if dw_VD is not None:
                product = torch.mm(
                    part_RV[:, words].mT, hidden_RD, out=product_VD[: words.stop - first]
                )
                (dw_VD[words].add_ if start else dw_VD[words].copy_)(product)
    return losses_T


def _losses(logits_RV: Tensor, targets_R: Tensor, terms: _Terms, *, differentiate: bool) -> Tensor:
    """Loss of each row; the logits are overwritten, by their gradient if that is wanted."""
    if terms.softcap is not None:
        logits_RV.div_(terms.softcap).tanh_().mul_(terms.softcap)
    (R, V), smooth, z = logits_RV.shape, terms.label_smoothing, terms.z_weight
    block = R * V if terms.fused else _BLOCK.get(logits_RV.device.type, _BLOCK_ELSEWHERE)
    size = max(1, block // V)
    p_RV = logits_RV.new_empty(min(size, R), V, dtype=torch.float32)
    losses = []
    for start in range(0, R, size):
        block_RV, y_R1 = logits_RV[start : start + size], targets_R[start : start + size, None]
        p_RV = p_RV[: len(block_RV)].copy_(block_RV)
        own_R1, top_R1 = p_RV.gather(1, y_R1), p_RV.amax(-1, keepdim=True)
        even_R1 = p_RV.mean(-1, keepdim=True) if smooth else 0.0
        torch.softmax(p_RV, dim=-1, out=p_RV)
        # the largest share is exp(top - log normaliser): no second pass of exponentials
        log_R1 = top_R1 - p_RV.amax(-1, keepdim=True).log_()
        loss_R1 = log_R1 - (1 - smooth) * own_R1 - smooth * even_R1
        losses.append((loss_R1 + z * log_R1.square() if z else loss_R1).squeeze(1))
        if not differentiate:
            continue
        if z:
            p_RV.mul_(1 + 2 * z * log_R1)
        p_RV.scatter_(1, y_R1, p_RV.gather(1, y_R1) - (1 - smooth))
        if smooth:
            p_RV.sub_(smooth / V)
        if terms.softcap is not None:
            p_RV.mul_(block_RV.float().div_(terms.softcap).square_().neg_().add_(1))
        block_RV.copy_(p_RV)
    return torch.cat(losses)
