"""What fixes a decoder's function apart from its weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

Family: TypeAlias = Literal[
    "gpt2",
    "llama",
    "qwen3",
    "nanochat",
    "mistral",
    "qwen2",
    "smollm3",
    "gemma",
    "gemma2",
    "gemma3_text",
    "encoder",  # any of the library's, see encoder.py
    "ngrams",  # no network, see ngrams.py; its width is how many tokens the longest have
]
Pool: TypeAlias = Literal["last", "mean"]
LayerRope: TypeAlias = Literal["global", "local", "none"]
"""Which rotary wavelengths a block has; local ones suit the blocks that look less far back."""


class RopeScaling(NamedTuple):
    """Rotary wavelengths stretched for a longer context than they were made for.

    linear   all of them by ``factor`` (arXiv:2306.15595)
    llama3   those that turn fewer than ``low`` times within ``original`` tokens, by ``factor``;
             those that turn more than ``high`` times not at all; others in between (Llama 3.1)
    """

    kind: Literal["linear", "llama3"]
    factor: float
    low: float = 1.0
    high: float = 4.0
    original: float = 8192


class Outputs(NamedTuple):
    """What the outputs of a labelled task's head mean, for whoever loads the model."""

    names: tuple[str, ...]
    problem: Literal[
        "single_label_classification", "multi_label_classification", "regression"
    ]  # as transformers says it
    means: tuple[float, ...] = ()  # of a regression's targets, whose deviations are what is learned
    deviations: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Sizes and kinds of a decoder.

    Every combination belongs to ``family``, an architecture that the `transformers`
    library implements, so that whatever is trained can be loaded elsewhere.
    """

    family: Family
    vocab: int
    depth: int
    width: int
    heads: int
    kv_heads: int
    head_dim: int
    context: int
    mlp_width: int
    mlp: Literal["swiglu", "geglu", "gelu", "relu2"]
    norm: Literal["rms", "layer"] = "rms"
    norm_gain: bool = True  # a learned scale (and, for layer norm, shift); nanochat has none
    norm_eps: float = 1e-6
    embed_norm: bool = False  # normalise the embedding before the first block
    position: Literal["rope", "learned"] = "rope"
    rope_theta: float = 10_000.0
    rope_sign: Literal[1, -1] = 1  # nanochat turns the other way
    qk_norm: bool = False
    bias: bool = False
    tied: bool = False
    softcap: float | None = None
    # What only published models have
    gain_from: float = 0.0  # a norm's scale is its weight and this (Gemma: 1)
    post_norm: bool = False  # what a block adds is normalised too (Gemma 2 and 3)
    embed_scale: float = 1.0  # the embedding is multiplied by it (Gemma: the root of the width)
    qkv_bias: bool = False  # q, k and v have a bias where nothing else has (Qwen 2)
    attention_scale: float | None = None  # of the scores; None: the inverse root of head_dim
    attention_softcap: float | None = None  # bound on the scores (Gemma 2)
    rope_scaling: RopeScaling | None = None
    local_theta: float = 10_000.0  # base of the local wavelengths (Gemma 3)
    layer_rope: tuple[LayerRope, ...] = ()  # of each block; () is global in all of them
    # A head for labelled tasks in place of the vocabulary's
    outputs: int | None = None
    pool: Pool = "last"
    # What only n-grams have, see ngrams.py
    words: int = 0  # of the longest runs of words
    pairs: int = 0  # first words that are paired with those after
    buckets: int = 0  # rows that hashed n-grams share

    def rope_of(self, layer: int) -> LayerRope:
        """The rotary wavelengths of a block."""
        if self.position == "learned":
            return "none"
        return self.layer_rope[layer] if self.layer_rope else "global"

    @property
    def gated(self) -> bool:
        """Whether the MLP has a third matrix, its gate."""
        return self.mlp in ("swiglu", "geglu")

    @property
    def matmul_parameters(self) -> int:
        """Weights that every token is multiplied with: blocks and head, not the lookup.

        (The head of a labelled task sees one vector of a text; it is small, and counted too.)
        """
        attention = self.width * self.head_dim * 2 * (self.heads + self.kv_heads)
        mlp = self.width * self.mlp_width * (3 if self.gated else 2)
        head = self.vocab if self.outputs is None else self.outputs
        return self.depth * (attention + mlp) + self.width * head
