"""Every test must be able to fail."""

from __future__ import annotations

import ast

import pytest

from tests.meta.source_tree import ROOT, here, parsed, source_files

BITING_CALLS = ("assert", "raises", "warns", "fail")  # pytest's, numpy's and torch's own


def _called(function: ast.AST) -> set[str]:
    """The last names of everything a function calls."""
    calls = [node.func for node in ast.walk(function) if isinstance(node, ast.Call)]
    return {f.attr if isinstance(f, ast.Attribute) else getattr(f, "id", "") for f in calls}


def _empty(check: ast.Assert) -> bool:
    """``assert True``, ``assert (a, "b")`` and the like hold whatever happens."""
    return isinstance(check.test, ast.Constant | ast.Tuple | ast.JoinedStr)


def _bites(function: ast.AST) -> bool:
    if any(name.startswith(BITING_CALLS) for name in _called(function)):
        return True
    nodes = list(ast.walk(function))
    return any(
        isinstance(n, ast.Raise) or (isinstance(n, ast.Assert) and not _empty(n)) for n in nodes
    )


def sharp_functions(tree: ast.Module, known: frozenset[str] = frozenset()) -> set[str]:
    """Functions that bite, themselves or through a function of the file or a ``known`` one."""
    functions = {n.name: n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}
    sharp = {name for name, node in functions.items() if _bites(node)}
    while more := {
        name
        for name, node in functions.items()
        if name not in sharp and (_called(node) | _asked_for(node)) & (sharp | known)
    }:
        sharp |= more
    return sharp


def _asked_for(function: ast.FunctionDef) -> set[str]:
    """The fixtures a test names as parameters: they may do the checking."""
    return {argument.arg for argument in function.args.args}


def toothless(tree: ast.Module, known: frozenset[str] = frozenset()) -> list[str]:
    """Tests that cannot fail, and ``check_`` functions that only compute a verdict."""
    sharp = sharp_functions(tree, known)
    names = [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return sorted(n for n in names if n.startswith(("test_", "check_")) and n not in sharp)


def _shared_sharp_functions() -> frozenset[str]:
    """Biting functions of files that hold no tests themselves: test files import them."""
    shared = [path for path in source_files("tests") if not path.name.startswith("test_")]
    return frozenset(name for path in shared for name in sharp_functions(parsed(path)))


def test_every_test_can_fail():
    known = _shared_sharp_functions()
    found = [
        f"{here(path)}: {name}"
        for path in source_files("tests")
        for name in toothless(parsed(path), known)
    ]
    # a test that cannot fail is a comment that takes time
    assert not found, "these never fail:\n" + "\n".join(found)


def test_no_name_of_a_test_is_used_twice():
    found = []
    for path in source_files("tests"):
        names = [n.name for n in parsed(path).body if isinstance(n, ast.FunctionDef)]
        found += [f"{here(path)}: {n}" for n in set(names) if names.count(n) > 1]
    # the second of two functions with one name silently replaces the first
    assert not found, "\n".join(found)


def test_unit_tests_lie_where_their_source_lies():
    units = [path for path in source_files("tests/unit") if path.name.startswith("test_")]
    packages = {p.name for p in (ROOT / "src" / "wellfit").iterdir() if p.is_dir()}
    stray = [here(p) for p in units if p.parent.name not in packages | {"unit"}]
    # one looks for the tests of src/wellfit/data in tests/unit/data
    assert not stray, f"no such package: {stray}"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def test_a():\n    f(1) == 2", ["test_a"]),
        ("def test_a():\n    assert True", ["test_a"]),
        ("def test_a():\n    assert (f(1) == 2, 'must be two')", ["test_a"]),
        ("def test_a():\n    assert f(1) == 2", []),
        ("def test_a():\n    with pytest.raises(ValueError):\n        f(1)", []),
        ("def test_a():\n    np.testing.assert_allclose(f(1), 2)", []),
        ("def same(x):\n    assert x\ndef test_a():\n    same(f(1))", []),
        ("def check_a(x):\n    ok = x == 2\ndef test_a():\n    check_a(2)", ["check_a", "test_a"]),
        ("class TestA:\n    def test_b(self):\n        f(1)", ["test_b"]),
    ],
)
def test_the_search_for_toothless_tests_bites(source, expected):
    # it finds what cannot fail, also behind a name that promises a check
    assert toothless(ast.parse(source)) == expected
