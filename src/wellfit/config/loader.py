"""A recipe from a file, a preset and the command line, or a mapping; where each value is from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any, NamedTuple

from wellfit.config.layers import Override, lay, override, read_override
from wellfit.config.presets import presets
from wellfit.config.problems import check
from wellfit.config.reading import Entry, Origin, Problem, Tree, places, read_recipe, tree_of
from wellfit.config.recipe import Recipe
from wellfit.config.structure import dotted, leaves, source_of
from wellfit.config.suggest import nearest
from wellfit.errors import ConfigError

DEFAULT = Origin("default")
_REASONS = {
    "file": "asked for in the recipe",
    "flag": "asked for on the command line",
    "default": "nothing else was asked for",
}


class Loaded(NamedTuple):
    """A recipe, and where each of its values came from."""

    recipe: Recipe
    origins: dict[str, Origin]  # by dotted key, for every plain value of the recipe
    path: FilePath | None
    notices: tuple[str, ...] = ()  # what a change of kind left out or kept; to be shown


class Explained(NamedTuple):
    """One value of a recipe with where it came from, the reason for it, and the source of that."""

    key: str
    value: Any
    origin: str  # "default", "preset quick", "recipe.yaml:6:3" or "command line"
    reason: str
    source: str


def load_recipe(path: FilePath, overrides: Sequence[str] = ()) -> Loaded:
    """The recipe in a file, on top of its preset, with ``a.b.c=value`` overrides on top.

    Raises ``ConfigError`` with every problem of file and overrides at once.
    """
    return load_text(_text_of(path), name=str(path), overrides=overrides, path=path)


def load_text(
    text: str,
    *,
    name: str = "recipe.yaml",
    overrides: Sequence[str] = (),
    path: FilePath | None = None,
) -> Loaded:
    """``load_recipe`` for a text at hand; ``name`` is what its problems call it."""
    tree, problems = read_recipe(text, name)
    return _loaded(tree, problems, overrides, Origin("file", f"{name}:1:1"), path)


def load_dict(mapping: Mapping[str, Any], overrides: Sequence[str] = ()) -> Loaded:
    """``load_recipe`` for a mapping, whose keys may be dotted and whose values may be sections.

    Problems name the key alone, since there is no line to name.
    """
    problems: list[Problem] = []
    tree = tree_of(mapping, Origin("file"), problems)
    return _loaded(tree, problems, overrides, Origin("file"), None)


def recipe_from_dict(mapping: Mapping[str, Any]) -> Recipe:
    """The recipe that a mapping describes; raises ``ConfigError`` with every problem at once."""
    return load_dict(mapping).recipe


def to_dict(recipe: Recipe) -> dict[str, Any]:
    """The recipe in values that JSON and YAML know; ``recipe_from_dict`` reads it back equal."""
    return recipe.model_dump(mode="json")


def _text_of(path: FilePath) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        folder = path.parent if path.parent.is_dir() else None
        others = [p.name for p in sorted(folder.glob("*.y*ml"))] if folder else []
        near = nearest(path.name, others)
        hint = f"Did you mean {path.parent / near}? " if near else ""
        what = f"{path}: there is no such file. {hint}To write one: wellfit init {path} --data PATH"
    except IsADirectoryError:
        what = f"{path}: this is a folder; name the recipe file itself"
    except UnicodeDecodeError as e:
        what = f"{path}: byte {e.start} is not UTF-8; save the recipe as UTF-8"
    except OSError as e:
        what = f"{path}: cannot be read: {e.strerror}"
    raise ConfigError([what])


def _loaded(
    tree: Tree,
    problems: list[Problem],
    overrides: Sequence[str],
    start: Origin,
    path: FilePath | None,
) -> Loaded:
    """The file on top of its preset and under the overrides, in the order they were typed."""
    changes: list[Override] = []
    for typed in overrides:
        change, found = read_override(typed)
        problems += found
        if change is not None and not found:
            changes.append(change)
    notices: list[str] = []
    asked = [change.entry for change in changes if change.path == ("preset",)]
    chosen = asked[-1] if asked else tree.get("preset")
    tree = lay(_preset(chosen, problems) if chosen else {}, tree, notices)
    for change in changes:
        tree = override(tree, change, notices)
    recipe, found = check(tree, start)
    problems += found
    if recipe is None or problems:
        problems.sort(key=lambda p: _reading_order(p.origin, overrides))
        raise ConfigError(list(dict.fromkeys(str(problem) for problem in problems)))
    given = places(tree)
    origins = {dotted(p): given.get(p, DEFAULT) for p, _ in leaves(recipe)}
    return Loaded(recipe, origins, path, tuple(notices))


def _preset(chosen: Entry, problems: list[Problem]) -> Tree:
    if not isinstance(chosen.value, str):
        return {}  # a value that is no name is found wrong with all the others
    known = presets()
    if chosen.value in known:
        origin = Origin("preset", f"preset {chosen.value}")
        return tree_of(known[chosen.value].values, origin, problems)
    near = nearest(chosen.value, list(known))
    hint = f"Did you mean {near}? " if near else ""
    text = f"there is no preset {chosen.value!r}. {hint}The presets are {', '.join(known)}"
    problems.append(Problem(chosen.origin, "preset", text))
    return {}


def _reading_order(origin: Origin, overrides: Sequence[str]) -> tuple[int, int, int]:
    """By line and column of the file, then by place on the command line."""
    if origin.kind == "flag":
        return 1, overrides.index(origin.typed), 0
    parts = origin.where.rsplit(":", 2)
    return (0, int(parts[1]), int(parts[2])) if len(parts) == 3 else (0, 0, 0)


def explain(loaded: Loaded) -> list[Explained]:
    """Every value of a recipe, in its order.

    Values that are ``auto`` are shown so: what they become is known once data and machine are.
    """
    plain = to_dict(loaded.recipe)
    lines = []
    for path, field in leaves(loaded.recipe):
        value: Any = plain
        for name in path:
            value = value[name]
        origin = loaded.origins[dotted(path)]
        reason, source = _REASONS.get(origin.kind, ""), ""
        if value == "auto":
            reason = "decided before the run, from the data and the machine"
        elif origin.kind == "preset":
            reason = presets()[origin.where.removeprefix("preset ")].about
        elif origin.kind == "default":
            source = source_of(field)
        where = "default" if origin.kind == "default" else origin.where
        lines.append(Explained(dotted(path), value, where, reason, source))
    return lines
