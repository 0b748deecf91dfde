"""Every metric of labels is scikit-learn's, on random and on degenerate answers."""

from __future__ import annotations

import json

import numpy as np
import pytest

from wellfit.evaluate.classification import class_report, class_score, label_score
from wellfit.evaluate.metric import Metric, measured
from wellfit.probe import resamples

sk = pytest.importorskip("sklearn.metrics")


def class_metrics(scores: np.ndarray, labels: np.ndarray) -> dict[str, Metric]:
    return measured(class_score(scores, labels), len(labels))


def answers(kind: str, n_classes: int = 4, n: int = 120) -> tuple[np.ndarray, np.ndarray]:
    """Scores that are right more often than not, and labels, with something missing."""
    rng = np.random.default_rng(n_classes)
    labels = rng.integers(0, n_classes, n)
    scores = rng.normal(0, 1, (n, n_classes)) + 1.2 * np.eye(n_classes)[labels]
    match kind:
        case "a class never predicted":
            scores[:, 1] -= 50
        case "a class absent":
            labels[labels == 1] = 0
        case "neither seen nor predicted":
            labels[labels == 1] = 0
            scores[:, 1] -= 50
        case "always the same answer":
            scores[:, 0] += 12
    return scores, labels


def probabilities(scores: np.ndarray) -> np.ndarray:
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def by_sklearn(scores: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    predicted, n_classes = scores.argmax(axis=1), scores.shape[1]
    out = {"accuracy": sk.accuracy_score(labels, predicted)}
    for average in ("macro", "micro", "weighted"):
        found = sk.precision_recall_fscore_support(
            labels, predicted, average=average, zero_division=0
        )
        names = [f"{kind}_{average}" for kind in ("precision", "recall", "f1")]
        out |= dict(zip(names, found[:3], strict=True))
    out["mcc"] = sk.matthews_corrcoef(labels, predicted)
    chances = probabilities(scores)
    there = [1] if n_classes == 2 else [c for c in range(n_classes) if (labels == c).any()]
    out["roc_auc"] = np.mean([sk.roc_auc_score(labels == c, chances[:, c]) for c in there])
    return out


KINDS = [
    "random",
    "a class never predicted",
    "a class absent",
    "neither seen nor predicted",
    "always the same answer",
]


# of two classes one absent leaves one, which has no AUC
@pytest.mark.parametrize(
    ("kind", "n_classes"), [*((kind, 4) for kind in KINDS), (KINDS[0], 2), (KINDS[1], 2)]
)
def test_each_value_is_scikit_learns(kind: str, n_classes: int) -> None:
    scores, labels = answers(kind, n_classes)
    ours = class_metrics(scores, labels)
    theirs = by_sklearn(scores, labels)
    assert {name: ours[name].value for name in theirs} == pytest.approx(theirs, abs=1e-12)
    assert all(metric.n == 120 for metric in ours.values())


@pytest.mark.parametrize("kind", KINDS)
def test_each_draw_is_scored_as_scikit_learn_scores_the_resample(kind: str) -> None:
    scores, labels = answers(kind)
    weights = next(iter(resamples(120)))[:5]
    ours = class_score(scores, labels)(weights)
    for draw, weight in enumerate(weights):
        sample = np.repeat(np.arange(120), weight.astype(int))
        theirs = by_sklearn(scores[sample], labels[sample])
        # so intervals are those of calling scikit-learn a thousand times
        assert {name: ours[name][draw] for name in theirs} == pytest.approx(theirs, abs=1e-12)


def test_more_classes_than_sklearn_averages_over() -> None:
    scores, labels = answers("random", 5)
    theirs = sk.roc_auc_score(labels, probabilities(scores), multi_class="ovr", average="macro")
    assert class_metrics(scores, labels)["roc_auc"].value == pytest.approx(theirs)


def test_intervals_hold_the_value_and_narrow_with_more_examples() -> None:
    few, many = (class_metrics(*answers("random", n=n)) for n in (100, 1600))
    for name in few.keys() - {"calibration_error"}:  # which resampling moves upwards
        for metric in (few[name], many[name]):
            assert metric.ci95[0] < metric.value < metric.ci95[1]
        widths = [metric.ci95[1] - metric.ci95[0] for metric in (few[name], many[name])]
        # by a factor of 4 in expectation
        assert 2.5 < widths[0] / widths[1] < 6


def test_one_class_alone_has_no_auc_and_no_warning() -> None:
    found = class_metrics(np.array([[1.0, 0.0]] * 5), np.zeros(5, dtype=np.int64))
    assert np.isnan(found["roc_auc"].value) and np.isnan(found["roc_auc"].ci95).all()
    assert found["accuracy"].value == 1.0


def test_certain_answers_keep_their_order() -> None:
    # as probabilities, both are 1
    scores = np.array([[0.0, 800.0], [0.0, 900.0], [0.0, 850.0]])
    assert class_metrics(scores, np.array([0, 1, 1]))["roc_auc"].value == 1.0


def test_calibration_by_hand() -> None:
    # confidence 0.9 four times, right three times; 0.6 twice, right once
    chances = np.array([[0.9, 0.1]] * 4 + [[0.4, 0.6]] * 2)
    labels = np.array([0, 0, 0, 1, 1, 0])
    found = class_metrics(np.log(chances), labels)["calibration_error"]
    assert found.value == pytest.approx(4 / 6 * (0.9 - 0.75) + 2 / 6 * (0.6 - 0.5))
    rows = {row["n"]: row for row in class_report(np.log(chances), labels, "ab")["calibration"]}
    assert (rows[4]["lo"], rows[4]["hi"]) == (13 / 15, 14 / 15)
    assert rows[4]["confidence"] == pytest.approx(0.9) and rows[4]["accuracy"] == 0.75
    assert rows[0]["confidence"] is None
    calibrated = class_metrics(np.log(np.full((10, 2), 0.5)), np.arange(10) % 2)
    # a coin that knows it is one
    assert calibrated["calibration_error"].value == pytest.approx(0, abs=1e-12)


def test_the_report_is_scikit_learns_too() -> None:
    scores, labels = answers("a class never predicted")
    report = class_report(scores, labels, ["a", "b", "c", "d"])
    predicted = scores.argmax(axis=1)
    assert report["confusion"]["counts"] == sk.confusion_matrix(labels, predicted).tolist()
    theirs = sk.classification_report(
        labels, predicted, target_names=list("abcd"), output_dict=True, zero_division=0
    )
    for row in report["per_class"]:
        other = theirs[row["name"]]
        assert row["n"] == other["support"]
        values = {kind: row[kind] for kind in ("precision", "recall", "f1")}
        assert values == pytest.approx({k: other[k.replace("f1", "f1-score")] for k in values})
    # what the record holds is JSON
    assert json.loads(json.dumps(report, allow_nan=False)) == report


def several(degenerate: bool) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(8)
    targets = rng.integers(0, 2, (150, 3))
    scores = rng.normal(0, 1, (150, 3)) + targets - 0.5
    if degenerate:
        scores[:, 2] = -5.0  # never predicted
    return scores, targets


@pytest.mark.parametrize("degenerate", [False, True])
def test_several_labels_a_text_are_scored_as_by_scikit_learn(degenerate: bool) -> None:
    scores, targets = several(degenerate)
    weights = np.concatenate((np.ones((1, 150)), next(iter(resamples(150)))[:3]))
    ours = label_score(scores, targets, "abc")(weights)
    for draw, weight in enumerate(weights):
        sample = np.repeat(np.arange(150), weight.astype(int))
        truth, predicted = targets[sample], (scores[sample] > 0).astype(int)
        theirs = {"subset_accuracy": sk.accuracy_score(truth, predicted)}
        for average in ("macro", "micro", "weighted"):
            f1 = sk.f1_score(truth, predicted, average=average, zero_division=0)
            recall = sk.recall_score(truth, predicted, average=average, zero_division=0)
            theirs |= {f"f1_{average}": f1, f"recall_{average}": recall}
        theirs["roc_auc"] = sk.roc_auc_score(truth, scores[sample], average="macro")
        for c, name in enumerate("abc"):
            theirs[f"roc_auc_{name}"] = sk.roc_auc_score(truth[:, c], scores[sample][:, c])
        assert {name: ours[name][draw] for name in theirs} == pytest.approx(theirs, abs=1e-12)


def test_shapes_that_do_not_fit_are_named() -> None:
    with pytest.raises(ValueError, match=r"got \(3, 2\) and \(2,\)"):
        class_score(np.zeros((3, 2)), np.zeros(2))
    with pytest.raises(ValueError, match=r"got \(3, 2\) and \(3,\)"):
        label_score(np.zeros((3, 2)), np.zeros(3), "ab")
