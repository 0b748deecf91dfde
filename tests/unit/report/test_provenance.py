"""Where a run came from, as rows of a page."""

from __future__ import annotations

from tests.example_run import DATA, EXPLAINED
from wellfit.report.provenance import audit, recipe_lines


def test_what_is_known_per_split_stands_in_columns():
    found = audit(DATA)
    table = dict(found.table)
    # one column per split, in the order in which they are used
    assert found.columns == ["train", "val", "test"]
    assert table["tokens"] == ["1,003,854", "55,770", "55,770"]
    # nested numbers become rows of their own, shares are percent, gaps are dashes
    assert table["overlap"] == ["\u2013", "0.21%", "0.18%"]
    assert table["overlap windows"] == ["\u2013", "55,696", "55,696"]


def test_the_rest_are_facts():
    facts = {fact.name: fact.text for fact in audit(DATA).facts}
    # zero is something known; empty is nothing to say
    assert facts["skipped records"] == "0" and "skipped kinds" not in facts
    assert facts["duplicates dropped"] == "yes" and facts["duplicates counted"] == "100%"
    assert facts["fingerprint"] == "9f2b7c4e1d3a" and "tokenizer eos id" not in facts


def test_any_audit_has_a_page():
    # what another version wrote is shown as it is
    assert audit({}) == ([], [], [])
    assert audit({"a": {"b": [1, 2]}, "splits": {"dev": {"n": 1}}}) == (
        ["dev"], [("n", ["1"])], [("a b", "1, 2")],
    )  # fmt: skip


def test_defaults_are_apart_from_what_somebody_decided():
    decided, defaults = recipe_lines({"explained": EXPLAINED})
    # each line once
    assert len(decided) + len(defaults) == len(EXPLAINED)
    assert {line["origin"] for line in defaults} == {"default"}
    assert "optim.lr" in {line["key"] for line in decided}


def test_the_folder_of_a_recipe_is_left_out():
    decided, _ = recipe_lines(
        {"explained": [{"key": "a", "value": 1, "origin": "/x/y/r.yaml:3:4"}]}
    )
    # it says nothing on another machine
    assert decided[0]["origin"] == "r.yaml:3:4"
