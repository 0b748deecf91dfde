"""What disturbs a training pass: dropout, dropped blocks, noise on the embedding.

All of it is a pure function of (seed, step, sample, site).

Dims: B sequences, T time, D model, P pool, S sites, L blocks.

A counter-based generator would do, at the price of a generator call per element.  Instead a
pool of values is drawn once from the seed, and every (step, sample, site) reads a window
of it at a hashed offset: one multiplication by a slice.  The mask of a sample does not depend
on how the batch was cut into micro-batches or ranks, and there is no state to save.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from wellfit.config import Regularize
from wellfit.errors import ConfigError
from wellfit.model import fused
from wellfit.model.shape import Shape

POOL = 1 << 22  # distinct offsets; a window is reused by chance about once in 4M draws

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def mix(*keys: int | np.ndarray) -> np.ndarray:
    """Hash integer keys (broadcast against each other) to uniform uint64 (splitmix64 finaliser)."""
    state = np.zeros(np.broadcast_shapes(*(np.shape(key) for key in keys)), dtype=np.uint64)
    with np.errstate(over="ignore"):
        for key in keys:
            state = (state ^ np.asarray(key).astype(np.uint64)) + _GOLDEN
            state = (state ^ (state >> np.uint64(30))) * _MIX_1
            state = (state ^ (state >> np.uint64(27))) * _MIX_2
            state = state ^ (state >> np.uint64(31))
    return state


def _uniform(hashed: np.ndarray) -> np.ndarray:
    """Numbers from 0 up to but not including 1, of 24 bits each."""
    return (hashed >> np.uint64(40)) / 2.0**24


def drop_pool(rate: float, seed: int, window: int, dtype: torch.dtype, device: str) -> Tensor:
    """Mask values for windows of this size: 0 for a share of ``rate``, or what makes up for it."""
    uniform_P = _uniform(mix(seed, 0xD20, np.arange(POOL + window)))
    kept_P = torch.from_numpy(uniform_P >= round(rate * 2**24) / 2**24)
    return (kept_P.to(dtype) / (1 - rate)).to(device)


def _offsets(seed: int, step: int, samples_B: np.ndarray, sites: int) -> Tensor:
    """Where in the pool each sample's window starts at each site, (B, S) int64."""
    hashed_BS = mix(seed, 0xD21, step, samples_B[:, None], np.arange(sites))
    return torch.from_numpy((hashed_BS % np.uint64(POOL)).astype(np.int64))


class Drop(NamedTuple):
    """The masks of one rate for a forward pass; made by ``DropSource``."""

    pool_P: Tensor  # the compute dtype; 0 or 1 / (1 - rate)
    offsets_BS: Tensor  # int64, where each sample's window starts at each site

    def apply(self, x_BTD: Tensor, site: int) -> Tensor:
        """``x_BTD`` with this site's mask."""
        return fused.times_windows(x_BTD, self.pool_P, self.offsets_BS[:, site])


class DropSource(NamedTuple):
    """Makes each step's ``Drop`` for one run."""

    pool_P: Tensor  # see ``drop_pool``
    seed: int
    sites: int

    def draw(self, step: int, samples_B: np.ndarray) -> Drop:
        """The masks of these samples at this step."""
        offsets_BS = _offsets(self.seed, step, samples_B, self.sites)
        return Drop(self.pool_P, offsets_BS.to(self.pool_P.device))


class Noise(NamedTuple):
    """What disturbs one forward pass of a decoder; made by ``NoiseSource``.

    Sites, in the columns of ``offsets_BS``: the embedding, what attention and MLP of each block add
    to the residual stream, the hidden layer of each MLP, the head, the embedding's noise, and the
    heads of each block.
    """

    pools: dict[str, Tensor]  # by place; a place that is absent drops nothing
    offsets_BS: Tensor
    shape: Shape
    gates_BL: Tensor | None  # 0 for the blocks that a sample leaves out
    alpha: float | None  # of the noise on the embedding
    seed: int  # of the step and the first sample, for encoders, which draw by themselves

    def _drop(self, place: str, x_BTD: Tensor, site: int) -> Tensor:
        pool_P = self.pools.get(place)
        return x_BTD if pool_P is None else Drop(pool_P, self.offsets_BS).apply(x_BTD, site)

    def embedding(self, x_BTD: Tensor) -> Tensor:
        """The embedding with its noise (NEFTune, arXiv:2310.05914), then with its mask."""
        if self.alpha is not None:
            n = x_BTD[0].numel()
            pool_P, offsets_B = self.pools["noise"], self.offsets_BS[:, 3 * self.shape.depth + 2]
            windows = pool_P.as_strided((len(pool_P) - n + 1, n), (1, 1))[offsets_B]
            x_BTD = x_BTD + windows.view_as(x_BTD) * (self.alpha / n**0.5)
        return self._drop("embedding", x_BTD, 0)

    def attention(self, layer: int) -> fused.Windows | None:
        """The masks of a block's attention weights, one for each sequence and head."""
        pool_P, heads = self.pools.get("attention"), self.shape.heads
        if pool_P is None:
            return None
        first = 3 * self.shape.depth + 3 + layer * heads
        return pool_P, self.offsets_BS[:, first : first + heads].flatten()

    def residual(self, y_BTD: Tensor, layer: int, half: int) -> Tensor:
        """What one ``half`` of a block, attention 0 or MLP 1, adds to the residual stream."""
        y_BTD = self._drop("residual", y_BTD, 1 + 2 * layer + half)
        return y_BTD if self.gates_BL is None else y_BTD * self.gates_BL[:, layer, None, None]

    def mlp(self, hidden_BTD: Tensor, layer: int) -> Tensor:
        """The hidden layer of a block's MLP."""
        return self._drop("mlp", hidden_BTD, 1 + 2 * self.shape.depth + layer)

    def head(self, last_BTD: Tensor) -> Tensor:
        """The last hidden state, on its way to the head."""
        return self._drop("head", last_BTD, 1 + 3 * self.shape.depth)


class NoiseSource:
    """Makes each step's ``Noise`` for one run; ``noise_source`` says whether there is any."""

    def __init__(
        self, cfg: Regularize, shape: Shape, *, seed: int, dtype: torch.dtype, device: str
    ) -> None:
        self.cfg, self.shape, self.seed, self.dtype, self.device = cfg, shape, seed, dtype, device
        rates = {
            "embedding": cfg.dropout.embedding,
            "attention": cfg.dropout.attention,
            "residual": cfg.dropout.residual,
            "mlp": cfg.dropout.mlp,
            "head": cfg.dropout.head,
        }
        self.sites = 3 * shape.depth + 3
        self.sites += shape.depth * shape.heads if cfg.dropout.attention else 0
        self.pools = self._masks({place: rate for place, rate in rates.items() if rate})
        if cfg.neftune:
            signed = mix(seed, 0xD23, np.arange(POOL + shape.context * shape.width))
            self.pools["noise"] = torch.from_numpy(2 * _uniform(signed) - 1).to(device, dtype)

    def _masks(self, rates: dict[str, float]) -> dict[str, Tensor]:
        """A pool for each place that drops something; places of one rate share one."""
        cfg, shape = self.cfg, self.shape
        wide = shape.mlp_width if cfg.dropout.mlp else shape.width
        wide = max(wide, shape.context) if cfg.dropout.attention else wide
        how = (self.seed, shape.context * wide, self.dtype, self.device)
        by_rate = {rate: drop_pool(rate, *how) for rate in set(rates.values())}
        return {place: by_rate[rate] for place, rate in rates.items()}

    def draw(self, step: int, samples_B: np.ndarray) -> Noise:
        """The masks of these samples at this step."""
        offsets_BS = _offsets(self.seed, step, samples_B, self.sites)
        gates_BL = None
        if self.cfg.stochastic_depth:
            gates_BL = self._gates(step, samples_B).to(self.device, self.dtype)
        alpha = self.cfg.neftune or None
        seed = int(mix(self.seed, 0xD24, step, samples_B[0]) >> np.uint64(1))
        return Noise(self.pools, offsets_BS.to(self.device), self.shape, gates_BL, alpha, seed)

    def _gates(self, step: int, samples_B: np.ndarray) -> Tensor:
        """Which blocks each sample goes through, (B, L): 0, or 1 / (1 - its rate).

        The rate grows evenly with depth, up to that of the recipe in the last block.

        Source  Deep networks with stochastic depth, arXiv:1603.09382, sec. 3.
        """
        depth = self.shape.depth
        rates_L = self.cfg.stochastic_depth * np.arange(1, depth + 1) / depth
        hashed_BL = mix(self.seed, 0xD22, step, samples_B[:, None], np.arange(depth))
        return torch.from_numpy((_uniform(hashed_BL) >= rates_L) / (1 - rates_L))


def noise_source(
    cfg: Regularize, shape: Shape, *, seed: int, dtype: torch.dtype, device: str
) -> NoiseSource | None:
    """What disturbs the training of this shape; None where the recipe asks for nothing.

    Encoders drop at the rates of their own config.json, and of n-grams only those: raises
    ``ConfigError`` for others.
    """
    if shape.family == "encoder" and cfg.disturbs:
        what = "regularize: an encoder drops at the rates of its config.json; leave out dropout,"
        raise ConfigError([f"{what} stochastic_depth and neftune, or change them there"])
    unfit = (cfg.dropout.mlp, cfg.dropout.head, cfg.stochastic_depth, cfg.neftune)
    if shape.family == "ngrams" and any(unfit):
        what = "n-grams are all that there is to drop; write regularize.dropout: one number,"
        raise ConfigError([f"regularize: {what} and leave out stochastic_depth and neftune"])
    if shape.family != "encoder" and not cfg.disturbs:
        return None
    return NoiseSource(cfg, shape, seed=seed, dtype=dtype, device=device)
