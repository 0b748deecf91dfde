"""How near written texts are to their references.

Dims: D draws, N texts.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from wellfit.errors import need
from wellfit.evaluate.metric import Metric, Score, mean_score, measured

_OVERLAPS = ("exact_match", "rouge1", "rouge2", "rougeL")
_WORD = re.compile(r"[^\W_]+")  # letters and digits of any script


class Generation(NamedTuple):
    """Metrics of generated texts, and the signatures that say which BLEU and chrF they are."""

    metrics: dict[str, Metric]
    signatures: dict[str, str]
    score: Score  # to compare with that of another model


def generation_metrics(
    texts: Sequence[str], references: Sequence[str], *, tokenize: str = "13a", seed: int = 0
) -> Generation:
    """BLEU and chrF of the corpus by sacrebleu (0 to 100); exact match and ROUGE (0 to 1).

    Exact match sets surrounding white space aside.  ROUGE-1, 2 and L are the mean F over texts,
    of lower-cased words, which are runs of letters and digits of any script; no stemming, and
    the longest common subsequence is of the whole text.  On ASCII that is `rouge_score`.
    The interval of BLEU and chrF is by resampling the n-gram counts of texts.

    Raises ``MissingExtra`` without sacrebleu.
    """
    if len(texts) != len(references):
        raise ValueError(f"{len(texts)} texts and {len(references)} references are not pairs")
    sacrebleu = need("sacrebleu", extra="eval", why="measuring generated text by BLEU and chrF")
    # force: text that looks tokenised is scored as it is, without a word on stderr
    makers = {
        "bleu": sacrebleu.metrics.BLEU(tokenize=tokenize, force=True),
        "chrf": sacrebleu.metrics.CHRF(),
    }
    # What sacrebleu's own significance tests are made of: counts by text, and a score of sums.
    stats = {
        name: np.array(maker._extract_corpus_statistics(texts, [references]), dtype=np.float64)
        for name, maker in makers.items()
    }
    found = [overlap(text, other) for text, other in zip(texts, references, strict=True)]
    means = mean_score(**{name: np.array([one[name] for one in found]) for name in _OVERLAPS})

    def score(weights_DN: np.ndarray) -> dict[str, np.ndarray]:
        out = {}
        for name, maker in makers.items():
            sums = (weights_DN @ stats[name]).round().astype(np.int64).tolist()
            out[name] = np.array([maker._compute_score_from_stats(row).score for row in sums])
        return {**out, **means(weights_DN)}

    signatures = {name: str(maker.get_signature()) for name, maker in makers.items()}
    return Generation(measured(score, len(texts), seed=seed), signatures, score)


def overlap(text: str, reference: str) -> dict[str, float]:
    """Exact match, and the F of ROUGE-1, ROUGE-2 and ROUGE-L (Lin 2004) of one text."""
    ours, theirs = _WORD.findall(text.lower()), _WORD.findall(reference.lower())
    return {
        "exact_match": float(text.strip() == reference.strip()),
        "rouge1": _f_of_grams(ours, theirs, 1),
        "rouge2": _f_of_grams(ours, theirs, 2),
        "rougeL": _f(_longest_common(ours, theirs), len(ours), len(theirs)),
    }


def _f_of_grams(ours: list[str], theirs: list[str], n: int) -> float:
    mine, other = (Counter(zip(*(x[i:] for i in range(n)), strict=False)) for x in (ours, theirs))
    return _f((mine & other).total(), mine.total(), other.total())


def _longest_common(ours: list[str], theirs: list[str]) -> int:
    """Length of the longest common subsequence, a row at a time in the bits of one number.

    Source  Hyyro, "Bit-parallel LCS-length computation revisited", 2004.
    """
    places: dict[str, int] = {}
    for i, word in enumerate(ours):
        places[word] = places.get(word, 0) | 1 << i
    ones = row = (1 << len(ours)) - 1
    for word in theirs:
        met = row & places.get(word, 0)
        row = (row + met | row - met) & ones
    return len(ours) - row.bit_count()


def _f(shared: int, ours: int, theirs: int) -> float:
    return 2 * shared / (ours + theirs) if shared else 0.0
