"""What the labels of examples are, and how often each occurs."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from wellfit import config
from wellfit.data.examples import Form, targets_of
from wellfit.data.stream import Labels, Split
from wellfit.errors import DataError

_SHOWN = 20


def class_names(counts: Mapping[str, int]) -> tuple[str, ...]:
    """The labels in order: by number where all are whole numbers, else by name."""
    is_numeric = all(re.fullmatch(r"-?\d+", name) for name in counts)
    return tuple(sorted(counts, key=lambda name: (int(name) if is_numeric else 0, name)))


def labels_of(
    form: Form | None, splits: Mapping[str, Split], counts: Mapping[str, int]
) -> Labels | None:
    """What the numbers beside the examples mean; None for a task without labels.

    Raises ``DataError`` where nothing can be learned from them, or val or test have a label that
    train lacks.
    """
    if form is not None and form.known is not None:
        return form.known
    match form.task if form is not None else None:
        case config.Classify() as task:
            labels = Labels(class_names(counts), task.several)
            _check_classes(labels, splits)
            return labels
        case config.Regress() as task:
            numbers = splits["train"].labels
            assert numbers is not None
            means = numbers.mean(axis=0, dtype=np.float64)
            spread = numbers.std(axis=0, dtype=np.float64)
            names = targets_of(task)
            if not spread.all():
                name = names[int(np.argmin(spread))]
                raise DataError(f"{name!r} is one number throughout train; nothing can be learned")
            return Labels(names, False, tuple(means.tolist()), tuple(spread.tolist()))
        case _:
            return None


def class_counts(split: Split, labels: Labels) -> npt.NDArray[np.int64]:
    """How many examples of a split have each label.  Shapes: (n_classes,)."""
    assert split.labels is not None
    counts: npt.NDArray[np.int64]
    if labels.several:
        counts = split.labels.sum(axis=0, dtype=np.int64)
    else:
        counts = np.bincount(split.labels[:, 0].astype(np.int64), minlength=len(labels.names))
    return counts


def _check_classes(labels: Labels, splits: Mapping[str, Split]) -> None:
    found = {name: class_counts(split, labels) for name, split in splits.items()}
    learned = found["train"] > 0
    for name, counts in found.items():
        lacking = np.flatnonzero((counts > 0) & ~learned)
        if len(lacking):
            shown = ", ".join(f"{labels.names[i]!r} ({counts[i]:,})" for i in lacking[:_SHOWN])
            raise DataError(
                f"{name} has labels that train lacks, so that nothing could learn them: {shown}. "
                "Divide the data so that train has each (data.split), or leave those records out"
            )
    if learned.sum() < 2 - labels.several:
        shown = ", ".join(map(repr, labels.names)) or "none"
        raise DataError(
            f"task.label must have two values or more in train to tell apart; it has {shown}"
        )
