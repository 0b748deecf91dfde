"""What a user would pick instead of a network: TF-IDF of words with a linear model.

Dims: N texts, C classes, K targets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from wellfit.errors import need

FromTexts = Callable[[Sequence[str]], np.ndarray]
"""Texts in; scores (N, C) or predictions (N, K) out."""

_WHY = "the linear baseline"


def linear_classifier(texts: Sequence[str], labels_N: np.ndarray, n_classes: int) -> FromTexts:
    """Scores of each class by a linear SVM (C 1) on TF-IDF of words and pairs of words.

    Words are what stands between white space, lower-cased; counts are taken by their logarithm.
    A class that the train texts lack scores below every other.

    Raises ``MissingExtra`` without scikit-learn.
    """
    to_rows, rows = _features(texts, token_pattern=r"\S+")
    scores = _separated(rows, labels_N, n_classes)
    return lambda others: scores(to_rows(others))


def linear_labeller(texts: Sequence[str], targets_NC: np.ndarray) -> FromTexts:
    """The same with several labels a text: one linear SVM for each; above 0 is predicted."""
    to_rows, rows = _features(texts, token_pattern=r"\S+")
    each = [_separated(rows, column.astype(np.int64), 2) for column in targets_NC.T]

    def scores(others: Sequence[str]) -> np.ndarray:
        found = to_rows(others)
        return np.stack([one(found)[:, 1] for one in each], axis=1)

    return scores


def linear_regressor(texts: Sequence[str], targets_NK: np.ndarray) -> FromTexts:
    """Predictions by ridge regression (alpha 2) on TF-IDF of words and pairs that occur twice.

    Words are scikit-learn's: two letters or more, lower-cased; counts by their logarithm.

    Raises ``MissingExtra`` without scikit-learn.
    """
    to_rows, rows = _features(texts, min_df=2)
    linear_model = need("sklearn.linear_model", extra="eval", why=_WHY)
    model = linear_model.Ridge(alpha=2.0).fit(rows, targets_NK)
    return lambda others: model.predict(to_rows(others)).reshape(len(others), -1)


def _features(texts: Sequence[str], **how: Any) -> tuple[Callable[[Sequence[str]], Any], Any]:
    """A function from texts to rows of TF-IDF, and the rows of those it was fitted to."""
    words = need("sklearn.feature_extraction.text", extra="eval", why=_WHY)
    sparse = need("scipy.sparse", extra="eval", why=_WHY)
    tfidf = words.TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, **how)
    try:
        rows = tfidf.fit_transform(texts)
    except ValueError:  # no words, or none that occurs twice: then only the intercept is left

        def empty(others: Sequence[str]) -> Any:
            return sparse.csr_matrix((len(others), 1))

        return empty, empty(texts)
    return tfidf.transform, rows


def _separated(rows: Any, labels_N: np.ndarray, n_classes: int) -> Callable[[Any], np.ndarray]:
    """Scores of rows by a linear SVM, one class against the rest."""
    found_C = np.unique(labels_N)
    if len(found_C) == 1:  # which a support vector machine refuses
        row = np.where(np.arange(n_classes) == found_C[0], 1.0, -1.0)
        return lambda others: np.tile(row, (others.shape[0], 1))
    svm = need("sklearn.svm", extra="eval", why=_WHY)
    model = svm.LinearSVC(C=1.0, random_state=0).fit(rows, labels_N)

    def scores(others: Any) -> np.ndarray:
        found = model.decision_function(others)
        out_NC = np.full((others.shape[0], n_classes), found.min() - 1.0)
        out_NC[:, found_C] = np.stack((-found, found), axis=1) if found.ndim == 1 else found
        return out_NC

    return scores
