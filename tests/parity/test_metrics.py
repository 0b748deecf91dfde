"""Published figures, on the published files."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from wellfit.evaluate.classification import class_score
from wellfit.evaluate.generation import generation_metrics
from wellfit.evaluate.linear import linear_classifier, linear_regressor
from wellfit.evaluate.metric import measured
from wellfit.evaluate.regression import regression_score


def labelled(path: Path, mark: str) -> tuple[list[str], list[str]]:
    rows = [line.split(mark, 1) for line in path.read_text("latin-1").split("\n") if line]
    return [row[0] for row in rows], [row[1] for row in rows]


def trec(folder: Path, split: str) -> tuple[list[str], list[str]]:
    labels, rest = labelled(folder / "trec" / f"{split}.txt", ":")
    return labels, [text.split(" ", 1)[1] for text in rest]


def sst2(folder: Path, split: str) -> tuple[list[str], list[str]]:
    return labelled(folder / "sst2" / f"{split}.txt", " ")


@pytest.mark.parametrize(
    ("read", "accuracy", "f1_macro"), [(trec, 0.908, 0.903), (sst2, 0.813, None)]
)
def test_the_linear_baseline_is_the_one_that_was_measured(
    read, accuracy, f1_macro, shared_data
) -> None:
    pytest.importorskip("sklearn")
    (labels, texts), (truth, others) = read(shared_data, "train"), read(shared_data, "test")
    names, train = np.unique(labels, return_inverse=True)
    scores = linear_classifier(texts, train, len(names))(others)
    found = measured(class_score(scores, np.searchsorted(names, truth)), len(truth))
    assert round(found["accuracy"].value, 3) == accuracy
    assert found["accuracy"].n == len(others)
    if f1_macro is not None:
        assert round(found["f1_macro"].value, 3) == f1_macro


def test_the_linear_baseline_of_numbers_is_the_one_that_was_measured(shared_data) -> None:
    pytest.importorskip("sklearn")
    with (shared_data / "emobank" / "emobank.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    train, test = ([row for row in rows if row["split"] == name] for name in ("train", "test"))
    targets, truth = (
        np.array([[float(row[k]) for k in "VA"] for row in part]) for part in (train, test)
    )
    predict = linear_regressor([row["text"] for row in train], targets)
    score = regression_score(predict([row["text"] for row in test]), truth, "VA")
    found = measured(score, len(truth))
    assert round(found["pearson_V"].value, 3) == 0.508
    assert round(found["pearson_A"].value, 3) == 0.272


@pytest.mark.parametrize(
    ("system", "bleu"),
    [("LIUM", 21.61), ("uedin-nmt", 23.39), ("C-3MA", 17.72), ("online-F", 11.71)],
)
def test_bleu_of_wmt17_systems_is_the_published_one(system, bleu, shared_data) -> None:
    pytest.importorskip("sacrebleu")
    path = shared_data / "fixtures_sacrebleu" / "wmt17_en_de_systems.json.gz"
    found = dict(json.loads(gzip.decompress(path.read_bytes())))
    texts = next(
        lines for name, lines in found.items() if f".{system}." in name.replace("-NMT", "")
    )
    metric = generation_metrics(texts, found["reference"][0], tokenize="none").metrics["bleu"]
    assert round(metric.value, 2) == bleu
    assert metric.ci95[0] < bleu < metric.ci95[1] and metric.n == 3004


@pytest.mark.parametrize(("system", "bleu"), [("sys1", 22.44), ("sys2", 24.04)])
def test_bleu_of_ted_talks_is_the_published_one(system, bleu, shared_data) -> None:
    pytest.importorskip("sacrebleu")
    sides = [
        (shared_data / "fixtures_comparemt" / f"ted.{name}.eng").read_text("utf-8").split("\n")[:-1]
        for name in (system, "ref")
    ]
    metric = generation_metrics(*sides, tokenize="none").metrics["bleu"]
    # published by another tool, in two decimals
    assert metric.value == pytest.approx(bleu, abs=0.02)
    assert metric.n == 2445
