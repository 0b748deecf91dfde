"""Errors say what happened, what was wanted and what to type next (decision 0009)."""

from __future__ import annotations

import ast
import re

import pytest

from tests.meta.source_tree import SRC, here, parsed, source_files
from wellfit import errors

BRANCH = re.compile(r"^[|` -]*(?P<name>[A-Z]\w+)\s+(?:exit code )?(?P<code>\d+)\s", re.MULTILINE)
KINDS = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, errors.WellfitError)
}


def _drawn() -> dict[str, int]:
    return {m["name"]: int(m["code"]) for m in BRANCH.finditer(errors.__doc__ or "")}


def test_the_drawn_tree_of_errors_is_the_real_one():
    # scripts rely on the exit codes, and people on the drawing
    assert _drawn() == {name: kind.exit_code for name, kind in KINDS.items()}


def test_exit_codes_are_those_of_the_contract():
    # 70 is for our bugs, 75 for stopped early, 130 and 143 for signals: none is an error's
    assert {kind.exit_code for kind in KINDS.values()} == {1, 2, 3}


def test_errors_of_ours_are_defined_in_one_place():
    found = [
        f"{here(path)}:{node.lineno}: {node.name}"
        for path in source_files()
        if path != SRC / "errors.py"
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ClassDef)
        and any(ast.unparse(b).rpartition(".")[2] in KINDS for b in node.bases)
    ]
    # the whole tree is read at once, in the docstring of errors.py
    assert not found, "\n".join(found)


def _messages(tree: ast.AST) -> list[tuple[int, str]]:
    """The literal texts, {} for what is filled in, of every raised error of ours."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in KINDS:
            text = "".join(_texts(node))
            if text:
                found.append((node.lineno, text))
    return found


def _texts(call: ast.Call) -> list[str]:
    nodes = [n for arg in call.args for n in ast.walk(arg)]
    return [n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)]


BLAME = re.compile(
    r"!(?:\s|$)|\b(?:you must|you forgot|invalid input|illegal|oops|sorry|please)\b", re.I
)


@pytest.mark.parametrize("path", source_files(), ids=here)
def test_messages_are_calm(path):
    found = [
        f"{here(path)}:{n}: {text}" for n, text in _messages(parsed(path)) if BLAME.search(text)
    ]
    # no blame and no exclamation mark: the reader has trouble enough
    assert not found, "\n".join(found)


def test_the_search_for_unkind_words_bites():
    tree = ast.parse('raise DataError(f"{path} is broken! You must fix it")')
    # both the mark and the blame are seen, across what is filled in
    assert [BLAME.findall(text) for _, text in _messages(tree)] == [["! ", "You must"]]


def test_a_missing_library_says_what_to_type():
    # what happened, which library, and the line to type
    with pytest.raises(errors.MissingExtra, match=r"^reading X needs 'no_such'.*wellfit\[data\]'$"):
        errors.need("no_such", extra="data", why="reading X")
