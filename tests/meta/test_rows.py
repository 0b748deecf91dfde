"""Who may import whom, and what importing may do (docs/decisions/0004)."""

from __future__ import annotations

import ast
import functools
import importlib
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.meta.source_tree import (
    ROOT,
    at_import,
    exists,
    here,
    imported,
    module_name,
    package_of,
    parsed,
    source_files,
)

ROWS = [
    {"errors", "units"},
    {"config", "store", "tokenizer", "objectives"},
    {"model", "optim", "data", "probe", "report"},
    {"checkpoint", "evaluate", "diagnose", "plan", "dashboard"},
    {"train", "export"},
    {"tune"},
    {"cli", "testing"},
]
ROW = {package: row for row, packages in enumerate(ROWS) for package in packages}
TORCH_FREE = {"errors", "units", "config", "store", "tokenizer", "report", "dashboard", "cli"}
# the name after `import` differs from the name on the package index, or comes with another
INSTALLED_AS = {
    "pynvml": "nvidia-ml-py",
    "sklearn": "scikit-learn",
    "lm_eval": "lm-eval",
    "ruamel": "ruamel.yaml",
    "annotated_types": "pydantic",
    "pydantic_core": "pydantic",
    "markupsafe": "jinja2",
    "click": "typer",
}


def _edges(tree: ast.AST) -> set[str]:
    """Packages of ours that a tree imports anywhere, inside functions and type hints too."""
    names = {name for node in ast.walk(tree) for name in imported(node)}
    return {name.split(".")[1] for name in names if name.startswith("wellfit.")}


def _wrong_way(own: str, tree: ast.AST) -> list[str]:
    """Imports of a package that is not on a lower row."""
    reached = {package for package in _edges(tree) if package in ROW and package != own}
    return sorted(package for package in reached if ROW[package] >= ROW[own])


def test_every_package_has_a_row():
    unknown = {package_of(path) for path in source_files()} - set(ROW) - {""}
    # a new package is first given its place in the table
    assert not unknown, f"no row for {sorted(unknown)}; see docs/decisions/0004"


@pytest.mark.parametrize("package", sorted(ROW))
def test_a_package_imports_only_from_lower_rows(package):
    found = [
        f"{here(path)} imports {other} (row {ROW[other]})"
        for path in source_files()
        if package_of(path) == package
        for other in _wrong_way(package, parsed(path))
    ]
    # importing upwards or sideways is how circles begin
    assert not found, f"{package} is on row {ROW[package]}:\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("own", "line", "wrong"),
    [
        ("data", "from wellfit.train import loop", ["train"]),
        ("data", "def f():\n    import wellfit.model.decoder", ["model"]),
        ("data", "from wellfit import optim", ["optim"]),
        ("train", "from wellfit.model import decoder", []),
        ("data", "from wellfit.data.split import take", []),
    ],
)
def test_the_row_rule_bites(own, line, wrong):
    # the rule above sees each way to write an import, and no more
    assert _wrong_way(own, ast.parse(line)) == wrong


def test_every_folder_is_a_package():
    folders = {path.parent for path in source_files()}
    # without __init__.py a folder has no door, and the rules here would pass it by
    assert not [here(f) for f in sorted(folders) if not (f / "__init__.py").exists()]


def test_imports_are_absolute():
    found = [
        f"{here(path)}:{node.lineno}"
        for path in source_files()
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    # a reader sees from each line where a name lives
    assert not found, "relative imports: " + ", ".join(found)


_WATCHED = """
import importlib, sys
for name in sys.argv[2:]:
    importlib.import_module(name)
    if "torch" in sys.modules:
        sys.exit(f"torch came in with {name}")
"""


def _import_all(names: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"XDG_CACHE_HOME": str(folder), "HOME": str(folder)}
    command = [sys.executable, "-W", "error", "-c", _WATCHED, "-", *names]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_the_torch_free_packages_never_load_torch(tmp_path):
    names = [module_name(path) for path in source_files() if package_of(path) in TORCH_FREE]
    names += ["wellfit", *(["wellfit.__main__"] if exists("cli") else [])]
    done = _import_all(names, tmp_path)
    # help, report and dashboard start fast: whatever they import, however indirectly
    assert done.returncode == 0, done.stderr
    # importing has no effects: nothing is printed
    assert done.stdout + done.stderr == ""
    # and nothing is written
    assert not list(tmp_path.iterdir())


def test_the_watch_for_torch_bites(tmp_path):
    # the same watch, on a module that is known to load torch
    assert "torch came in with torch" in _import_all(["json", "torch"], tmp_path).stderr


@pytest.mark.parametrize("name", [module_name(path) for path in source_files()])
def test_every_module_imports(name):
    if name == "wellfit.__main__" and not exists("cli"):
        pytest.skip("waits for wellfit.cli")
    # an undefined name at module level is found here, not by a user
    assert importlib.import_module(name).__name__ == name


@functools.cache
def _extras() -> dict[str, set[str]]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    core = {_bare(line) for line in project["dependencies"]}
    extras = {
        extra: {_bare(line) for line in lines if not line.startswith("wellfit[")}
        for extra, lines in project["optional-dependencies"].items()
    }
    return {"": core, **extras}


def _bare(requirement: str) -> str:
    return next(
        (requirement[:i] for i, c in enumerate(requirement) if c in " <>=!~[;"), requirement
    ).lower()


def _top(module: str) -> str:
    first = module.split(".")[0]
    return INSTALLED_AS.get(first, first).lower()


def test_optional_libraries_are_imported_where_they_are_used():
    optional = set().union(*(names for extra, names in _extras().items() if extra))
    found = [
        f"{here(path)}:{node.lineno}: {name}"
        for path in source_files()
        for node in at_import(parsed(path))
        for name in imported(node)
        if _top(name) in optional - _extras()[""]
    ]
    # without the extra, everything else still works
    assert not found, "import these inside a function, through errors.need:\n" + "\n".join(found)


def test_every_library_is_declared():
    declared = set().union(*_extras().values(), {"wellfit", "tests", "bench"})
    # programs for the peers' environment, which has requirements.txt of its own
    theirs = set(source_files("bench/peers"))
    found = {
        f"{here(path)}: {name}"
        for path in set(source_files("src", "tests", "bench")) - theirs
        for node in ast.walk(parsed(path))
        for name in imported(node)
        if _top(name) not in declared | {n.lower() for n in sys.stdlib_module_names}
    }
    # a fresh install has everything that the code imports
    assert not found, "not in pyproject.toml:\n" + "\n".join(sorted(found))


def test_every_core_dependency_is_imported():
    if not exists("cli"):
        pytest.skip("waits for wellfit.cli: half the dependencies have no user yet")
    used = {
        _top(name)
        for path in source_files()
        for node in ast.walk(parsed(path))
        for name in imported(node)
    }
    # nobody installs what nothing uses
    assert _extras()[""] - used == set()


def _needs() -> list[tuple[str, str, str]]:
    """(place, module, extra) of every call of ``errors.need`` with plain arguments."""
    found = []
    for path in source_files():
        for node in ast.walk(parsed(path)):
            if not (isinstance(node, ast.Call) and ast.unparse(node.func).endswith("need")):
                continue
            extra = next((k.value for k in node.keywords if k.arg == "extra"), None)
            if node.args and all(isinstance(v, ast.Constant) for v in (node.args[0], extra)):
                place = f"{here(path)}:{node.lineno}"
                found.append((place, str(node.args[0].value), str(extra.value)))
    return found


def test_the_extra_a_message_names_brings_what_is_missing():
    wrong = [
        f"{place}: [{extra}] does not bring {module}"
        for place, module, extra in _needs()
        if _top(module) not in _extras().get(extra, set())
    ]
    # an error that says what to type must be right
    assert not wrong, "\n".join(wrong)
