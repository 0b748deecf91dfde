"""The decoder: one plain transformer whose kinds of part are chosen by its Shape.

Dims: B sequences, T time, S time of keys (cached ones included), D model, H heads, G key-value
heads, N sequences and heads together, K per head, F hidden of the MLP, V vocabulary, O outputs of
a labelled task.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple, assert_never

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from wellfit.model import fused
from wellfit.model.dropout import Noise
from wellfit.model.shape import LayerRope, Pool, Shape


class Linear(nn.Module):
    """A matrix product in the dtype of its input, with weights kept in float32.

    Casting the weight once per forward pass costs far less than the product, and the gradient
    arrives in float32, so accumulation over micro-batches loses nothing to bfloat16.
    """

    def __init__(self, n_in: int, n_out: int, *, bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_out, n_in))
        self.bias = nn.Parameter(torch.empty(n_out)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return fused.linear(x, self.weight.to(x.dtype), bias)


class Norm(nn.Module):
    """RMS or layer normalisation over the last dimension, with or without a learned gain."""

    def __init__(self, width: int, shape: Shape, *, gain: bool) -> None:
        super().__init__()
        self.width, self.eps, self.layer = width, shape.norm_eps, shape.norm == "layer"
        self.gain_from = shape.gain_from
        self.weight = nn.Parameter(torch.full((width,), 1 - self.gain_from)) if gain else None
        self.bias = nn.Parameter(torch.zeros(width)) if gain and self.layer and shape.bias else None

    def forward(self, x: Tensor) -> Tensor:
        weight: Tensor | None = self.weight
        if weight is not None:
            weight = (weight + self.gain_from if self.gain_from else weight).to(x.dtype)
        if self.layer:
            bias = None if self.bias is None else self.bias.to(x.dtype)
            return fused.layer_norm(x, weight, bias, self.eps)
        if weight is None and x.device.type == "cpu":
            return fused.rms_norm(x, self.eps)
        return F.rms_norm(x, (self.width,), weight, self.eps)


class Cache:
    """Keys and values of the tokens already seen, for one sampling session."""

    def __init__(self, shape: Shape, batch: int, length: int, like: Tensor) -> None:
        size = (shape.depth, batch, shape.kv_heads, length, shape.head_dim)
        self.keys = torch.zeros(size, dtype=like.dtype, device=like.device)
        self.values = torch.zeros_like(self.keys)
        self.seen = 0

    def extend(self, layer: int, k_BGTK: Tensor, v_BGTK: Tensor) -> tuple[Tensor, Tensor]:
        """Store the new keys and values of a layer; return all of them so far."""
        end = self.seen + k_BGTK.shape[2]
        self.keys[layer, :, :, self.seen : end] = k_BGTK
        self.values[layer, :, :, self.seen : end] = v_BGTK
        return self.keys[layer, :, :, :end], self.values[layer, :, :, :end]

    def select(self, rows_B: Tensor) -> None:
        """Go on with these sequences, in this order; one may be taken several times."""
        self.keys, self.values = self.keys[:, rows_B], self.values[:, rows_B]


def rope_tables(shape: Shape, kind: LayerRope = "global") -> tuple[Tensor, Tensor]:
    """Cosine and sine of every position's angles, each (context, head_dim) float32.

    Halves are paired (i, i + head_dim / 2), as `transformers` does, and the first half of the
    sines is negated, as ``fused.rotate`` wants it; ``rope_sign`` turns the other way for families
    that do.  On the CPU, whichever device is the default one.
    """
    half = torch.arange(0, shape.head_dim, 2, dtype=torch.float32, device="cpu") / shape.head_dim
    if kind == "local":
        turns = shape.local_theta**-half
    else:
        turns = _scaled(shape.rope_theta**-half, shape)
    angles = torch.outer(torch.arange(shape.context, dtype=torch.float32, device="cpu"), turns)
    cos, sin = angles.cos(), angles.sin() * shape.rope_sign
    return torch.cat((cos, cos), dim=-1), torch.cat((-sin, sin), dim=-1)


def _scaled(turns: Tensor, shape: Shape) -> Tensor:
    """Radians per token, with the shape's scaling (see ``RopeScaling``)."""
    scaling = shape.rope_scaling
    if scaling is None:
        return turns
    if scaling.kind == "linear":
        return turns / scaling.factor
    often = scaling.original * turns / (2 * math.pi)  # how often each turns within ``original``
    kept = ((often - scaling.low) / (scaling.high - scaling.low)).clamp(0, 1)
    return turns * (kept + (1 - kept) / scaling.factor)


class Shared(NamedTuple):
    """What all blocks of one forward pass share."""

    rope: Mapping[LayerRope, tuple[Tensor, Tensor] | None]  # cosine and sine of the positions
    mask: Tensor | None  # (B, 1, T, T) added to scores; None: each token sees all before it
    cache: Cache | None
    drop: Noise | None


def restarted(segments_BT: Tensor) -> Tensor:
    """The position of each token in its own segment, a run of equal numbers; (B, T) int64."""
    at_T = torch.arange(segments_BT.shape[1], device=segments_BT.device)
    begins_BT = F.pad(segments_BT[:, 1:] != segments_BT[:, :-1], (1, 0))
    return at_T - (at_T * begins_BT).cummax(dim=1).values


def segment_mask(segments_BT: Tensor, dtype: torch.dtype) -> Tensor:
    """What keeps each token to those before it in its segment: 0 or -inf, (B, 1, T, T).

    Padding is a segment like any other, so that no row of scores is empty.
    """
    hidden_BTT = (segments_BT[:, :, None] == segments_BT[:, None]).tril().logical_not()
    seen_BTT = hidden_BTT.new_zeros(hidden_BTT.shape, dtype=dtype)
    return seen_BTT.masked_fill(hidden_BTT, float("-inf"))[:, None]


def attend(
    q_BHTK: Tensor,
    k_BGSK: Tensor,
    v_BGSK: Tensor,
    mask: Tensor | None,
    dropped: fused.Windows | None,
    shape: Shape,
) -> Tensor:
    """Causal attention of the last T of S positions, by whatever is fastest for these sizes.

    What no kernel of torch does, bounded scores and dropping by our masks, is written out.
    """
    T, S = q_BHTK.shape[2], k_BGSK.shape[2]
    scale, cap = shape.attention_scale, shape.attention_softcap
    groups = shape.heads // shape.kv_heads
    pays = T == S and fused.pays(q_BHTK, grouped=groups > 1 and dropped is None) and cap is None
    plain = not pays and (cap is not None or dropped is not None)
    if plain or (pays and groups > 1):
        k_BGSK, v_BGSK = (x.repeat_interleave(groups, dim=1) for x in (k_BGSK, v_BGSK))
    if pays:
        return fused.causal_attention(
            q_BHTK, k_BGSK, v_BGSK, mask=mask, scale=scale, dropped=dropped
        )
    causal = mask is None and T == S and not plain
    if mask is None and T > 1 and not causal:  # one new token may see all there is
        mask = torch.ones(T, S, dtype=torch.bool, device=q_BHTK.device).tril(S - T)
    if not plain:
        gqa = groups > 1
        return F.scaled_dot_product_attention(
            q_BHTK, k_BGSK, v_BGSK, attn_mask=mask, is_causal=causal, scale=scale, enable_gqa=gqa
        )
    scores_BHTS = q_BHTK @ k_BGSK.mT * (shape.head_dim**-0.5 if scale is None else scale)
    if cap is not None:
        scores_BHTS = cap * torch.tanh(scores_BHTS / cap)
    if mask is not None and mask.dtype == torch.bool:
        scores_BHTS = scores_BHTS.masked_fill(mask.logical_not(), float("-inf"))
    elif mask is not None:
        scores_BHTS = scores_BHTS + mask
    weights_BHTS = scores_BHTS.softmax(-1)
    if dropped is not None:
        rows_NTS = fused.times_windows(weights_BHTS.flatten(0, 1), *dropped)
        weights_BHTS = rows_NTS.view_as(weights_BHTS)
    return weights_BHTS @ v_BGSK


class Attention(nn.Module):
    """Causal self-attention with grouped key-value heads."""

    def __init__(self, shape: Shape, layer: int) -> None:
        super().__init__()
        self.shape, self.layer, self.rope = shape, layer, shape.rope_of(layer)
        width, queries = shape.width, shape.heads * shape.head_dim
        keys, bias = shape.kv_heads * shape.head_dim, shape.bias or shape.qkv_bias
        self.q = Linear(width, queries, bias=bias)
        self.k = Linear(width, keys, bias=bias)
        self.v = Linear(width, keys, bias=bias)
        self.o = Linear(queries, width, bias=shape.bias)
        if shape.qk_norm:
            self.norm_q = Norm(shape.head_dim, shape, gain=shape.norm_gain)
            self.norm_k = Norm(shape.head_dim, shape, gain=shape.norm_gain)

    def forward(self, x_BTD: Tensor, shared: Shared) -> Tensor:
        B, T, _ = x_BTD.shape
        heads = (B, T, -1, self.shape.head_dim)
        q_BTHK, k_BTGK, v_BTGK = (part(x_BTD).view(heads) for part in (self.q, self.k, self.v))
        if self.shape.qk_norm:
            q_BTHK, k_BTGK = self.norm_q(q_BTHK), self.norm_k(k_BTGK)
        q_BHTK, k_BGTK, v_BGTK = (x.transpose(1, 2) for x in (q_BTHK, k_BTGK, v_BTGK))
        rope = shared.rope[self.rope]
        if rope is not None:
            q_BHTK, k_BGTK = fused.rotate(q_BHTK, *rope), fused.rotate(k_BGTK, *rope)
        if shared.cache is not None:
            k_BGTK, v_BGTK = shared.cache.extend(self.layer, k_BGTK, v_BGTK)
        dropped = None if shared.drop is None else shared.drop.attention(self.layer)
        y_BHTK = attend(q_BHTK, k_BGTK, v_BGTK, shared.mask, dropped, self.shape)
        out_BTD: Tensor = self.o(y_BHTK.transpose(1, 2).reshape(B, T, -1))
        return out_BTD


class MLP(nn.Module):
    """The position-wise network of a block."""

    def __init__(self, shape: Shape, layer: int) -> None:
        super().__init__()
        self.kind, self.layer = shape.mlp, layer
        self.up = Linear(shape.width, shape.mlp_width, bias=shape.bias)
        if shape.gated:
            self.gate = Linear(shape.width, shape.mlp_width, bias=shape.bias)
        self.down = Linear(shape.mlp_width, shape.width, bias=shape.bias)

    def forward(self, x_BTD: Tensor, drop: Noise | None) -> Tensor:
        hidden_BTF: Tensor = self.up(x_BTD)
        match self.kind:
            case "swiglu":
                hidden_BTF = F.silu(self.gate(x_BTD)) * hidden_BTF
            case "geglu":
                hidden_BTF = fused.gelu(self.gate(x_BTD)) * hidden_BTF
            case "gelu":
                hidden_BTF = fused.gelu(hidden_BTF)
            case "relu2":
                hidden_BTF = fused.relu_squared(hidden_BTF)
            case never:
                assert_never(never)
        if drop is not None:
            hidden_BTF = drop.mlp(hidden_BTF, self.layer)
        out_BTD: Tensor = self.down(hidden_BTF)
        return out_BTD


class Block(nn.Module):
    """Attention, then MLP, each normalised on the way in and added to the residual stream."""

    def __init__(self, shape: Shape, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.norm_attention = Norm(shape.width, shape, gain=shape.norm_gain)
        self.attention = Attention(shape, layer)
        self.norm_mlp = Norm(shape.width, shape, gain=shape.norm_gain)
        self.mlp = MLP(shape, layer)
        if shape.post_norm:
            self.norm_attention_out = Norm(shape.width, shape, gain=shape.norm_gain)
            self.norm_mlp_out = Norm(shape.width, shape, gain=shape.norm_gain)
        self.post_norm = shape.post_norm

    def forward(self, x_BTD: Tensor, shared: Shared) -> Tensor:
        drop = shared.drop
        y_BTD = self.attention(self.norm_attention(x_BTD), shared)
        if self.post_norm:
            y_BTD = self.norm_attention_out(y_BTD)
        x_BTD = x_BTD + (y_BTD if drop is None else drop.residual(y_BTD, self.layer, 0))
        y_BTD = self.mlp(self.norm_mlp(x_BTD), drop)
        if self.post_norm:
            y_BTD = self.norm_mlp_out(y_BTD)
        return x_BTD + (y_BTD if drop is None else drop.residual(y_BTD, self.layer, 1))


def _table(rows: int, width: int) -> nn.Embedding:
    """An embedding without values yet; made plainly, it would use up the global generator."""
    empty = torch.empty(rows, width)
    table: nn.Embedding = nn.Embedding.from_pretrained(empty, freeze=False)  # type: ignore[no-untyped-call]
    return table


class Decoder(nn.Module):
    """Tokens in, logits of the next token out; or a labelled task's outputs for each text.

    ``compute`` is the dtype of activations and matrix products; weights stay float32.
    ``checkpointed`` keeps of each block its input alone, and computes it again for the backward
    pass: the same numbers, as nothing in it draws any.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.compute = torch.float32
        self.checkpointed = False
        self.embed = _table(shape.vocab, shape.width)
        if shape.position == "learned":
            self.positions = _table(shape.context, shape.width)
        self.ropes = sorted({shape.rope_of(i) for i in range(shape.depth)} - {"none"})
        for kind in self.ropes:
            cos, sin = rope_tables(shape, kind)
            self.register_buffer(f"cos_{kind}", cos, persistent=False)
            self.register_buffer(f"sin_{kind}", sin, persistent=False)
        self.norm_embed = Norm(shape.width, shape, gain=False) if shape.embed_norm else None
        self.blocks = nn.ModuleList(Block(shape, i) for i in range(shape.depth))
        self.norm = Norm(shape.width, shape, gain=shape.norm_gain)
        self.head = self.score = None
        if shape.outputs is not None:
            self.score = Linear(shape.width, shape.outputs, bias=False)
        elif not shape.tied:
            self.head = Linear(shape.width, shape.vocab, bias=False)

    def forward(self, tokens_BT: Tensor, **how: Any) -> Tensor:
        """Logits (B, T, V) in the compute dtype, of ``hidden`` and what that takes."""
        return self.logits(self.hidden(tokens_BT, **how))

    def hidden(
        self,
        tokens_BT: Tensor,
        *,
        segments_BT: Tensor | None = None,
        cache: Cache | None = None,
        drop: Noise | None = None,
    ) -> Tensor:
        """The normalised last hidden state (B, T, D): all but the head.

        Sampling and chunked losses take the head of a part of it, as logits of a large
        vocabulary are the largest tensor there is.

        ``segments_BT`` numbers the texts that share a row, each a run of its own; padding is -1.
        None sees another, and in each the positions start from 0.  Not with a cache.

        Raises ``ValueError`` for more tokens than the context holds.
        """
        start = cache.seen if cache is not None else 0
        end = start + tokens_BT.shape[1]
        if end > self.shape.context:
            raise ValueError(f"{end} tokens do not fit in a context of {self.shape.context}")
        at: slice | Tensor = slice(start, end)
        mask = None
        if segments_BT is not None:
            assert cache is None, "rows of several texts are for training, not for writing"
            at, mask = restarted(segments_BT), segment_mask(segments_BT, self.compute)
        shared = Shared(self._rope(at), mask, cache, drop)
        x_BTD = self._looked_up(tokens_BT)
        if self.shape.embed_scale != 1:
            x_BTD = x_BTD * self.shape.embed_scale
        if self.shape.position == "learned":
            x_BTD = x_BTD + self.positions.weight[at]
        x_BTD = x_BTD.to(self.compute)
        if self.norm_embed is not None:
            x_BTD = self.norm_embed(x_BTD)
        if drop is not None:
            x_BTD = drop.embedding(x_BTD)
        for block in self.blocks:
            if self.checkpointed and torch.is_grad_enabled():
                x_BTD = checkpoint(  # nothing in a block draws, so no generator has to be kept
                    block, x_BTD, shared, use_reentrant=False, preserve_rng_state=False
                )
            else:
                x_BTD = block(x_BTD, shared)
        if cache is not None:
            cache.seen = end
        x_BTD = self.norm(x_BTD)
        return x_BTD if drop is None else drop.head(x_BTD)

    def _looked_up(self, tokens_BT: Tensor) -> Tensor:
        """The embedding of each token (B, T, D).

        Compiled for a processor, that of a small vocabulary is a product: its gradient is one too
        then, and not an atomic addition for each number, which took 20 ms of 1,650.
        """
        small = tokens_BT.is_cpu and self.shape.vocab <= 256  # bytes, or characters of most texts
        if not (small and torch.compiler.is_compiling()):
            return self.embed(tokens_BT)  # type: ignore[no-any-return]
        hot_BTV = tokens_BT[:, :, None] == torch.arange(self.shape.vocab)
        return hot_BTV.to(self.compute) @ self.embed.weight.to(self.compute)

    def _rope(self, at: slice | Tensor) -> dict[LayerRope, tuple[Tensor, Tensor] | None]:
        """Cosine and sine at some positions: (T, K), or (B, 1, T, K) where rows differ."""
        found: dict[LayerRope, tuple[Tensor, Tensor] | None] = {"none": None}
        for kind in self.ropes:
            tables = (self.get_buffer(f"{name}_{kind}") for name in ("cos", "sin"))
            cos, sin = (table[at].to(self.compute) for table in tables)
            found[kind] = (cos, sin) if isinstance(at, slice) else (cos[:, None], sin[:, None])
        return found

    @property
    def head_weight(self) -> Tensor:
        """The matrix (V, D) that makes logits; of a tied head, the embedding."""
        assert self.score is None, "the head of a labelled task gives no logits of tokens"
        return self.embed.weight if self.head is None else self.head.weight

    def logits(self, x_BTD: Tensor) -> Tensor:
        """The head: logits of the next token from the last hidden state."""
        logits_BTV = F.linear(x_BTD, self.head_weight.to(x_BTD.dtype))
        cap = self.shape.softcap
        return logits_BTV if cap is None else cap * torch.tanh(logits_BTV / cap)

    def outputs_of(
        self, tokens_BT: Tensor, lengths_B: Tensor, *, drop: Noise | None = None
    ) -> Tensor:
        """The outputs (B, O) of a labelled task, one text a row, padded on the right.

        Padding comes after every token that counts, so causal attention needs no mask for it.
        """
        assert self.score is not None, "a language model has no outputs but logits"
        pooled_BD = pooled(self.hidden(tokens_BT, drop=drop), lengths_B, self.shape.pool)
        outputs_BO: Tensor = self.score(pooled_BD)
        return outputs_BO


def pooled(hidden_BTD: Tensor, lengths_B: Tensor, pool: Pool) -> Tensor:
    """One vector for each text (B, D): that of its last token, or the mean over its tokens."""
    B, T, _ = hidden_BTD.shape
    if pool == "last":
        return hidden_BTD[torch.arange(B, device=hidden_BTD.device), lengths_B - 1]
    real_BT = torch.arange(T, device=hidden_BTD.device) < lengths_B[:, None]
    total_BD = (hidden_BTD * real_BT[:, :, None]).sum(dim=1, dtype=torch.float32)
    return (total_BD / lengths_B[:, None]).to(hidden_BTD.dtype)
