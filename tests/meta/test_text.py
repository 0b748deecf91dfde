"""What a person may write into this project's files, and what not."""

from __future__ import annotations

import re

import pytest

from tests.meta.source_tree import here, source_files, text_files

UNFINISHED = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
# someone's disk: a path that is true on one machine only
SOMEONES_DISK = re.compile(r"(?<![\w.~-])/(?:work|root|tmp|home|Users|farm)/(?=\w)")
UNSAFE = re.compile(
    r"weights_only\s*=\s*False|\bpickle\b|shell\s*=\s*True|(?<![.\w])(?:eval|exec)\("
    r"|trust_remote_code\s*=\s*True|os\.system\("
)
NEVER_SILENCED = re.compile(
    r"#\s*noqa(?!:)|#\s*noqa:.*\b(?:F821|F401|B007)\b|#\s*type:\s*ignore(?!\[)"
)


def _lines_with(pattern: re.Pattern[str], paths) -> list[str]:
    return [
        f"{here(path)}:{number}: {line.strip()[:80]}"
        for path in paths
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(line)
    ]


def test_code_and_pages_are_ascii():
    found = _lines_with(re.compile(r"[^\x00-\x7f]"), text_files())
    # what looks the same is the same; text in other scripts is written with escapes
    assert not found, "\n".join(found)


def test_nothing_is_marked_unfinished():
    found = _lines_with(UNFINISHED, text_files())
    # an intention belongs in the issues, where someone sees it
    assert not found, "\n".join(found)


def test_no_path_of_one_machine_is_written_down():
    found = _lines_with(SOMEONES_DISK, text_files())
    # it would be wrong everywhere else
    assert not found, "\n".join(found)


def test_nothing_unsafe_is_called():
    found = _lines_with(UNSAFE, source_files())
    # a model file or a recipe is data; none of it is ever run
    assert not found, "\n".join(found)


def test_the_linter_is_not_silenced_where_it_matters():
    found = _lines_with(NEVER_SILENCED, source_files("src", "tests"))
    # undefined names, unused imports and loop variables are always a mistake
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("pattern", "line", "caught"),
    [
        (UNFINISHED, "x = 1  # TO" + "DO later", True),
        (UNFINISHED, "todos = []", False),
        (SOMEONES_DISK, "open('" + "/home" + "/ada/corpus')", True),
        (SOMEONES_DISK, "see docs" + "/work" + "/notes", False),
        (SOMEONES_DISK, "https://example.org" + "/home" + "/page", False),
        (UNSAFE, "torch.load(path, weights_only=" + "False)", True),
        (UNSAFE, "model.eval()", False),
        (UNSAFE, "yield eval" + "(text)", True),
        (NEVER_SILENCED, "import os  # noq" + "a", True),
        (NEVER_SILENCED, "import os  # noq" + "a: F401", True),
        (NEVER_SILENCED, "x = y  # noq" + "a: E731", False),
    ],
)
def test_the_patterns_bite(pattern, line, caught):
    # each rule above sees what it is there for, and nothing else
    assert bool(pattern.search(line)) is caught
