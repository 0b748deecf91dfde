"""What counting alone would score: the marks that a model has to pass.

uniform   every token, or class, equally likely
unigram   its share of the train split
bigram    its share after the token before it, backed off to unigram
prior     each class by its share of the train split
mean      every number predicted as the constant that fits the train split best

Dims: V vocabulary, N texts, C classes, L labels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from wellfit.data import Blocks, Labels, Split
from wellfit.evaluate.losses import labels_of
from wellfit.objectives import IGNORE, regression_losses

MOST_TOKENS = 20_000_000  # of train that are counted; more moves a bigram loss by very little
_PIECE_TOKENS = 1 << 20
_STRENGTHS = (1.0, 4.0, 16.0, 64.0, 256.0, 1024.0)
_HELD_OUT_FRAC = 0.05


@dataclass(frozen=True, slots=True)
class Counts:
    """How often each target, and each pair of a token and its target, occurs in the train split.

    Pairs are kept sparsely, as sorted ``first * vocab + second``: a table of all of them would
    be 10 GB for a vocabulary of 50k.
    """

    vocab: int
    single_V: np.ndarray  # int64, as a target
    before_V: np.ndarray  # int64, before a target
    pair_keys: np.ndarray  # int64, sorted
    pair_counts: np.ndarray  # int64
    strength: float  # pseudo-tokens of unigram mixed into each bigram row

    def unigram_probability(self, tokens: np.ndarray) -> np.ndarray:
        """Share of each token, one added to every count so that none is impossible."""
        return (self.single_V[tokens] + 1) / (self.single_V.sum() + self.vocab)

    def bigram_probability(self, before: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        """Share of each token after the one before it (Dirichlet prior on the unigram)."""
        keys = before.astype(np.int64) * self.vocab + tokens
        at = np.minimum(np.searchsorted(self.pair_keys, keys), max(0, len(self.pair_keys) - 1))
        seen = np.where(self.pair_keys[at] == keys, self.pair_counts[at], 0)
        prior = self.strength * self.unigram_probability(tokens)
        return (seen + prior) / (self.before_V[before] + self.strength)


@dataclass(frozen=True, slots=True)
class Baselines:
    """Loss of each baseline on the same blocks that the model is measured on.

    Units: as the model's loss; ``mark_losses`` are those of ``mark``, the one that a model has to
    pass, summed per block, for paired comparisons.
    """

    losses: Mapping[str, float]
    mark: str
    mark_losses: np.ndarray


Baseline = Callable[[Blocks], Baselines]
"""What was learned from the train split, ready to score blocks."""


def baseline_of(
    train: Split, *, vocab: int, labels: Labels | None, options: dict[str, Any]
) -> Baseline:
    """The baselines that suit a split: of tokens, of classes, or of numbers.

    ``options`` are those of ``regression_losses``, for numbers alone.
    """
    if labels is None:
        return partial(score, count_train(train, vocab=vocab))
    assert train.labels is not None, train.name
    if labels.means:
        return partial(_constants, train.labels, labels, options)
    return partial(_prior, train.labels, labels)


def _prior(train_NL: np.ndarray, labels: Labels, blocks: Blocks) -> Baselines:
    """Classes by their share, one added to every count; several labels each by its own."""
    labels_NL = labels_of(blocks)
    n, classes = len(train_NL), len(labels.names)
    if labels.several:
        share_L = (train_NL.sum(axis=0) + 1) / (n + 2)
        nats = -np.log(np.where(labels_NL > 0, share_L, 1 - share_L)).mean(axis=1)
        uniform = math.log(2)
    else:
        seen_C = np.bincount(train_NL[:, 0].astype(np.int64), minlength=classes)
        nats = -np.log((seen_C + 1) / (n + classes))[labels_NL[:, 0].astype(np.int64)]
        uniform = math.log(classes)
    return Baselines({"uniform": uniform, "prior": float(nats.mean())}, "prior", nats)


def _constants(
    train_NL: np.ndarray, labels: Labels, options: dict[str, Any], blocks: Blocks
) -> Baselines:
    """The best of a hundred quantiles and the mean, judged on the train split."""
    means_L, deviations_L = np.array(labels.means), np.array(labels.deviations)

    def losses(said_L: np.ndarray, wanted_NL: np.ndarray) -> np.ndarray:
        said_NL = torch.tensor(np.broadcast_to(said_L, wanted_NL.shape))
        return regression_losses(said_NL, torch.tensor(wanted_NL), **options).numpy()

    wanted_NL = (train_NL - means_L) / deviations_L
    tried = [np.zeros_like(means_L), *np.quantile(wanted_NL, np.linspace(0.01, 0.99, 99), axis=0)]
    by_constant = np.stack([losses(said_L, wanted_NL).mean(axis=0) for said_L in tried])
    best_L = np.stack(tried)[by_constant.argmin(axis=0), np.arange(len(means_L))]
    found = losses(best_L, (labels_of(blocks) - means_L) / deviations_L).mean(axis=1)
    return Baselines({"mean": float(found.mean())}, "mean", found)


def count_train(split: Split, *, vocab: int) -> Counts:
    """Count the train split, or the evenly spread ``MOST_TOKENS`` of a larger one.

    The back-off strength is chosen on the last 5% of what is counted, by counts of the rest.
    """
    pieces = parts = _pieces(split)
    if len(pieces) == 1:
        kept = int(pieces[0].shape[1] * (1 - _HELD_OUT_FRAC))
        parts = np.split(pieces[0], [kept], axis=1)
    held = max(1, int(len(parts) * _HELD_OUT_FRAC))
    fitted = _count(parts[:-held], vocab=vocab, strength=1.0)

    def held_out_nats(strength: float) -> float:
        trial = replace(fitted, strength=strength)
        return sum(-np.log(trial.bigram_probability(*part)).sum() for part in parts[-held:])

    return _count(pieces, vocab=vocab, strength=min(_STRENGTHS, key=held_out_nats))


def score(counts: Counts, blocks: Blocks) -> Baselines:
    """The baselines' losses on these blocks."""
    unigram, bigram_nats = 0.0, np.zeros(len(blocks))
    for start in range(0, len(blocks), 256):
        rows = blocks.rows(start, start + 256)
        counted = rows.targets != IGNORE
        tokens, targets = rows.inputs[counted], rows.targets[counted]
        unigram -= float(np.log(counts.unigram_probability(targets)).sum())
        nats = np.zeros(rows.targets.shape)
        nats[counted] = -np.log(counts.bigram_probability(tokens, targets))
        bigram_nats[rows.samples] = nats.sum(axis=1)
    losses = {
        "uniform": math.log(counts.vocab),
        "unigram": unigram / blocks.n_targets,
        "bigram": float(bigram_nats.sum()) / blocks.n_targets,
    }
    return Baselines(losses, "bigram", bigram_nats)


def _pieces(split: Split) -> list[np.ndarray]:
    """Pairs of a token and the target after it, (2, n) each, of the whole train split.

    Or of as many evenly spread stretches of it as ``MOST_TOKENS`` allows.
    """
    size = min(_PIECE_TOKENS, split.n_tokens)
    starts = np.arange(0, split.n_tokens - size + 1, size)
    most = max(1, MOST_TOKENS // size)
    if len(starts) > most:
        starts = starts[np.linspace(0, len(starts) - 1, most).round().astype(int)]
    return [_pairs(split, start, start + size) for start in starts.tolist()]


def _pairs(split: Split, start: int, end: int) -> np.ndarray:
    tokens = split.tokens[start:end].astype(np.int64)
    pairs = np.stack([tokens[:-1], tokens[1:]])
    if split.learned is None:
        return pairs
    counted = np.array(split.learned[start + 1 : end])
    # The first token of an example follows nothing.
    inside = split.doc_starts[(split.doc_starts > start) & (split.doc_starts < end)]
    counted[inside - start - 1] = False
    return pairs[:, counted]


def _count(pieces: list[np.ndarray], *, vocab: int, strength: float) -> Counts:
    keys, counts = np.empty((2, 0), dtype=np.int64)
    for before, after in pieces:
        new_keys, new_counts = np.unique(before * vocab + after, return_counts=True)
        keys, back = np.unique(np.concatenate((keys, new_keys)), return_inverse=True)
        counts = np.bincount(back, weights=np.concatenate((counts, new_counts))).astype(np.int64)
    before_V, single_V = (
        np.bincount(tokens, weights=counts, minlength=vocab).astype(np.int64)
        for tokens in np.divmod(keys, vocab)
    )
    return Counts(vocab, single_V, before_V, keys, counts, strength)
