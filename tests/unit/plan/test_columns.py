"""Guesses about columns and files follow names and values, and say so where there is none."""

from __future__ import annotations

import re

import pytest

from tests.corpora import data_of, write
from wellfit.data import find_sources
from wellfit.plan.columns import FILL_IN, columns_for, line_pattern, split_column, split_files


def values(task: str, *records: dict[str, object], text: str | None = None) -> dict[str, object]:
    return {key: guess[0] for key, guess in columns_for(task, records, text).items()}


@pytest.mark.parametrize(
    ("task", "record", "wanted"),
    [
        ("complete", {"id": "1", "question": "a", "answer": "b"}, ("{question}\n", "answer")),
        (
            "complete",
            {"instruction": "a", "input": "", "output": "b"},
            ("{instruction}\n{input}\n", "output"),
        ),
        ("complete", {"en": "a", "de": "b"}, ("{en}\n", "de")),
        ("complete", {"a": "x", "b": "y", "c": "z"}, (FILL_IN, FILL_IN)),
        ("chat", {"messages": [{"role": "user", "content": "a"}]}, ("auto",)),
        ("chat", {"turns": [{"from": "human", "value": "a"}]}, ("turns",)),
        ("chat", {"question": "a", "answer": "b"}, (FILL_IN,)),
        ("classify", {"Sentence": "long text", "Label": 1}, ("Label", "Sentence")),
        ("classify", {"text": "a", "tags": ["x", "y"]}, ("tags", True, "text")),
        ("regress", {"id": 7, "sentence1": "a", "sentence2": "b", "score": "4.5"},
         ("score", "{sentence1}\n{sentence2}")),
        ("regress", {"id": 7, "V": "1.5", "A": 2, "words": "a"}, (["V", "A"], "words")),
        ("regress", {"words": "a"}, (FILL_IN, "words")),
    ],
)  # fmt: skip
def test_columns_are_found_by_name_or_left_to_fill_in(task, record, wanted):
    assert tuple(values(task, record).values()) == wanted


def test_a_label_without_a_known_name_is_the_only_column_with_few_values():
    records = [{"words": f"w{i}", "kind": "ab"[i % 2], "size": f"{i % 2}.5"} for i in range(30)]
    # a number with a point is a measure
    assert values("classify", *records) == {"task.label": "kind", "data.text": "words"}
    # and a text that was asked for is taken
    assert values("classify", *records, text="size")["data.text"] == "size"


@pytest.mark.parametrize(
    ("task", "lines", "wanted"),
    [
        ("classify", ["1 good film", "0 bad film"] * 5, {"label": "1", "text": "good film"}),
        ("classify", ["A:b what is", "C:d who is"] * 5, {"label": "A", "text": "what is"}),
        ("classify", ["x y\tgood", "z\tbad"] * 5, {"label": "x y", "text": "good"}),
        ("regress", ["1.5 good film", "-2 bad"], {"label": "1.5", "text": "good film"}),
        ("complete", ["hello\thallo", "world\twelt"], {"prompt": "hello", "completion": "hallo"}),
        ("classify", [f"{i} some text" for i in range(300)], None),
        ("regress", ["good film"], None),
        ("chat", ["hello"], None),
    ],
)
def test_lines_come_apart_by_a_pattern_that_matches_them(task, lines, wanted):
    found = line_pattern(task, lines)
    # the pattern does on the first line what is wanted of it; or there is none
    assert (found and re.fullmatch(found[0], lines[0]).groupdict()) == wanted


def test_splits_are_found_by_column():
    records = [{"a": "x", "Fold": fold} for fold in ("train", "dev", "test", "validation")]
    found = {key: guess[0] for key, guess in split_column(records).items()}
    assert found == {
        "data.split.kind": "column", "data.split.column": "Fold", "data.split.train": "train",
        "data.split.val": ["dev", "validation"], "data.split.test": "test",
    }  # fmt: skip
    # a column of that name that says something else is none
    assert split_column([{"split": "banana"}]) == {}


def test_splits_are_found_by_the_names_of_files_beside_each_other(tmp_path):
    for name in ("x-train.csv", "x-dev.csv", "x-test.csv", "y-test.csv", "contest.csv"):
        write(tmp_path / name, "text,label\na,b\n")
    alone = split_files(find_sources(data_of(tmp_path / "x-train.csv")).files)
    # of a train file, those that are called the same
    assert alone is not None
    assert [[p.name for p in paths] for paths in alone] == [
        ["x-train.csv"], ["x-dev.csv"], ["x-test.csv"],
    ]  # fmt: skip
    # a file that is none of them has no splits beside it
    assert split_files(find_sources(data_of(tmp_path / "contest.csv")).files) is None
