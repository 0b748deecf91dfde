"""What fixes a decoder's function apart from its weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Family = Literal["gpt2", "llama", "qwen3", "nanochat"]


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
    norm: Literal["rms", "layer"]
    norm_gain: bool  # a learned scale (and, for layer norm, shift); nanochat has none
    norm_eps: float
    embed_norm: bool  # normalise the embedding before the first block
    position: Literal["rope", "learned"]
    rope_theta: float
    rope_sign: Literal[1, -1]  # nanochat turns the other way
    qk_norm: bool
    mlp: Literal["swiglu", "gelu", "relu2"]
    bias: bool
    tied: bool
    softcap: float | None

    @property
    def matmul_parameters(self) -> int:
        """Weights that every token is multiplied with: blocks and head, not the lookup."""
        attention = self.width * self.head_dim * 2 * (self.heads + self.kv_heads)
        mlp = self.width * self.mlp_width * (3 if self.mlp == "swiglu" else 2)
        return self.depth * (attention + mlp) + self.width * self.vocab

    def training_flops(self, context: int | None = None) -> float:
        """FLOPs of forward and backward per token: 6 per matmul weight, plus attention.

        Attention is counted causal, as it is computed: 6 * depth * heads * head_dim * context
        (half of PaLM's 12, arXiv:2204.02311 appendix B).
        """
        length = context or self.context
        return 6.0 * self.matmul_parameters + 6.0 * self.depth * self.heads * self.head_dim * length
