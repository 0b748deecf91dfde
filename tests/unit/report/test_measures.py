"""The metrics of a task: their names, digits and order."""

from __future__ import annotations

import io
import math

import pytest
from rich.console import Console

from tests.example_run import build_example_run
from wellfit.cli import tables
from wellfit.report import measures
from wellfit.store import read_run


def _measured(*names: str) -> dict:
    metrics = {name: {"value": 0.5, "ci95": [None, None], "n": 1} for name in names}
    ends = {"perplexity": [2.0, 4.0], "bits_per_byte": [1.0, 2.0]}
    return {"metrics": metrics, "perplexity": 3.0, "bits_per_byte": 1.5, "ci95": ends,
            "n_tokens": 7}  # fmt: skip


@pytest.mark.parametrize(
    ("task", "there", "first"),
    [
        ("language-model", (), "bits per byte"),
        ("complete", ("chrf", "bleu"), "BLEU"),
        ("complete", (), "perplexity"),
        ("chat", ("bleu",), "perplexity"),
        ("classify", ("f1_macro", "accuracy"), "accuracy"),
        ("classify", ("f1_macro", "subset_accuracy"), "every label right"),
        ("regress", ("mse", "pearson"), "Pearson's r"),
        ("regress", ("mse_a", "pearson_a", "pearson_b"), "Pearson's r, a"),
    ],
)
def test_each_task_has_its_headline(task, there, first):
    assert measures.telling(task, _measured(*there))[0].name == first


def test_a_few_tell_and_none_is_lost():
    many = [f"{m}_{t}" for m in ("mae", "pearson", "r2") for t in "abc"] + ["new_score"]
    told = measures.told("regress", _measured(*many))
    # all of them, the most telling first, what is unknown last
    assert len(told) == 10 and [t.key for t in told][0::9] == ["pearson_a", "new_score"]
    assert len(measures.telling("regress", _measured(*many))) == 5


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("f1_macro", "macro F1"), ("precision_weighted", "weighted precision"),
        ("roc_auc_toxic", "ROC-AUC, toxic"), ("calibration_error", "calibration error"),
        ("rouge1", "ROUGE-1"), ("new_score", "new score"),
    ],
)  # fmt: skip
def test_keys_become_names(key, name):
    assert measures.name_of(key) == name


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("bleu", 33.18, "33.2"), ("accuracy", 0.9081, "0.908"), ("mse_age", 0.00031, "0.000310"),
        ("mse", 0.0756, "0.076"), ("mae", 12345.6, "12,346"), ("pearson", None, "\u2013"),
        ("perplexity", 5.537, "5.54"),
    ],
)  # fmt: skip
def test_digits_suit_the_metric(key, value, text):
    assert measures.text_of(key)(value) == text


def test_counts_say_of_what():
    one = {"metrics": {"bleu": {"value": 1.0, "ci95": [0.9, 1.1], "n": 1}}}
    both = {t.key: t.n for t in measures.told("complete", {**_measured(), **one})}
    # perplexity is of tokens, BLEU of texts
    assert both == {"bleu": "1 text", "perplexity": "7 learned tokens"}


@pytest.mark.parametrize(
    ("task", "unit", "kind", "text"),
    [
        ("language-model", "nats", None, "nats per token"),
        ("chat", "nats", None, "nats per learned token"),
        ("classify", "nats", None, "nats per text"),
        ("regress", "deviations", "mse", "squared deviations per text"),
        ("regress", "deviations", "mae", "deviations per text"),
        # bent, or of a run whose recipe is not at hand
        ("regress", "deviations", "huber", "scaled error per text"),
        ("regress", "deviations", None, "scaled error per text"),
    ],
)
def test_a_loss_has_a_unit(task, unit, kind, text):
    assert measures.loss_unit({"task": task, "unit": unit}, kind) == text


def test_what_is_not_there_is_not_said():
    summary = {"task": "classify", "outcomes": None, "test": None, "val": None}
    assert measures.linear(summary) == {}
    assert measures.headline(summary, "test") is None
    assert measures.headline_name(summary) == "accuracy"


@pytest.mark.parametrize(
    ("kind", "rows"),
    [
        ("classify", ["loss (nats per text) 0.3747", "accuracy 0.874 0.848 to 0.900 500 texts",
                      "prior loss 1.6512"]),
        ("complete", ["BLEU 33.2 31.8 to 34.5 1,000 texts", "chrF 57.4 56.4 to 58.5 1,000 texts",
                      "perplexity 5.96 5.76 to 6.16 13,000 learned tokens"]),
        ("well-fit", ["bits per byte 2.264 2.244 to 2.284 55,770 tokens"]),
    ],
)  # fmt: skip
def test_eval_prints_each_metric_with_its_interval_and_count(tmp_path, monkeypatch, kind, rows):
    view = read_run(build_example_run(tmp_path / kind, kind=kind).path)
    out, summary = io.StringIO(), view.summary()
    monkeypatch.setattr(tables, "_console", lambda: Console(file=out, width=120))
    kept = {key: summary[key] for key in ("task", "baselines")}
    kept["loss_unit"] = measures.loss_unit(summary)
    tables.evaluation_table({"run": "r", **view.evaluations("test")[-1].as_dict(), **kept})
    tables.runs_table([summary], tmp_path)
    printed = [" ".join(row.split()) for row in out.getvalue().splitlines()]
    assert [row for row in rows if not any(p.startswith(row) for p in printed)] == []
    # and the list of runs shows the number that the task is judged by
    assert f"{measures.headline(summary, 'test').value} " in printed[-1]


def test_numbers_that_are_none_are_blank():
    nothing = {**_measured(), "perplexity": math.nan}
    assert measures.told("chat", nothing)[0].value == "nan"
    assert measures.told("chat", {**nothing, "perplexity": None})[0].value == "\u2013"
