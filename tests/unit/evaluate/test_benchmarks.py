"""Benchmarks by hand, with a model of which it is known what it likes, and files of all kinds."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tests.corpora import write, write_jsonl
from tests.tiny_models import tiny_tokenizer
from wellfit.errors import DataError
from wellfit.evaluate.benchmarks import Question, answered, read_benchmark
from wellfit.evaluate.likelihood import Reader

GOOD, BAD = "sentence_good", "sentence_bad"


def certain(favourite: str, context: int = 24) -> Reader:
    """A model that expects one character always, e times as much as any other."""
    tokenizer = tiny_tokenizer(separate=True)
    (liked,) = tokenizer.encode(favourite)
    logits_V = torch.eye(37)[int(liked)]
    model = SimpleNamespace(
        hidden=lambda tokens_BT: tokens_BT[..., None].float(),
        logits=lambda hidden_CD: logits_V.expand(len(hidden_CD), 37),
    )
    return Reader(model, tokenizer, context=context)


def test_choices_by_hand(tmp_path: Path) -> None:
    path = write_jsonl(
        tmp_path / "q.jsonl",
        # "b" is the likeliest as a whole, "aaaa" by character
        {"ctx": "b", "endings": ["aaaa", "b"], "label": 0},
        {"ctx": "b", "endings": ["aaaa", "b"], "label": 1},
        {"ctx": "b", "endings": ["ab", "aa", "bb"], "label": 1},
    )
    found = answered(certain("a"), read_benchmark(path, "multiple-choice"))
    values = {name: (metric["value"], metric["n"]) for name, metric in found["metrics"].items()}
    assert values["accuracy"] == (pytest.approx(2 / 3), 3)
    assert values["accuracy_norm"] == (pytest.approx(2 / 3), 3)
    # by the first question alone they differ
    first = write_jsonl(tmp_path / "first.jsonl", json.loads(path.read_text().splitlines()[0]))
    alone = answered(certain("a"), read_benchmark(first, "multiple-choice"))["metrics"]
    assert (alone["accuracy"]["value"], alone["accuracy_norm"]["value"]) == (0, 1)
    assert found["n_cut"] == found["n_partial"] == 0
    assert found["groups"] == {}


def test_minimal_pairs_by_hand(tmp_path: Path) -> None:
    pairs = [("aab", "abb"), ("aaa", "bbb"), ("bbb", "aaa"), ("aab", "aba")]
    terms = [{"linguistics_term": "w", "UID": u} for u in "xx"]
    terms += [{"linguistics_term": t, "UID": "y"} for t in "wv"]
    rows = [{GOOD: g, BAD: b, **term} for (g, b), term in zip(pairs, terms, strict=True)]
    path = write_jsonl(tmp_path / "pairs.jsonl", *rows)
    found = answered(certain("a"), read_benchmark(path, "blimp"))
    # of two equally likely sentences the good one is taken, as by the harness
    assert found["metrics"]["accuracy"]["value"] == 0.75
    by = {
        name: {group: (m["accuracy"]["value"], m["accuracy"]["n"]) for group, m in groups.items()}
        for name, groups in found["groups"].items()
    }
    # the coarsest group comes first, which is the one that the table shows
    assert list(by) == ["linguistics_term", "UID"]
    assert by["linguistics_term"] == {"v": (1.0, 1), "w": (pytest.approx(2 / 3), 3)}
    assert by["UID"] == {"x": (1.0, 2), "y": (0.5, 2)}


def test_files_are_groups_where_there_are_several(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "p" / "one.jsonl", {GOOD: "aa", BAD: "bb"})
    write_jsonl(tmp_path / "p" / "two.jsonl", {GOOD: "bb", BAD: "aa"})
    found = answered(certain("a"), read_benchmark(tmp_path / "p", "blimp"))["groups"]
    assert {name: m["accuracy"]["value"] for name, m in found["file"].items()} == {
        "one.jsonl": 1.0,
        "two.jsonl": 0.0,
    }


def test_last_words_by_hand(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "l.jsonl", {"text": "ab ab"}, {"text": "ab  "})
    found = answered(certain(" "), read_benchmark(path, "lambada"))["metrics"]
    # the words are " ab" and, as spaces at the end of a context go to the word, "  "
    assert (found["accuracy"]["value"], found["accuracy"]["n"]) == (0.5, 2)
    liked = np.log(np.e / (np.e + 36))
    mean = ((liked + 2 * (liked - 1)) + 2 * liked) / 2
    assert found["perplexity"]["value"] == pytest.approx(np.exp(-mean))
    lo, hi = found["perplexity"]["ci95"]
    # draws of two words: both the one, or both the other
    assert (lo, hi) == (
        pytest.approx(np.exp(-2 * liked)),
        pytest.approx(np.exp(-(3 * liked - 2))),
    )


def test_what_was_cut_is_counted(tmp_path: Path) -> None:
    path = write_jsonl(
        tmp_path / "q.jsonl",
        {"ctx": "abcd", "endings": ["a", "b"], "label": 0},
        {"ctx": "abcdabcd", "endings": ["a", "b"], "label": 0},
        {"ctx": "abcd", "endings": ["a" * 9, "b"], "label": 0},
    )
    found = answered(certain("a", context=8), read_benchmark(path, "multiple-choice"))
    assert (found["n"], found["n_cut"], found["n_partial"]) == (3, 2, 1)
    assert found["context"] == 8


@pytest.mark.parametrize(
    "record",
    [
        {"ctx": "a b", "endings": ["c", "d e"], "label": 1},
        {"ctx": "a b", "endings": ["c", "d e"], "label": "1"},
        {"query": "a b", "choices": ["c", "d e"], "gold": 1},
        {"question": "a b", "choices": ["c", "d e"], "answer": 1},
    ],
)
def test_choices_by_the_names_in_use(tmp_path: Path, record: dict[str, Any]) -> None:
    for path in (
        write_jsonl(tmp_path / "q.jsonl", record),
        write(tmp_path / "q.json", json.dumps([record])),
        write(tmp_path / "q.jsonl.gz", json.dumps(record) + "\n"),
    ):
        found = read_benchmark(path, "multiple-choice").questions
        assert found == [Question("a b", (" c", " d e"), 1)]


def test_pairs_in_a_table(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    with path.open("w", newline="") as out:
        csv.writer(out).writerows([(GOOD, BAD), ("Cats, they sleep.", "Cats, they sleeps.")])
    (found,) = read_benchmark(path, "blimp").questions
    assert found == Question("", (" Cats, they sleep.", " Cats, they sleeps."), 0)


@pytest.mark.parametrize(
    ("name", "record", "said"),
    [
        ("blimp", {"text": "a"}, "the keys are 'text', as for --benchmark lambada"),
        ("blimp", {"x": 1}, r"no key 'sentence_good'; the keys are 'x'\. --benchmark blimp wants"),
        ("blimp", {GOOD: "a", BAD: 3}, "'sentence_bad' is not a text but '3'"),
        ("lambada", {GOOD: "a", BAD: "b"}, "no key 'text'; .* as for --benchmark blimp"),
        ("lambada", {"text": ""}, "'text' is not a text but ''"),
        ("multiple-choice", {"ctx": "a", "endings": "b", "label": 0}, "a list of texts but 'b'"),
        ("multiple-choice", {"ctx": "a", "endings": ["b", ""], "label": 0}, "not a list of texts"),
        ("multiple-choice", {"ctx": "a", "endings": ["b"], "label": 1}, "1 endings count from 0"),
        ("multiple-choice", {"ctx": "a", "endings": ["b"], "label": "A"}, "the label is 'A'"),
        ("multiple-choice", {"ctx": "a", "endings": [], "label": 0}, "0 endings count from 0"),
    ],
)  # fmt: skip
def test_a_wrong_record_is_shown_a_right_one(tmp_path: Path, name, record, said) -> None:
    right = {"text": "a b", GOOD: "a", BAD: "b", "ctx": "a", "endings": ["b", "c"], "label": 0}
    path = write_jsonl(tmp_path / "q.jsonl", right, record)
    with pytest.raises(DataError, match=rf"q.jsonl, record 2: .*{said}") as told:
        read_benchmark(path, name)
    # a line that would do is part of the message
    example = json.loads(str(told.value).partition("records such as ")[2])
    assert read_benchmark(write_jsonl(tmp_path / "right.jsonl", example), name).questions


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("q.txt", "a b c\n", r"q.txt is plain text, not records\. --benchmark lambada wants"),
        ("q.jsonl", "", "q.jsonl holds no records"),
        ("q.jsonl", '{"text": "a b"\n', r"q.jsonl:1: the line is not JSON .* --benchmark lambada"),
        ("q.jsonl", '["a b"]\n', "q.jsonl:1: the line is not a JSON object"),
    ],
)
def test_a_wrong_file_is_told_what_is_wanted(tmp_path: Path, file, content, said) -> None:
    with pytest.raises(DataError, match=said) as told:
        read_benchmark(write(tmp_path / file, content), "lambada")
    # nothing is recommended that this command does not have
    assert "data.on_bad" not in str(told.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no file or folder"):
        read_benchmark(tmp_path / "no.jsonl", "lambada")
