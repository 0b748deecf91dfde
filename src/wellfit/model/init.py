"""The weights a decoder starts from.

Each parameter's draw is a pure function of (seed, name of the parameter): neither the order of
creation nor what else the model holds changes it, and no global generator is touched.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np
import torch
from torch import Tensor

from wellfit.model.decoder import Decoder
from wellfit.model.shape import Shape

STD = 0.02
_RESIDUAL = ("attention.o.weight", "mlp.down.weight")  # what a block adds to the residual stream


def build_decoder(shape: Shape, *, seed: int) -> Decoder:
    """A decoder with fresh weights, on the CPU in float32."""
    decoder = Decoder(shape)
    with torch.no_grad():
        for name, parameter in decoder.named_parameters():
            parameter.copy_(initial_value(shape, name, tuple(parameter.shape), seed=seed))
    return decoder


def initial_value(shape: Shape, name: str, size: tuple[int, ...], *, seed: int) -> Tensor:
    """What the parameter called ``name`` starts as.

    nanochat: outputs of every block and the head start at zero, so that the model begins as
    the identity with uniform predictions; other matrices are uniform with variance
    1 / fan-in.  The other families: normal with deviation 0.02, and 0.02 / sqrt(2 depth) where a
    block adds to the residual stream, so that its variance does not grow with depth.

    Source  nanochat, nanochat/gpt.py (init_weights); GPT-2, "Language Models are Unsupervised
            Multitask Learners", sec. 2.3; the embedding's 0.02 is GPT-2's in every family.
    """
    if name.endswith(".bias") or name == "score.weight":
        return torch.zeros(size)  # a labelled task begins with every answer alike
    if "norm" in name:
        return torch.full(size, 1 - shape.gain_from)
    draw = _generator(seed, name)
    if name.startswith(("embed.", "positions.")):
        return _normal(draw, size, STD)
    residual = name.endswith(_RESIDUAL)
    if shape.family == "nanochat":
        if residual or name == "head.weight":
            return torch.zeros(size)
        return uniform_value(name, size, bound=math.sqrt(3 / size[1]), seed=seed)
    return _normal(draw, size, STD / math.sqrt(2 * shape.depth) if residual else STD)


def uniform_value(name: str, size: tuple[int, ...], *, bound: float, seed: int) -> Tensor:
    """A draw for the parameter called ``name``, uniform within ``bound`` of zero."""
    draw = _generator(seed, name).random(size, dtype=np.float32)
    return torch.from_numpy(draw).mul_(2 * bound).sub_(bound)


def _generator(seed: int, name: str) -> np.random.Generator:
    """Philox is keyed, so streams of different keys are independent by construction."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))


def _normal(draw: np.random.Generator, size: tuple[int, ...], std: float) -> Tensor:
    return torch.from_numpy(draw.standard_normal(size, dtype=np.float32)).mul_(std)
