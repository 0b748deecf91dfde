"""Models small enough for unit tests."""

from __future__ import annotations

from typing import Any

import torch

from wellfit.model import Decoder, Shape, build_decoder


def tiny_shape(**changes: Any) -> Shape:
    """A nanochat decoder of two blocks, 16 wide, with a vocabulary of 11."""
    values: dict[str, Any] = {
        "family": "nanochat",
        "vocab": 11,
        "depth": 2,
        "width": 16,
        "heads": 2,
        "kv_heads": 2,
        "head_dim": 8,
        "context": 12,
        "mlp_width": 32,
        "norm": "rms",
        "norm_gain": False,
        "norm_eps": 1e-6,
        "embed_norm": True,
        "position": "rope",
        "rope_theta": 10_000.0,
        "rope_sign": -1,
        "qk_norm": True,
        "mlp": "relu2",
        "bias": False,
        "tied": False,
        "softcap": 15.0,
    }
    return Shape(**{**values, **changes})


def tiny_decoder(seed: int = 1, **changes: Any) -> Decoder:
    """A decoder of ``tiny_shape`` whose every weight matters.

    Fresh weights would not do: the head and the outputs of blocks start at zero, so nothing
    before them would get a gradient.
    """
    decoder = build_decoder(tiny_shape(**changes), seed=seed)
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in decoder.parameters():
            p += 0.2 * torch.randn(p.shape, generator=draw)
    return decoder
