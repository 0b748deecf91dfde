"""What commands print: data to stdout, everything else to stderr."""

from __future__ import annotations

import json
import math
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wellfit.store import RunView


def as_json(value: Any) -> None:
    """Print data as JSON; what is not a finite number becomes null, as JSON has nothing else."""
    sys.stdout.write(json.dumps(_finite(value), indent=2, default=str) + "\n")


def say(text: str) -> None:
    """Tell the person at the terminal something."""
    sys.stderr.write(text + "\n")


def show_card(view: RunView) -> None:
    """The card at the end of a run, as wide as the terminal allows."""
    from rich.console import Console

    from wellfit.report import card

    Console().print(card(view), soft_wrap=True)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
