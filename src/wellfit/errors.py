"""Every error a user can cause or fix.

WellfitError                 exit code 1   the work could not be finished
|- ConfigError               2             the recipe, or the command line, cannot be carried out
|- DataError                 2             the data cannot be read as the recipe says
|  `- TokenizerError         2             text and tokenizer do not fit each other
|- RunError                  2             a run directory is missing, taken or not one of ours
|- MissingExtra              2             an optional dependency is not installed
|- CheckpointError           1             a checkpoint could not be written or does not verify
`- Diverged                  3             a guard stopped training before the weights were spoilt

Anything else that escapes is our bug: the command line prints its traceback and exits with 70.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from types import ModuleType
from typing import ClassVar


class WellfitError(Exception):
    """Every error a user can cause or fix."""

    exit_code: ClassVar[int] = 1


class ConfigError(WellfitError):
    """The run as described cannot be carried out.  Raised before any work starts."""

    exit_code: ClassVar[int] = 2

    def __init__(self, problems: Sequence[str]) -> None:
        assert not isinstance(problems, str), f"one problem is a list of one: {problems!r}"
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))

    def __reduce__(self) -> tuple[type[ConfigError], tuple[list[str]]]:
        # by default an exception is rebuilt from its text, which here is not its argument
        return type(self), (self.problems,)


class DataError(WellfitError):
    """The data cannot be read as the recipe says; the message names file, line and byte."""

    exit_code: ClassVar[int] = 2


class TokenizerError(DataError):
    """Text and tokenizer do not fit each other."""


class RunError(WellfitError):
    """A run directory is missing, in use by another process, or not one of ours."""

    exit_code: ClassVar[int] = 2


class MissingExtra(WellfitError):
    """A feature needs an optional dependency that is not installed."""

    exit_code: ClassVar[int] = 2


class CheckpointError(WellfitError):
    """A checkpoint could not be written, or none that is there verifies."""


class Diverged(WellfitError):
    """A guard stopped training before the weights were spoilt."""

    exit_code: ClassVar[int] = 3


def need(module: str, *, extra: str, why: str) -> ModuleType:
    """Import an optional dependency at the moment of use, or say how to get it.

    Raises ``MissingExtra``, which tells a library that is absent from one that is broken.
    """
    try:
        return importlib.import_module(module)
    except ImportError as e:
        is_absent = isinstance(e, ModuleNotFoundError) and e.name == module.partition(".")[0]
        what = "which is not installed" if is_absent else f"which does not import here ({e})"
        raise MissingExtra(
            f"{why} needs {module!r}, {what}. Install it with: pip install 'wellfit[{extra}]'"
        ) from e
