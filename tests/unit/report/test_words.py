"""Numbers and codes in words."""

from __future__ import annotations

import math
from typing import get_args

import pytest

from wellfit.report import words
from wellfit.store import Status


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "off"), (True, "yes"), (3, "3"), (55_770, "55,770"), (0.02, "0.02"),
        (1.5571382, "1.557"), (-0.0155, "-0.0155"), (2.0, "2"), (math.nan, "not a number"),
        (math.inf, "infinite"), (3e-05, "3e-05"), ([], "none"), ({}, "none"),
        ([1, "a"], "1, a"), ({"n_blocks": 64}, "blocks 64"), ("text", "text"),
    ],
)  # fmt: skip
def test_values_read_naturally(value, text):
    assert words.value_text(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(4.7453, "4.75"), (65.0, "65.0"), (11.6, "11.6"), (512.3, "512"), (50257.2, "50,257"),
     (math.inf, "inf"), (None, "\u2013")],
)  # fmt: skip
def test_perplexities_have_three_figures(value, text):
    assert words.perplexity_text(value) == text


def test_intervals_need_both_ends():
    assert words.interval_text([1.5, 1.6]) == "1.500 to 1.600"
    # half an interval says nothing
    assert words.interval_text([1.5, None]) == words.interval_text([math.nan, 2.0]) == ""


@pytest.mark.parametrize(
    ("value", "typed"),
    [
        (2, "train.x=2"), (None, "train.x=null"), (True, "train.x=true"), (0.2, "train.x=0.2"),
        ("4 minutes", "train.x='4 minutes'"), ({"a": 1}, "train.x='{\"a\": 1}'"),
        ("muon", "train.x=muon"),
    ],
)  # fmt: skip
def test_changes_can_be_typed(value, typed):
    # as YAML for the recipe, quoted for the shell
    assert words.override_text("train.x", value) == typed


@pytest.mark.parametrize(
    ("text", "told"), [("val fell", "Val fell."), ("Done.", "Done."), ("", ""), ("why?", "Why?")]
)
def test_sentences_begin_and_end(text, told):
    assert words.sentence(text) == told


@pytest.mark.parametrize("status", [*get_args(Status), "crashed"])
def test_every_status_has_words(status):
    summary = {"verdict": None, "status": status, "step": 84, "steps_total": 720}
    # without a verdict the run still says how it stands
    told = words.headline(summary)
    assert told.title[0].isupper() and "84 of 720" in told.claim


def test_every_verdict_has_a_meaning():
    # the codes of the contract
    codes = "well-fit overfit underfit undertrained diverged no-signal undecided".split()
    assert list(words.MEANINGS) == codes
    for code in codes:
        told = words.headline({"verdict": {"code": code, "claim": "x"}})
        assert told.meaning and told.tone in ("good", "warn", "stop", "plain")


def test_a_claim_does_not_repeat_its_title():
    verdict = {"code": "well-fit", "claim": "Well fit: val changed by 0.001 nats."}
    assert words.headline({"verdict": verdict}).claim == "Val changed by 0.001 nats."


def test_the_numbers_that_decide_come_first():
    found = {"n_evaluations": 20, "mark_loss": 2.4, "gain_per_tenth": 0.01, "train_loss": 1.4,
             "best_step": 640, "best_val_loss": 1.5, "val_loss": 1.6}  # fmt: skip
    # what a verdict rests on before what was counted on the way
    assert list(words.evidence({"evidence": found})) == [
        "val_loss", "train_loss", "best_val_loss", "best_step", "gain_per_tenth", "mark_loss",
        "n_evaluations",
    ]  # fmt: skip
    assert words.evidence({}) == {}


def test_wrapping_keeps_line_ends_and_folds_long_words():
    assert words.wrapped("ab cd\n\nef", 3) == ["ab", "cd", "", "ef"]
    # a word longer than the row is folded, not lost
    assert "".join(words.wrapped("x" * 25, 10)) == "x" * 25


def test_fingerprints_are_shortened_and_long_texts_cut():
    assert words.fact_text("ab" * 32) == "ab" * 6
    assert len(words.fact_text("word " * 200)) == 240


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("spent_s", 15.63, ("spent", "16 s")),
        ("memory_bytes", 25e9, ("memory", "25 GB")),
        ("gap_nats", 0.0612, ("gap", "0.0612 nats")),
        ("counted_frac", 0.5, ("counted", "50%")),
        ("tokens_per_s", 24_200, ("tokens per s", "24,200")),
        ("n_blocks", 64, ("blocks", "64")),
        ("gain_per_tenth", 0.0123, ("gain per 10% of the budget", "0.0123")),
        (
            "gain_per_tenth_ci95",
            [0.01, 0.02],
            ("gain per 10% of the budget 95% interval", "0.01, 0.02"),
        ),
        ("odd_name_", 1, ("odd name", "1")),
        ("spent_s", math.nan, ("spent s", "not a number")),
    ],
)
def test_units_come_from_the_end_of_a_name(key, value, told):
    # as the style guide names them
    assert words.named(key, value) == told


def test_confidence_never_rounds_up_to_certainty():
    assert [words.confidence(x) for x in (0.5, 0.944, 0.994, 0.996, 1.0)] == [
        "50%", "94%", "99%", "over 99%", "over 99%",
    ]  # fmt: skip
