"""Benchmarks as `wellfit eval` scores them, against transformers on the exported model, one by one.

On the files that people use, where they are at hand: every so many of their records.
"""

from __future__ import annotations

import dataclasses
import gzip
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.corpora import write_jsonl
from tests.tiny_models import SHAPES, random_decoder
from wellfit.evaluate.benchmarks import read_benchmark
from wellfit.model import write_published
from wellfit.tokenizer import bpe_tokenizer
from wellfit.train.score import score_benchmark

transformers = pytest.importorskip("transformers")
CONTEXT = 96


class Theirs:
    """A published model as transformers reads it, asked one text at a time."""

    def __init__(self, folder: Path) -> None:
        self.model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder)

    def nats(self, context: str, text: str) -> tuple[float, bool]:
        """Of the text after its context, and whether it is what the model would write."""
        before = self.tokenizer(context).input_ids if context else [self.tokenizer.eos_token_id]
        whole = self.tokenizer(context + text).input_ids
        ids = whole if context else before + whole
        dropped = max(0, len(ids) - CONTEXT - 1)
        ids, first = torch.tensor(ids[dropped:]), max(1, len(before) - dropped)
        with torch.no_grad():
            logits_TV = self.model(ids[None, :-1]).logits[0, first - 1 :]
        nats = torch.nn.functional.cross_entropy(logits_TV, ids[first:], reduction="sum")
        return float(nats), bool((logits_TV.argmax(1) == ids[first:]).all())


@pytest.fixture(scope="module")
def published(shared_data, tmp_path_factory) -> Path:
    """A random model with a tokenizer that has read the files."""
    texts = [row["text"] for row in rows_of(shared_data / "lambada" / "test.jsonl", 20)]
    tokenizer = bpe_tokenizer(texts, vocab=900, separate=True)
    shape = dataclasses.replace(SHAPES["llama"], vocab=tokenizer.vocab_size, context=CONTEXT)
    folder = tmp_path_factory.mktemp("published") / "model"
    write_published(folder, random_decoder(shape), tokenizer)
    return folder


@pytest.fixture(scope="module")
def theirs(published) -> Theirs:
    return Theirs(published)


def rows_of(path: Path, every: int) -> list[dict[str, Any]]:
    """Some records of a file, evenly spread."""
    opened = gzip.open(path, "rt") if path.suffix == ".gz" else path.open()
    with opened as lines:
        return [json.loads(line) for i, line in enumerate(lines) if i % every == 0]


def test_lambada(shared_data, published, theirs, tmp_path) -> None:
    rows = rows_of(shared_data / "lambada" / "test.jsonl", 60)
    found = score_benchmark(published, write_jsonl(tmp_path / "some.jsonl", *rows), "lambada")
    cut = [row["text"].rpartition(" ") for row in rows]
    asked = [theirs.nats(context, " " + word) for context, _, word in cut]
    # most texts are longer than this context
    assert len(rows) == found["n"] == 86
    assert 40 < found["n_cut"] < 86 and found["n_partial"] == 0
    assert found["metrics"]["accuracy"]["value"] == np.mean([greedy for _, greedy in asked])
    mean = np.mean([nats for nats, _ in asked])
    assert found["metrics"]["perplexity"]["value"] == pytest.approx(math.exp(mean), rel=1e-4)


def test_blimp(shared_data, published, theirs, tmp_path) -> None:
    rows = rows_of(shared_data / "blimp" / "blimp.jsonl.gz", 500)
    found = score_benchmark(published, write_jsonl(tmp_path / "some.jsonl", *rows), "blimp")
    right: dict[str, list[bool]] = {}
    for row in rows:
        good, bad = (theirs.nats("", " " + row[f"sentence_{w}"])[0] for w in ("good", "bad"))
        right.setdefault(row["linguistics_term"], []).append(good <= bad)
    by = {name: group["accuracy"] for name, group in found["groups"]["linguistics_term"].items()}
    assert {name: (m["value"], m["n"]) for name, m in by.items()} == {
        name: (pytest.approx(np.mean(answers)), len(answers)) for name, answers in right.items()
    }
    assert found["metrics"]["accuracy"]["value"] == pytest.approx(np.mean(sum(right.values(), [])))
    assert len(found["groups"]["UID"]) == 67


def test_hellaswag(shared_data, published, theirs, tmp_path) -> None:
    rows = rows_of(shared_data / "hellaswag" / "hellaswag_val.jsonl.gz", 150)
    path = write_jsonl(tmp_path / "some.jsonl", *rows)
    found = score_benchmark(published, path, "multiple-choice")["metrics"]
    right, by_character = [], []
    for row in rows:
        nats = np.array([theirs.nats(row["ctx"], " " + ending)[0] for ending in row["endings"]])
        right.append(nats.argmin() == row["label"])
        lengths = np.array([len(ending) for ending in row["endings"]])
        by_character.append((nats / lengths).argmin() == row["label"])
    assert found["accuracy"]["value"] == pytest.approx(np.mean(right))
    assert found["accuracy_norm"]["value"] == pytest.approx(np.mean(by_character))
    assert found["accuracy"]["n"] == 67


@pytest.mark.parametrize(
    ("file", "name", "n"),
    [
        ("lambada/test.jsonl", "lambada", 5_153),
        ("blimp/blimp.jsonl.gz", "blimp", 67_000),
        ("hellaswag/hellaswag_val.jsonl.gz", "multiple-choice", 10_042),
    ],
)
def test_the_whole_of_each_file_can_be_read(shared_data, file, name, n) -> None:
    assert len(read_benchmark(shared_data / file, name).questions) == n
