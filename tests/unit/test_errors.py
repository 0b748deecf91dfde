"""Errors that users can cause: their texts, their exit codes, and how they travel."""

from __future__ import annotations

import copy
import sys

import pytest

from wellfit.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    Diverged,
    MissingExtra,
    RunError,
    TokenizerError,
    WellfitError,
    need,
)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (WellfitError, 1),
        (ConfigError, 2),
        (DataError, 2),
        (TokenizerError, 2),
        (RunError, 2),
        (MissingExtra, 2),
        (CheckpointError, 1),
        (Diverged, 3),
    ],
)
def test_exit_codes_are_those_of_the_contract(kind, code):
    # scripts rely on them
    assert kind.exit_code == code


def test_a_recipe_error_lists_its_problems_one_to_a_line():
    error = ConfigError(("a.yaml:1:1: x: unknown key", "a.yaml:2:1: y: unknown key"))
    # as a list for programs
    assert error.problems == ["a.yaml:1:1: x: unknown key", "a.yaml:2:1: y: unknown key"]
    # and as lines that an editor can jump to
    assert str(error) == "a.yaml:1:1: x: unknown key\na.yaml:2:1: y: unknown key"


def test_a_recipe_error_survives_a_change_of_process():
    # copy goes the way that an exception from a worker process goes
    there = copy.copy(ConfigError(["one", "two"]))
    # whole problems, not the letters of their text
    assert there.problems == ["one", "two"]
    assert isinstance(there, ConfigError)


def test_one_problem_is_given_as_a_list():
    # else each of its letters would be a problem
    with pytest.raises(AssertionError, match="a list of one"):
        ConfigError("train.budget: missing")


def test_an_installed_library_is_imported():
    # the module itself comes back, also a submodule
    assert need("email.message", extra="data", why="a test").__name__ == "email.message"


def test_a_missing_library_is_named_with_the_command_that_installs_it():
    # what needs it, what it is, and what to type
    with pytest.raises(MissingExtra, match=r"not installed.*pip install 'wellfit\[data\]'") as e:
        need("no_such_library.io", extra="data", why="reading parquet")
    assert str(e.value).startswith("reading parquet needs 'no_such_library.io'")


def test_a_broken_library_is_not_called_missing(tmp_path, monkeypatch):
    (tmp_path / "half_installed.py").write_text("import a_part_that_is_gone\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "half_installed", raising=False)
    # to install it again would not help as it stands, so the reason is shown
    with pytest.raises(MissingExtra, match="does not import here.*a_part_that_is_gone"):
        need("half_installed", extra="data", why="a test")
