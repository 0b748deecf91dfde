"""A split, or part of one, measured: the loss of each block, its interval, and the metrics.

Dims: N blocks, O outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wellfit.data import Blocks
from wellfit.evaluate.losses import BlockScores, Scorer, Watch, score_blocks
from wellfit.probe import interval, units_of
from wellfit.store import Basis, Evaluation, Split, Unit
from wellfit.tokenizer import Tokenizer

MetricsOf = Callable[[Blocks, BlockScores], Mapping[str, Mapping[str, Any]]]
"""The task's metrics, from what was scored."""


class Measure:
    """How evaluations of one model are made, wherever they are asked for.

    ``part`` (rank, world) and ``summed`` let ranks share the blocks; a single process needs
    neither.
    """

    def __init__(
        self,
        scorer: Scorer,
        tokenizer: Tokenizer,
        *,
        unit: Unit = "nats",
        metrics_of: MetricsOf | None = None,
        part: tuple[int, int] = (0, 1),
        summed: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self._scorer, self._tokenizer, self._unit = scorer, tokenizer, unit
        self._metrics_of, self._part, self._summed = metrics_of, part, summed

    def __call__(
        self,
        blocks: Blocks,
        split: Split,
        *,
        basis: Basis,
        step: int,
        watch: Watch | None = None,
    ) -> Evaluation:
        """The evaluation of these blocks with the model as it is now."""
        scores = self.scores(blocks, watch=watch)
        return self.evaluation(scores, blocks, split, basis=basis, step=step)

    def scores(self, blocks: Blocks, *, watch: Watch | None = None) -> BlockScores:
        """Loss and outputs of every block."""
        scores = score_blocks(self._scorer, blocks, part=self._part, watch=watch)
        if self._summed is None:
            return scores
        outputs_NO = scores.outputs_NO
        outputs_NO = None if outputs_NO is None else self._over_ranks(outputs_NO)
        return BlockScores(self._over_ranks(scores.nats_N), outputs_NO)

    def evaluation(
        self, scores: BlockScores, blocks: Blocks, split: Split, *, basis: Basis, step: int
    ) -> Evaluation:
        """What the scores say of the split."""
        nats_N = scores.nats_N
        units = units_of(nats_N, blocks.counts, blocks.documents)
        lo, hi = interval(units.totals, units.counts)
        return Evaluation(
            step=step,
            split=split,
            basis=basis,
            checkpoint_step=step,
            nats=nats_N,
            counts=blocks.counts.astype(np.int64),
            n_bytes=blocks.n_bytes(self._tokenizer.token_bytes),
            n_documents=blocks.n_documents,
            loss_lo=lo,
            loss_hi=hi,
            unit=self._unit,
            metrics=self._metrics_of(blocks, scores) if self._metrics_of else {},
        )

    def _over_ranks(self, part: np.ndarray) -> np.ndarray:
        assert self._summed is not None
        return self._summed(torch.from_numpy(part)).cpu().numpy()
