"""What counting alone would score: the marks that a model has to pass.

uniform   every token equally likely
unigram   its share of the train split
bigram    its share after the token before it, backed off to unigram

Dims: V vocabulary, N tokens.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from wellfit.data import Blocks, Split
from wellfit.objectives import IGNORE

MOST_TOKENS = 20_000_000  # of train that are counted; more moves a bigram loss by very little
_PIECE_TOKENS = 1 << 20
_STRENGTHS = (1.0, 4.0, 16.0, 64.0, 256.0, 1024.0)
_HELD_OUT_FRAC = 0.05


@dataclass(frozen=True, slots=True)
class Counts:
    """How often each token, and each pair of neighbours, occurs in the train split.

    Pairs are kept sparsely, as sorted ``first * vocab + second``: a table of all of them would
    be 10 GB for a vocabulary of 50k.
    """

    vocab: int
    single_V: np.ndarray  # int64
    pair_keys: np.ndarray  # int64, sorted
    pair_counts: np.ndarray  # int64
    strength: float  # pseudo-tokens of unigram mixed into each bigram row
    n_tokens: int

    def unigram_probability(self, tokens: np.ndarray) -> np.ndarray:
        """Share of each token, one added to every count so that none is impossible."""
        return (self.single_V[tokens] + 1) / (self.single_V.sum() + self.vocab)

    def bigram_probability(self, before: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        """Share of each token after the one before it (Dirichlet prior on the unigram)."""
        keys = before.astype(np.int64) * self.vocab + tokens
        at = np.minimum(np.searchsorted(self.pair_keys, keys), max(0, len(self.pair_keys) - 1))
        seen = np.where(self.pair_keys[at] == keys, self.pair_counts[at], 0)
        prior = self.strength * self.unigram_probability(tokens)
        return (seen + prior) / (self.single_V[before] + self.strength)


@dataclass(frozen=True, slots=True)
class Baselines:
    """Loss of each baseline on the same blocks that the model is measured on.

    Units: nats per target; ``bigram_nats`` are sums per block, for paired comparisons.
    """

    uniform: float
    unigram: float
    bigram: float
    bigram_nats: np.ndarray

    def as_dict(self) -> dict[str, float]:
        """As plain JSON."""
        return {"uniform": self.uniform, "unigram": self.unigram, "bigram": self.bigram}


def count_train(split: Split, *, vocab: int) -> Counts:
    """Count the train split, or the evenly spread ``MOST_TOKENS`` of a larger one.

    The back-off strength is chosen on the last 5% of what is counted, by counts of the rest.
    """
    pieces = parts = _pieces(split)
    if len(pieces) == 1:
        parts = np.array_split(pieces[0], [int(len(pieces[0]) * (1 - _HELD_OUT_FRAC))])
    held = max(1, int(len(parts) * _HELD_OUT_FRAC))
    fitted = _count(parts[:-held], vocab=vocab, strength=1.0)
    after = [part for part in parts[-held:] if len(part) > 1]
    best, best_nats = _STRENGTHS[0], math.inf
    for strength in _STRENGTHS:
        trial = Counts(
            vocab, fitted.single_V, fitted.pair_keys, fitted.pair_counts, strength, fitted.n_tokens
        )
        nats = sum(-np.log(trial.bigram_probability(p[:-1], p[1:])).sum() for p in after)
        if nats < best_nats:
            best, best_nats = strength, float(nats)
    return _count(pieces, vocab=vocab, strength=best)


def score(counts: Counts, blocks: Blocks) -> Baselines:
    """The baselines' losses on these blocks."""
    unigram, bigram_nats, targets_seen = 0.0, np.zeros(len(blocks)), 0
    for start in range(0, len(blocks), 256):
        rows = blocks.rows(start, min(start + 256, len(blocks)))
        counted = rows.targets != IGNORE
        tokens, targets = rows.inputs[counted], rows.targets[counted]
        unigram -= float(np.log(counts.unigram_probability(targets)).sum())
        nats = np.zeros(rows.targets.shape)
        nats[counted] = -np.log(counts.bigram_probability(tokens, targets))
        bigram_nats[start : start + len(nats)] = nats.sum(axis=1)
        targets_seen += int(counted.sum())
    return Baselines(
        uniform=math.log(counts.vocab),
        unigram=unigram / targets_seen,
        bigram=float(bigram_nats.sum()) / targets_seen,
        bigram_nats=bigram_nats,
    )


def _pieces(split: Split) -> list[np.ndarray]:
    """The train split in pieces, or as many evenly spread ones as ``MOST_TOKENS`` allows."""
    size = min(_PIECE_TOKENS, split.n_tokens)
    starts = np.arange(0, split.n_tokens - size + 1, size)
    most = max(1, MOST_TOKENS // size)
    if len(starts) > most:
        starts = starts[np.linspace(0, len(starts) - 1, most).round().astype(int)]
    return [split.gather(starts[i : i + 1], size)[0].astype(np.int64) for i in range(len(starts))]


def _count(pieces: list[np.ndarray], *, vocab: int, strength: float) -> Counts:
    single_V = np.zeros(vocab, dtype=np.int64)
    keys, counts = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    for piece in pieces:
        single_V += np.bincount(piece, minlength=vocab)
        new_keys, new_counts = np.unique(piece[:-1] * vocab + piece[1:], return_counts=True)
        keys, back = np.unique(np.concatenate((keys, new_keys)), return_inverse=True)
        both = np.concatenate((counts, new_counts))
        counts = np.bincount(back, weights=both).astype(np.int64)
    return Counts(vocab, single_V, keys, counts, strength, int(single_V.sum()))
