"""What commands print: data to stdout, everything else to stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable
from json import dumps, loads
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wellfit.store import RunView


def as_json(value: Any) -> None:
    """Print data as JSON; what is not a finite number becomes null, as JSON has nothing else."""
    finite = loads(dumps(value, default=str), parse_constant=lambda not_finite: None)
    sys.stdout.write(dumps(finite, indent=2) + "\n")


def put(found: Any, table: Callable[[Any], None], *, json: bool) -> None:
    """Print a result: as JSON where that was asked for, else as a table for people."""
    if json:
        as_json(found)
    else:
        table(found)


def say(text: str) -> None:
    """Tell the person at the terminal something."""
    sys.stderr.write(text + "\n")


def show_card(view: RunView) -> None:
    """The card at the end of a run, as wide as the terminal allows."""
    from rich.console import Console

    from wellfit.report import card

    Console().print(card(view), soft_wrap=True)
