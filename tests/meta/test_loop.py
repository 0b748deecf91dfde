"""The loop is a generator with a visible driver, and nothing hooks into it (decision 0003)."""

from __future__ import annotations

import ast
import re

import pytest

from tests.meta.source_tree import SRC, here, parsed, source_files

LOOP = SRC / "train" / "loop.py"
HOOKS = re.compile(r"callback|hook|on_(?:step|epoch|batch|train|eval)_|registry", re.IGNORECASE)
waits = pytest.mark.skipif(not LOOP.exists(), reason="waits for wellfit.train")


def _function(name: str) -> ast.FunctionDef:
    found = [n for n in parsed(LOOP).body if isinstance(n, ast.FunctionDef) and n.name == name]
    assert found, f"{here(LOOP)} has no function {name}"
    return found[0]


@waits
def test_steps_come_from_a_generator():
    # a notebook can drive the run itself, one record at a time
    assert any(isinstance(n, ast.Yield) for n in ast.walk(_function("train_steps")))


@waits
def test_the_driver_walks_through_the_steps_itself():
    walks = [n for n in ast.walk(_function("run")) if isinstance(n, ast.For)]
    # one visible loop over the records, and what happens now and then is written inside it
    assert any("train_steps(" in ast.unparse(loop.iter) for loop in walks)


def test_nothing_hooks_into_training():
    found = [
        f"{here(path)}:{node.lineno}: {node.name}"
        for path in source_files()
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and HOOKS.search(node.name)
    ]
    # records come out; only a policy named in the recipe may change training
    assert not found, "\n".join(found)


def test_only_the_store_opens_the_record():
    found = [
        here(path)
        for path in source_files()
        if "store" not in path.relative_to(SRC).parts
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Import) and any(a.name == "sqlite3" for a in node.names)
    ]
    # one writer, one schema, one place to change it (decision 0005)
    assert not found, "sqlite3 outside wellfit.store: " + ", ".join(found)
