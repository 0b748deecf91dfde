"""Pages tell the truth: what they name exists, what they show runs."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from typing import NamedTuple

import pytest

from tests.meta.source_tree import ROOT, exists, here, pages, parsed

DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
PARTS = ("Context", "Choice", "What we gave up", "What would change our mind")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
IN_TICKS = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)[^)]*\)")
GUARD = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
# a path in backticks: in one of our folders, or a file at the top
OURS = re.compile(r"^(?:src|tests|docs|examples|bench|\.ci)/[\w./*-]*$|^[A-Z][\w]*\.md$|^Makefile$")
# a folder of the package, as ARCHITECTURE.md writes it: `train/loop.py`
IN_PACKAGE = re.compile(r"^[a-z]+/(?:\w+\.py)?$|^[a-z_]+\.py$")


class Snippet(NamedTuple):
    """A fenced block of a page."""

    place: str
    language: str
    text: str


def _snippets(*languages: str) -> list[Snippet]:
    found = []
    for page in pages():
        text = page.read_text()
        for block in FENCE.finditer(text):
            line = text.count("\n", 0, block.start()) + 1
            found.append(Snippet(f"{here(page)}:{line}", block[1], block[2]))
    return [snippet for snippet in found if snippet.language in languages]


def _place(snippet: Snippet) -> str:
    return snippet.place


def _named(text: str) -> set[str]:
    """Paths of ours that a page names outside its fenced blocks."""
    prose = FENCE.sub("", text)
    return {name for name in IN_TICKS.findall(prose) if OURS.match(name)} | set(LINK.findall(prose))


@pytest.mark.parametrize("page", pages(), ids=here)
def test_paths_that_a_page_names_exist(page):
    missing = [
        name
        for name in sorted(_named(page.read_text()))
        if not any(ROOT.glob(name)) and not (page.parent / name).exists()
    ]
    # a newcomer follows them
    assert not missing, f"{here(page)} names what is not there: {missing}"


def test_every_package_is_in_the_architecture():
    text = (ROOT / "ARCHITECTURE.md").read_text()
    packages = {p.name for p in (ROOT / "src/wellfit").iterdir() if (p / "__init__.py").exists()}
    missing = {name for name in packages if not re.search(rf"\b{name}\b", text)}
    # the page is the map, so everything is on it
    assert not missing, f"not in ARCHITECTURE.md: {missing}"


def test_files_that_the_architecture_names_exist():
    text = FENCE.sub("", (ROOT / "ARCHITECTURE.md").read_text())
    names = {name for name in IN_TICKS.findall(text) if IN_PACKAGE.match(name)}
    built = {name for name in names if exists(name.split("/")[0].removesuffix(".py"))}
    missing = {name for name in built if not (ROOT / "src" / "wellfit" / name).exists()}
    # as above, for paths inside the package
    assert not missing, f"not in src/wellfit: {missing}"


@pytest.mark.parametrize("snippet", _snippets("python"), ids=_place)
def test_python_on_a_page_runs(snippet, tmp_path):
    (tmp_path / "corpus").mkdir()
    for name in "abcdefgh":
        (tmp_path / "corpus" / f"{name}.txt").write_text(f"This is text {name}, to learn from.\n")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", snippet.text],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    # what is shown is what works
    assert done.returncode == 0, f"{snippet.place}:\n{done.stderr}"


@pytest.mark.parametrize("snippet", _snippets("yaml"), ids=_place)
def test_yaml_on_a_page_is_a_recipe(snippet):
    if not (ROOT / "src/wellfit/config/recipe.py").exists():
        pytest.skip("waits for wellfit.config")
    from ruamel.yaml import YAML

    from wellfit.config import recipe_from_dict

    smallest = {"data": {"path": "corpus"}, "train": {"budget": "1 step"}}
    shown = YAML(typ="safe").load(snippet.text)
    whole = smallest | shown
    for key in smallest.keys() & shown.keys():
        whole[key] = smallest[key] | shown[key]
    # whole recipes and parts of one are accepted as they stand
    assert recipe_from_dict(whole).data.path == whole["data"]["path"]


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.yaml")), ids=here)
def test_every_example_is_a_recipe(path):
    from wellfit.config import load_recipe

    # nobody copies a recipe that is refused
    assert load_recipe(path).recipe.data.path


def _typed(program: str) -> list[tuple[str, str]]:
    """(place, first word after the program) of every line in a shell block that runs it."""
    lines = [(s.place, line) for s in _snippets("sh", "bash") for line in s.text.splitlines()]
    pattern = re.compile(rf"^\s*(?:\$ )?{program}\s+([a-z]\w*)")
    return [(place, m[1]) for place, line in lines if (m := pattern.match(line))]


@pytest.mark.parametrize(("place", "verb"), _typed("wellfit"))
def test_commands_on_a_page_exist(place, verb):
    if not exists("cli"):
        pytest.skip("waits for wellfit.cli")
    command = [sys.executable, "-m", "wellfit", verb, "--help"]
    # no page shows a command that is still to be written
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0, place


@pytest.mark.parametrize(("place", "target"), _typed("make"))
def test_make_targets_on_a_page_exist(place, target):
    # as above
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), place


@pytest.mark.parametrize("page", DECISIONS, ids=here)
def test_a_decision_says_all_that_it_should(page):
    text = page.read_text()
    missing = [part for part in PARTS if f"\n## {part}\n" not in text]
    # context, choice, price, and what would reopen it
    assert not missing, f"{here(page)} lacks: {missing}"
    # and it fits on one page
    assert text.count("\n") <= 60


@pytest.mark.parametrize("page", DECISIONS, ids=here)
def test_a_decision_is_guarded_by_a_test_that_exists(page):
    guarded = page.read_text().partition("\n## Guarded by\n")[2]
    guards = GUARD.findall(guarded)
    # a decision that no test guards is forgotten
    assert guards, f"{here(page)} names no test under 'Guarded by'"
    for file, function in guards:
        path = ROOT / file
        # the test can be run by the name the page gives
        assert path.exists(), f"{here(page)}: no {file}"
        names = {n.name for n in ast.walk(parsed(path)) if isinstance(n, ast.FunctionDef)}
        assert not function or function in names, f"{here(page)}: no {function} in {file}"


def test_decisions_are_numbered_without_gaps():
    numbers = [int(page.name[:4]) for page in DECISIONS]
    # a number names one decision, for ever
    assert numbers == list(range(1, len(numbers) + 1))


def test_the_changelog_starts_with_what_is_being_made():
    from wellfit import __version__

    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    # the newest version on the page is the version of the code
    assert headings[0] == __version__


def test_contributing_is_under_a_page():
    # longer ones are not read
    assert (ROOT / "CONTRIBUTING.md").read_text().count("\n") <= 60
