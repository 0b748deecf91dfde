"""What is told of examples before a step is taken."""

from __future__ import annotations

import numpy as np
import pytest

from tests.corpora import examples, write_jsonl
from wellfit import config
from wellfit.data import audit, find_sources, preview, too_long
from wellfit.errors import DataError

TAIL = {"kind": "tail", "val": 0.2}


@pytest.fixture
def made(tmp_path):
    """Answers of 1 to 20 bytes to a question of 4."""
    records = [{"prompt": f"q{i:02}:", "completion": "a" * (i + 1)} for i in range(20)]
    path = write_jsonl(tmp_path / "a.jsonl", *records)
    fields = {"split": TAIL, "duplicates": "keep"}
    return examples(path, tmp_path / "cache", config.Complete(), **fields)


def test_lengths_and_what_counts_are_told(made):
    audit, split = made.audit["examples"], made.splits["train"]
    lengths = np.diff(split.doc_starts, append=split.n_tokens)
    # of 4 + (i + 1) + 1 tokens
    assert lengths.tolist() == [6 + i for i in range(len(lengths))]
    assert audit["lengths"]["train"]["longest"] == lengths.max()
    assert audit["lengths"]["train"]["median"] == np.quantile(lengths, 0.5, method="higher")
    counted = int((lengths - 4).sum())
    assert audit["learned"]["train"] == {
        "tokens": counted,
        "ends": len(lengths),
        "share": counted / lengths.sum(),
        "without": 0,
        "without_at": [],
    }
    assert audit["begin"] == "" and audit["end"] == "<|endoftext|>"


def test_examples_that_a_context_does_not_hold_are_named(made):
    split = made.splits["train"]
    # with n tokens there are n - 1 inputs: the last is only a target
    assert too_long(split, 9).tolist() == list(range(5, split.n_documents))
    assert len(too_long(split, 100)) == 0


def test_a_label_is_read_from_every_token(tmp_path):
    records = [{"text": "t" * (i + 1), "label": i % 2} for i in range(10)]
    path = write_jsonl(tmp_path / "a.jsonl", *records)
    made = examples(path, tmp_path / "cache", config.Classify(), split=TAIL)
    # so all n are inputs: of two tokens (one byte and the end) a context of one lacks one
    assert too_long(made.splits["train"], 2).tolist() == list(range(1, 9))
    assert made.splits["train"].n_documents == 9


def test_a_preview_shows_examples_as_they_are_trained_on(made, tmp_path):
    sources = find_sources(config.Data(path=str(tmp_path / "a.jsonl")))
    shown = preview(made, sources, n=2)
    # in pieces that count or do not, from all over the split
    assert shown[0].pieces == (("q00:", False), ("a<|endoftext|>", True))
    assert shown[0].place.endswith("a.jsonl:1") and shown[0].labels == ()
    half = made.splits["train"].n_documents // 2
    assert shown[1].place.endswith(f"a.jsonl:{half + 1}")


def test_a_preview_says_the_labels(tmp_path):
    path = write_jsonl(
        tmp_path / "a.jsonl",
        *({"text": f"t{i}", "label": ["b"] if i else ["a", "b"], "n": i / 2} for i in range(4)),
    )
    data = {"split": {"kind": "tail", "val": 0.5}}
    for task, says in (
        (config.Classify(several=True), ("a", "b")),
        (config.Regress(targets="n"), ("n 0",)),
    ):
        made = examples(path, tmp_path / "cache", task, **data)
        sources = find_sources(config.Data(path=str(path)))
        shown = preview(made, sources, n=1)
        assert shown[0].labels == says and shown[0].pieces == (("t0<|endoftext|>", False),)


def test_conflicts_are_texts_with_more_than_one_answer(tmp_path):
    answers = [("a", "x"), ("b", "x"), ("a", "x"), ("a", "y"), ("a", "z"), ("c", "x"), ("c", "y")]
    records = [{"prompt": p, "completion": c, "s": "train"} for p, c in answers]
    records += [{"prompt": "v", "completion": "w", "s": "val"}]
    path = write_jsonl(tmp_path / "a.jsonl", *records)
    split = {"kind": "column", "column": "s", "val": "val"}
    made = examples(path, tmp_path / "cache", config.Complete(), split=split)
    # a copy with the same answer is none
    assert made.audit["examples"]["conflicts"] == {"train": 2, "val": 0}
    assert made.audit["duplicates"]["within"]["train"] == 4


def test_conflicts_are_found_however_the_split_is_gone_through(tmp_path, monkeypatch):
    records = [{"text": f"text {i % 30}", "label": i % 7} for i in range(100)]
    path = write_jsonl(tmp_path / "a.jsonl", *records)
    made = examples(path, tmp_path / "cache", config.Classify(), split=TAIL)
    split = made.splits["train"]
    texts = [bytes(part.tolist()[:-1]) for part in np.split(split.tokens, split.doc_starts[1:])]
    labels = dict.fromkeys(texts, ())
    for text, label in zip(texts, split.labels[:, 0].tolist(), strict=True):
        labels[text] = {*labels[text], label}
    wanted = sum(len(found) > 1 for found in labels.values())
    for size in (1, 10, 64, 1 << 20):
        monkeypatch.setattr(audit, "_TOKENS_AT_ONCE", size)
        assert audit.conflicts(split) == wanted > 0


def test_examples_of_which_nothing_counts_are_an_error(made, tmp_path):
    split = made.splits["train"]
    silent = split.__class__(**{**split.__dict__, "learned": np.zeros(split.n_tokens, np.bool_)})
    sources = find_sources(config.Data(path=str(tmp_path / "a.jsonl")))
    with pytest.raises(DataError, match=r"no token of train counts: none of its 18 examples"):
        audit._learned(silent, sources, 256)
    some = silent.learned.copy()
    some[split.doc_starts[3] + 1] = True
    silent = split.__class__(**{**split.__dict__, "learned": some})
    # some are told by their place
    told = audit._learned(silent, sources, 256)
    assert told["without"] == 17 and told["without_at"][3].endswith("a.jsonl:5")
