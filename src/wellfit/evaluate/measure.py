"""A split, or part of one, measured: the loss of each block, with its interval."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from wellfit.data import Blocks
from wellfit.evaluate.losses import Watch, block_nats
from wellfit.probe import interval, units_of
from wellfit.store import Basis, Evaluation, Split
from wellfit.tokenizer import Tokenizer


class Measure:
    """How evaluations of one model are made, wherever they are asked for.

    ``part`` (rank, world) and ``summed`` let ranks share the blocks; a single process needs
    neither.
    """

    def __init__(
        self,
        logits_of: Callable[[Tensor], Tensor],
        tokenizer: Tokenizer,
        *,
        device: str,
        part: tuple[int, int] = (0, 1),
        summed: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self._logits_of, self._tokenizer, self._device = logits_of, tokenizer, device
        self._part, self._summed = part, summed

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
        nats = block_nats(
            self._logits_of,
            blocks,
            vocab=self._tokenizer.vocab_size,
            device=self._device,
            part=self._part,
            watch=watch,
        )
        if self._summed is not None:
            nats = self._summed(torch.from_numpy(nats).to(self._device)).cpu().numpy()
        units = units_of(nats, blocks.counts, blocks.documents)
        lo, hi = interval(units.totals, units.counts)
        return Evaluation(
            step=step,
            split=split,
            basis=basis,
            checkpoint_step=step,
            nats=nats,
            counts=blocks.counts.astype(np.int64),
            n_bytes=blocks.n_bytes(self._tokenizer.token_bytes),
            n_documents=blocks.n_documents,
            loss_lo=lo,
            loss_hi=hi,
        )
