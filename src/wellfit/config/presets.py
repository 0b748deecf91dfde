"""Recipes to start from: each is part of a recipe, most of it.  They are in ``presets.toml``."""

from __future__ import annotations

import tomllib
from importlib import resources
from typing import Any, NamedTuple


class Preset(NamedTuple):
    """A named part of a recipe, and what it is for in one line."""

    name: str
    about: str
    values: dict[str, Any]


def presets() -> dict[str, Preset]:
    """Every preset by name, in the order to show them."""
    file = resources.files("wellfit.config").joinpath("presets.toml")
    table = tomllib.loads(file.read_text(encoding="utf-8"))
    return {name: Preset(name, part.pop("about"), part) for name, part in table.items()}
