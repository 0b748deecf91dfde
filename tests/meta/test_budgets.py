"""Sizes (docs/decisions/0007).  Taste does not hold a line count; a test does."""

from __future__ import annotations

import ast
import io
import statistics
import tokenize
from typing import NamedTuple

import pytest

from tests.meta.source_tree import SRC, here, parsed, source_files

TOTAL_CODE_LINES = 17_300  # without blank lines, comments and docstrings; see the revision of 0007
FILE_LINES, MOST_FILES_LINES = 600, 450
BODY_LINES, MOST_BODIES_LINES, USUAL_BODY_LINES = 60, 36, 12
PARAMETERS = 8
MOST = 0.9  # the share of files and functions meant by "most"
LARGER = {
    "src/wellfit/train/loop.py:run": (150, "a whole run must be visible at once"),
}
VAGUE = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "handler", "base"}


class Function(NamedTuple):
    """A function and what its size is judged by."""

    name: str  # src/wellfit/units.py:parse_bytes
    body_lines: int  # docstring not counted
    parameters: int


def functions(tree: ast.Module, where: str) -> list[Function]:
    """Every function of a file, methods and inner ones included."""
    return [
        Function(f"{where}:{node.name}", _body_lines(node), _parameters(node))
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def _body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    doc = node.body[0]
    counted = ast.get_docstring(node) is not None
    doc_lines = (doc.end_lineno or doc.lineno) - doc.lineno + 1 if counted else 0
    return (node.end_lineno or node.lineno) - node.lineno + 1 - doc_lines


def _parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    args = node.args
    named = (*args.posonlyargs, *args.args, *args.kwonlyargs)
    return len([a for a in named if a.arg not in ("self", "cls")])


def code_lines(source: str) -> int:
    """Lines that hold something that runs."""
    quiet = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    held: set[int] = set()
    start_of_line = True
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in quiet or token.type == tokenize.ENDMARKER:
            start_of_line = start_of_line or token.type == tokenize.NEWLINE
            continue
        if not (start_of_line and token.type == tokenize.STRING):  # a docstring stands alone
            held |= set(range(token.start[0], token.end[0] + 1))
        start_of_line = False
    return len(held)


def _lines() -> dict[str, int]:
    return {here(path): len(path.read_text().splitlines()) for path in source_files()}


def _functions() -> list[Function]:
    return [f for path in source_files() for f in functions(parsed(path), here(path))]


def test_no_file_is_too_long():
    over = {name: lines for name, lines in _lines().items() if lines > FILE_LINES}
    # a file that does not fit in the head is two files
    assert not over, f"more than {FILE_LINES} lines: {over}"


def test_no_function_is_too_long():
    allowed = {name: limit for name, (limit, _) in LARGER.items()}
    over = {f.name: f.body_lines for f in _functions() if f.body_lines > BODY_LINES}
    over = {name: lines for name, lines in over.items() if lines > allowed.get(name, 0)}
    # what a function does is visible at once
    assert not over, f"bodies of more than {BODY_LINES} lines: {over}"


def test_no_function_takes_too_many_parameters():
    over = {f.name: f.parameters for f in _functions() if f.parameters > PARAMETERS}
    # more than this is a value that has not been named yet
    assert not over, f"more than {PARAMETERS} parameters: {over}"


def test_most_files_are_shorter():
    lines = sorted(_lines().values())
    # the limit is for exceptions, not a target
    assert lines[int(MOST * (len(lines) - 1))] <= MOST_FILES_LINES


def test_most_functions_are_shorter():
    lines = sorted(f.body_lines for f in _functions())
    # the limit is for exceptions, not a target
    assert lines[int(MOST * (len(lines) - 1))] <= MOST_BODIES_LINES
    # and the usual function fits in a glance
    assert statistics.median(lines) <= USUAL_BODY_LINES


def test_the_whole_stays_within_its_budget():
    total = sum(code_lines(path.read_text()) for path in source_files())
    # a new feature pays for itself by what it deletes, once the budget is used
    assert total <= TOTAL_CODE_LINES, f"{total} lines of code in src"


def test_exceptions_are_still_needed():
    sizes = {f.name: f.body_lines for f in _functions()}
    stale = {name for name in LARGER if sizes.get(name, BODY_LINES + 1) <= BODY_LINES}
    # an exception whose reason is gone goes too
    assert not stale, f"within the budget again: {stale}"


def test_names_of_modules_say_what_is_in_them():
    vague = [here(path) for path in source_files() if path.stem in VAGUE]
    vague += [here(path) for path in SRC.rglob("*") if path.is_dir() and path.name in VAGUE]
    # anything fits into a module named utils, so everything ends up there
    assert not vague, f"rename: {vague}"


@pytest.mark.parametrize(
    ("source", "body_lines", "parameters"),
    [
        ("def f(a, b, /, c, *, d):\n    return a", 2, 4),
        ('def f():\n    """One.\n\n    Two.\n    """\n    return 1', 2, 0),
        ("class A:\n    def f(self, a):\n        x = 1\n        return x", 3, 1),
    ],
)
def test_sizes_are_counted_as_decision_7_says(source, body_lines, parameters):
    # the docstring and self are free; everything else counts
    assert functions(ast.parse(source), "x")[0][1:] == (body_lines, parameters)


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ('"""Doc.\n\nMore.\n"""\n\n# why\nx = 1  # what\n', 1),
        ('def f():\n    """Doc."""\n    return (\n        1\n    )\n', 4),
        ('x = """a\nb"""\n', 2),
        ('A = 1\n"""What A is."""\n', 1),
    ],
)
def test_only_lines_that_run_count_towards_the_whole(source, lines):
    # explaining costs nothing; a string that is a value does
    assert code_lines(source) == lines
