"""Where every value of a recipe came from, and why it is what it is."""

from __future__ import annotations

from typing import Any, NamedTuple

from wellfit.config.loader import Loaded, to_dict
from wellfit.config.presets import presets
from wellfit.config.reading import Origin
from wellfit.config.structure import Path, dotted, key_at, leaves, source_of


class Explained(NamedTuple):
    """One value of a recipe with where it came from, the reason for it, and the source of that."""

    key: str
    value: Any
    origin: str  # "default", "preset quick", "recipe.yaml:6:3" or "command line"
    reason: str
    source: str


def explain(loaded: Loaded) -> list[Explained]:
    """Every value of a recipe, in its order.

    Values that are ``auto`` are shown so: what they become is known once data and machine are.
    """
    plain = to_dict(loaded.recipe)
    lines = []
    for path, _ in leaves(loaded.recipe):
        key, value = dotted(path), _at(plain, path)
        origin = loaded.origins[key]
        is_default = origin.kind == "default" and value != "auto"
        source = source_of(key_at(path, loaded.recipe)) if is_default else ""
        where = "default" if origin.kind == "default" else origin.where
        lines.append(Explained(key, value, where, _reason(origin, value), source))
    return lines


def _reason(origin: Origin, value: Any) -> str:
    if value == "auto":
        return "decided before the run, from the data and the machine"
    match origin.kind:
        case "preset":
            return presets()[origin.where.removeprefix("preset ")].about
        case "file":
            return "asked for in the recipe"
        case "flag":
            return "asked for on the command line"
        case "default":
            return "nothing else was asked for"


def _at(plain: Any, path: Path) -> Any:
    for name in path:
        plain = plain[name]
    return plain
