"""What one look at a split measured: the loss of every block, and what follows from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Split: TypeAlias = Literal["train", "val", "test"]
Basis: TypeAlias = Literal["fixed blocks", "full split"]
Unit: TypeAlias = Literal["nats", "deviations"]
"""Of a loss: nats, or of a regression in standard deviations of the targets (squared, or not)."""


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """The loss of a split, block by block, with its 95% interval.

    The blocks are kept, not only their mean, because two evaluations on the same blocks are
    compared pair by pair, which is many times tighter than comparing two means.

    Shapes   nats (n_blocks,) float64, summed over the targets of a block; counts (n_blocks,) int64.
    Units    nats; ``loss`` is nats per target, ``bits_per_byte`` bits per UTF-8 byte of the text.
    """

    step: int
    split: Split
    basis: Basis
    checkpoint_step: int
    nats: NDArray[np.float64]
    counts: NDArray[np.int64]
    n_bytes: int
    n_documents: int
    loss_lo: float
    loss_hi: float
    unit: Unit = "nats"
    # name -> {"value", "ci95", "n"}, of the task's metrics
    metrics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.nats.ndim != 1 or self.nats.shape != self.counts.shape:
            raise ValueError(
                "an evaluation wants nats (n_blocks,) and counts (n_blocks,), "
                f"got {self.nats.shape} and {self.counts.shape}"
            )

    @property
    def n_tokens(self) -> int:
        """Targets that were scored."""
        return int(self.counts.sum())

    @property
    def loss(self) -> float:
        """Nats per target: one division, of the sum over all blocks."""
        return float(self.nats.sum()) / self.n_tokens if self.n_tokens else math.nan

    @property
    def perplexity(self) -> float:
        """e to the loss: how many equally likely tokens the model is as unsure as."""
        return perplexity(self.loss) if self.unit == "nats" else math.nan

    @property
    def bits_per_byte(self) -> float:
        """Bits per UTF-8 byte of the text; comparable between tokenizers, as loss is not."""
        return self.loss * self._bits_per_nat

    @property
    def _bits_per_nat(self) -> float:
        # turns nats per target into bits per byte
        return self.n_tokens / (math.log(2) * self.n_bytes) if self.n_bytes else math.nan

    def as_dict(self) -> dict[str, Any]:
        """The numbers without the blocks, under the keys of ``wellfit eval --json``."""
        ends = [self.loss_lo, self.loss_hi]
        perplexities = [perplexity(end) if self.unit == "nats" else math.nan for end in ends]
        return {
            "step": self.step,
            "split": self.split,
            "basis": self.basis,
            "checkpoint_step": self.checkpoint_step,
            "n_tokens": self.n_tokens,
            "n_bytes": self.n_bytes,
            "n_documents": self.n_documents,
            "n_blocks": len(self.counts),
            "loss": self.loss,
            "perplexity": self.perplexity,
            "bits_per_byte": self.bits_per_byte,
            "ci95": {
                "loss": ends,
                "perplexity": perplexities,
                "bits_per_byte": [end * self._bits_per_nat for end in ends],
            },
            "unit": self.unit,
            "metrics": {name: dict(metric) for name, metric in self.metrics.items()},
        }


def perplexity(nats: float) -> float:
    """e to the loss; infinite where that is beyond any number."""
    # math.exp raises above 709.78 where a diverged loss wants infinity
    return math.exp(nats) if not nats > 709 else math.inf
