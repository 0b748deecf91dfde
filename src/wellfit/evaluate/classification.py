"""How well labels are told: from the scores of each class to metrics with their intervals.

Dims: D draws, N examples, C classes, B bins.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from wellfit.evaluate.metric import Score, or_none
from wellfit.evaluate.ranks import auc, ranks_of, ratio

BINS = 15


def class_score(scores_NC: np.ndarray, labels_N: np.ndarray) -> Score:
    """Accuracy; precision, recall and F1; MCC; ROC-AUC; calibration error.

    Scores are log-probabilities or logits.  Macro is the mean over the classes that occur, as
    label or as prediction (scikit-learn's default), weighted that by their number of texts, and
    micro pools all decisions.  MCC is Gorodkin's for C classes.  ROC-AUC is of the second of two
    classes, or the mean of each class against the rest, where there is a rest.  The calibration
    error is the expected one (arXiv:1706.04599): the mean distance of accuracy and confidence in
    the likeliest class over ``BINS`` equal bins of confidence, weighted by the texts in each.
    """
    log_NC, labels_N = _checked(scores_NC, labels_N)
    n_classes = log_NC.shape[1]
    each = np.eye(n_classes)
    truth_NC, predicted_NC = each[labels_N], each[log_NC.argmax(axis=1)]
    confidence_N, bin_N = _confidence(log_NC)
    gap_N = confidence_N - (truth_NC * predicted_NC).sum(axis=1)
    gap_NB = np.eye(BINS)[bin_N] * gap_N[:, None]
    stats = np.hstack((truth_NC, predicted_NC, truth_NC * predicted_NC, gap_NB))
    asked = [1] if n_classes == 2 else range(n_classes)
    ranks_C = {c: ranks_of(_odds(log_NC, c)) for c in asked}

    def score(weights_DN: np.ndarray) -> dict[str, np.ndarray]:
        n_D = weights_DN.sum(axis=1)
        parts = np.split(weights_DN @ stats, n_classes * np.arange(1, 4), axis=1)
        held_DC, predicted_DC, right_DC, gap_DB = parts
        occurs_DC = held_DC + predicted_DC > 0
        areas = [auc(ranks, truth_NC[:, c], weights_DN) for c, ranks in ranks_C.items()]
        return {
            "accuracy": right_DC.sum(axis=1) / n_D,
            **_averages(held_DC, predicted_DC, right_DC, occurs_DC),
            "mcc": _mcc(held_DC, predicted_DC, right_DC),
            "roc_auc": _mean_defined(areas),
            "calibration_error": np.abs(gap_DB).sum(axis=1) / n_D,
        }

    return score


def class_report(
    scores_NC: np.ndarray, labels_N: np.ndarray, names: Sequence[str]
) -> dict[str, Any]:
    """Confusion matrix, a row for each class, and how far confidence can be relied on.

    Rows of the matrix are the truth, columns what was predicted.  Calibration has a row for each
    of the ``BINS`` equal parts of confidence from 0 to 1.
    """
    log_NC, labels_N = _checked(scores_NC, labels_N)
    n_classes, one = log_NC.shape[1], np.ones((1, len(labels_N)))
    predicted_N = log_NC.argmax(axis=1)
    cells = np.bincount(labels_N * n_classes + predicted_N, minlength=n_classes**2)
    confusion = cells.reshape(n_classes, n_classes)
    right_C, held_C, predicted_C = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
    classes = [
        {
            "name": name,
            "n": int(held_C[c]),
            "predicted": int(predicted_C[c]),
            "precision": float(ratio(right_C[c], predicted_C[c])),
            "recall": float(ratio(right_C[c], held_C[c])),
            "f1": float(ratio(2 * right_C[c], held_C[c] + predicted_C[c])),
            "roc_auc": or_none(float(auc(ranks_of(_odds(log_NC, c)), labels_N == c, one)[0])),
        }
        for c, name in enumerate(names)
    ]
    confidence_N, bin_N = _confidence(log_NC)
    weights = (None, confidence_N, predicted_N == labels_N)
    n_B, sure_B, right_B = (np.bincount(bin_N, weights=w, minlength=BINS) for w in weights)
    calibration = [
        {
            "lo": b / BINS,
            "hi": (b + 1) / BINS,
            "n": int(n),
            "confidence": float(sure_B[b] / n) if n else None,
            "accuracy": float(right_B[b] / n) if n else None,
        }
        for b, n in enumerate(n_B)
    ]
    counts = {"labels": names, "counts": confusion.tolist()}
    return {"confusion": counts, "per_class": classes, "calibration": calibration}


def label_score(scores_NC: np.ndarray, targets_NC: np.ndarray, names: Sequence[str]) -> Score:
    """Subset accuracy (every label right); precision, recall and F1; ROC-AUC, also by label.

    Scores are logits, so a label above 0 is predicted; targets are 0 and 1.  Macro is the mean
    over all labels, also those that never occur.
    """
    if scores_NC.shape != targets_NC.shape or scores_NC.ndim != 2:
        raise ValueError(
            "label_score wants scores (N, C) and targets (N, C), "
            f"got {scores_NC.shape} and {targets_NC.shape}"
        )
    truth_NC, predicted_NC = targets_NC > 0, scores_NC > 0
    whole_N = (truth_NC == predicted_NC).all(axis=1)
    stats = np.hstack((truth_NC, predicted_NC, truth_NC & predicted_NC, whole_N[:, None]))
    stats = stats.astype(np.float64)
    ranks_C = [ranks_of(scores_N) for scores_N in scores_NC.T]

    def score(weights_DN: np.ndarray) -> dict[str, np.ndarray]:
        parts = np.split(weights_DN @ stats, len(names) * np.arange(1, 4), axis=1)
        held_DC, predicted_DC, right_DC, whole_D1 = parts
        areas = [auc(r, truth_NC[:, c], weights_DN) for c, r in enumerate(ranks_C)]
        return {
            "subset_accuracy": whole_D1[:, 0] / weights_DN.sum(axis=1),
            **_averages(held_DC, predicted_DC, right_DC, np.ones_like(held_DC)),
            "roc_auc": _mean_defined(areas),
            **{f"roc_auc_{name}": area for name, area in zip(names, areas, strict=True)},
        }

    return score


def _checked(scores_NC: np.ndarray, labels_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities in float64, and labels as indices."""
    if scores_NC.ndim != 2 or labels_N.shape != scores_NC.shape[:1]:
        raise ValueError(
            "classification wants scores (N, C) and labels (N,), "
            f"got {scores_NC.shape} and {labels_N.shape}"
        )
    scores_NC = scores_NC.astype(np.float64)
    scores_NC = scores_NC - scores_NC.max(axis=1, keepdims=True)
    total_N1 = np.exp(scores_NC).sum(axis=1, keepdims=True)
    return scores_NC - np.log(total_N1), labels_N.astype(np.int64)


def _odds(log_NC: np.ndarray, c: int) -> np.ndarray:
    """Log-odds of a class: unlike its probability, no two are rounded to the same 1."""
    rest_NC = np.delete(log_NC, c, axis=1)
    top_N = rest_NC.max(axis=1)
    return log_NC[:, c] - top_N - np.log(np.exp(rest_NC - top_N[:, None]).sum(axis=1))


def _confidence(log_NC: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The probability of the likeliest class, and which bin it is in."""
    confidence_N = np.exp(log_NC.max(axis=1))
    return confidence_N, np.minimum((confidence_N * BINS).astype(np.int64), BINS - 1)


def _averages(
    held_DC: np.ndarray, predicted_DC: np.ndarray, right_DC: np.ndarray, counts_DC: np.ndarray
) -> dict[str, np.ndarray]:
    """Precision, recall and F1; macro over the classes that count."""
    kinds = {
        "precision": (right_DC, predicted_DC),
        "recall": (right_DC, held_DC),
        "f1": (2 * right_DC, held_DC + predicted_DC),
    }
    out = {}
    for name, (part_DC, whole_DC) in kinds.items():
        value_DC = ratio(part_DC, whole_DC)
        out[f"{name}_macro"] = ratio((value_DC * counts_DC).sum(axis=1), counts_DC.sum(axis=1))
        out[f"{name}_micro"] = ratio(part_DC.sum(axis=1), whole_DC.sum(axis=1))
        out[f"{name}_weighted"] = ratio((value_DC * held_DC).sum(axis=1), held_DC.sum(axis=1))
    return out


def _mcc(held_DC: np.ndarray, predicted_DC: np.ndarray, right_DC: np.ndarray) -> np.ndarray:
    n_D = held_DC.sum(axis=1)
    covered_D = right_DC.sum(axis=1) * n_D - (held_DC * predicted_DC).sum(axis=1)
    spread_D = [n_D**2 - (x_DC**2).sum(axis=1) for x_DC in (held_DC, predicted_DC)]
    return ratio(covered_D, np.sqrt(spread_D[0] * spread_D[1]))


def _mean_defined(values: Sequence[np.ndarray]) -> np.ndarray:
    found = np.stack(values)
    defined = ~np.isnan(found)
    total_D = np.where(defined, found, 0.0).sum(axis=0)
    return ratio(total_D, defined.sum(axis=0), empty=np.nan)
