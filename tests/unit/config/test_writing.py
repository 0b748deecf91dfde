"""A recipe written with its comments reads back as the same recipe."""

from __future__ import annotations

import pytest
from ruamel.yaml import YAML

from wellfit.config import (
    draft,
    dump_commented,
    load_text,
    preset_text,
    presets,
    recipe_from_dict,
    to_dict,
)
from wellfit.config.writing import yaml_value

SMALLEST = {"data.path": ["a b.txt", "**/*.md"], "train.budget": "90 seconds"}


def test_a_written_recipe_reads_back_equal():
    recipe = recipe_from_dict(
        {**SMALLEST, "preset": "gpt2-small", "stop": None, "optim": {"kind": "muon", "lr": 0.02}}
    )
    text = dump_commented(recipe)
    # by us
    assert load_text(text).recipe == recipe
    # and by a YAML reader that is not ours, as the same keys
    assert set(YAML(typ="safe").load(text)) == set(to_dict(recipe))


def test_comments_are_the_docstrings_and_notes_stand_behind_values():
    recipe = recipe_from_dict(SMALLEST)
    text = dump_commented(recipe, {"train.seed": "command line", "model.depth": "why " * 40})
    # the first sentence of each, above its key
    assert "  # The number that every random draw of the run is made from.\n  seed: 1" in text
    assert "seed: 1  # command line\n" in text
    # a long note goes above, and no line is too wide for a terminal
    assert "  # why why" in text
    assert max(len(line) for line in text.splitlines()) <= 100


def test_shares_are_written_in_percent():
    text = dump_commented(recipe_from_dict({**SMALLEST, "data.split.val": 0.125}))
    # as people think of them
    assert "    val: 12.5%\n" in text
    assert "  warmup: 2%\n" in text
    assert "    residual: 0\n" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("corpus/*.txt", "corpus/*.txt"),
        ("*.txt", '"*.txt"'),
        ("", '""'),
        ("null", '"null"'),
        ("3", '"3"'),
        ("a: b", '"a: b"'),
        ("a #b", '"a #b"'),
        ("x ", '"x "'),
        ('say "hi"\n', '"say \\"hi\\"\\n"'),
        ("\x00\x85\u2028\U000e0001", '"\\x00\\x85\\u2028\\U000e0001"'),
        ("~/text", '"~/text"'),
        ("yes", "yes"),
        (["a", 1, None, 2.5], "[a, 1, null, 2.5]"),
        (True, "true"),
        (1e-8, "1e-8"),
    ],
)
def test_text_is_quoted_only_where_it_has_to_be(value, text):
    # the shortest spelling that is safe
    assert yaml_value(value) == text
    # a reader that is not ours agrees
    assert YAML(typ="safe").load(f"key: {text}") == {"key": value}


@pytest.mark.parametrize("name", sorted(presets()))
def test_a_printed_preset_is_a_recipe_without_its_data(name):
    text = preset_text(presets()[name])
    # the same recipe as the preset by name
    copied = load_text(text, overrides=["data.path=x"]).recipe
    named = recipe_from_dict({"preset": name, "data.path": "x"})
    assert copied == named.model_copy(update={"preset": None})
    assert name in text.splitlines()[0]


def draft_of(task: str = "language-model", gpu: str | None = None, **facts: object) -> str:
    machine = {"cores": 2, "memory_bytes": 8 << 30, "gpu": gpu}
    return draft({"path": "corpus", "formats": ["txt"], **facts}, machine, task)


def test_a_draft_is_a_recipe_for_the_data():
    text = draft_of(n_bytes=1_115_394, n_documents=1, n_characters_distinct=65)
    recipe = load_text(text).recipe
    # one small document: characters, and its end kept back, since it cannot be dealt out
    assert (recipe.tokenizer.kind, recipe.data.split.kind) == ("char", "tail")
    assert recipe.data.path == "corpus"
    # each with the fact it rests on
    assert "# 1.12 MB is little text for a learned vocabulary; 65 distinct characters" in text
    assert "# one document; 1.12 MB; txt" in text


@pytest.mark.parametrize(
    ("facts", "tokenizer", "split", "depth"),
    [
        ({"n_bytes": 10**8, "n_documents": 10**5}, "bpe", "hash", 6),
        ({"n_bytes": 10**8, "n_documents": 10**5, "gpu": "H200"}, "bpe", "hash", 12),
        ({"n_bytes": 10**7, "n_documents": 40}, "bpe", "tail", 4),
        ({"n_bytes": 10**5, "n_documents": 500, "n_characters_distinct": 3000}, "byte", "hash", 4),
        ({}, "bpe", "hash", 4),
    ],
)
def test_a_draft_follows_the_facts(facts, tokenizer, split, depth):
    recipe = load_text(draft_of(**facts)).recipe
    # and does without those that are not known
    assert recipe.tokenizer.kind == tokenizer
    assert recipe.data.split.kind == split
    assert recipe.model.depth == depth


def test_a_draft_keeps_what_was_found_about_the_files():
    text = draft_of(path=["a.jsonl", "b: c.jsonl"], text="content", encoding="latin-1")
    data = load_text(text).recipe.data
    # odd names are quoted, columns and encodings said
    assert data.path == ("a.jsonl", "b: c.jsonl")
    assert (data.text, data.encoding) == ("content", "latin-1")
