"""Tensors carry their dimensions in their names, and each file says what the letters mean.

Decision 0006.  ``logits_BTV`` is checked by eye against the legend at the top of its file,
a line such as ``Dims: B sequences, T time, V vocabulary.``
"""

from __future__ import annotations

import ast
import re

import pytest

from tests.meta.source_tree import here, parsed, source_files

SHAPED = re.compile(r"^_?[a-z][a-z0-9_]*_([A-Z]+)$")
LEGEND = re.compile(r"^Dims:\s*(.*?)(?:\n\s*\n|\Z)", re.MULTILINE | re.DOTALL)


def letters_used(tree: ast.AST) -> set[str]:
    """Dimension letters in the names of variables, arguments and attributes."""
    names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
    names |= {n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)}
    names |= {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
    return {letter for name in names if (m := SHAPED.match(name)) for letter in m[1]}


def letters_explained(tree: ast.Module) -> set[str]:
    """The single capitals that the legend explains."""
    legend = LEGEND.search(ast.get_docstring(tree) or "")
    return set(re.findall(r"\b[A-Z]\b", legend[1])) if legend else set()


@pytest.mark.parametrize("path", source_files(), ids=here)
def test_the_legend_explains_every_letter(path):
    missing = letters_used(parsed(path)) - letters_explained(parsed(path))
    # a reader never has to guess what K is
    assert not missing, f"{here(path)}: its 'Dims:' line does not explain {sorted(missing)}"


@pytest.mark.parametrize(
    ("source", "missing"),
    [
        ('"""X.\n\nDims: B batch, T time.\n"""\nx_BT = 1', set()),
        ('"""X.\n\nDims: B batch,\nT time.\n\nAnd D is not explained here.\n"""\nx_BTD = 1', {"D"}),
        ('"""X."""\ndef f(x_B): ...', {"B"}),
        ('"""X."""\nself.x_K = 1', {"K"}),
        ('"""X."""\nMAX_T = 1\nT = 2', set()),
    ],
)
def test_the_legend_rule_bites(source, missing):
    tree = ast.parse(source)
    # letters are found wherever a tensor can be named
    assert letters_used(tree) - letters_explained(tree) == missing
