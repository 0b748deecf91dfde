"""A recipe from a file, a preset and the command line, or from a mapping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any, NamedTuple

from wellfit.config.layers import Override, lay, override, read_override
from wellfit.config.presets import presets
from wellfit.config.problems import Checked, check
from wellfit.config.reading import Entry, Origin, Problem, Tree, read_recipe, tree_of
from wellfit.config.recipe import Recipe
from wellfit.config.structure import Path, dotted, leaves
from wellfit.config.suggest import nearest
from wellfit.errors import ConfigError

DEFAULT = Origin("default")


class Loaded(NamedTuple):
    """A recipe, and where each of its values came from."""

    recipe: Recipe
    origins: dict[str, Origin]  # by dotted key, for every plain value of the recipe
    path: FilePath | None
    notices: tuple[str, ...] = ()  # what a change of kind left out or kept; to be shown


class Draft(NamedTuple):
    """A recipe laid together and not yet checked."""

    tree: Tree
    problems: list[Problem]
    notices: list[str]
    overrides: Sequence[str]


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
    return _finish(_laid(tree, problems, overrides), path, Origin("file", f"{name}:1:1"))


def load_dict(mapping: Mapping[str, Any], overrides: Sequence[str] = ()) -> Loaded:
    """``load_recipe`` for a mapping, whose keys may be dotted and whose values may be sections.

    Problems name the key alone, since there is no line to name.
    """
    problems: list[Problem] = []
    tree = tree_of(mapping, Origin("file"), problems)
    return _finish(_laid(tree, problems, overrides), None, Origin("file"))


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


def _laid(tree: Tree, problems: list[Problem], overrides: Sequence[str]) -> Draft:
    """The file on top of its preset and under the overrides, in the order they were typed."""
    changes: list[Override] = []
    for typed in overrides:
        change, found = read_override(typed)
        problems += found
        if change is not None and not found:
            changes.append(change)
    notices: list[str] = []
    chosen = tree.get("preset")
    for change in changes:
        chosen = change.entry if change.path == ("preset",) else chosen
    tree = lay(_preset(chosen, problems), tree, notices)
    for change in changes:
        tree = override(tree, change, notices)
    return Draft(tree, problems, notices, overrides)


def _preset(chosen: Entry | None, problems: list[Problem]) -> Tree:
    if chosen is None or not isinstance(chosen.value, str):
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


def _finish(draft: Draft, path: FilePath | None, start: Origin) -> Loaded:
    checked: Checked = check(draft.tree, start)
    problems = [*draft.problems, *checked.problems]
    if checked.recipe is None or problems:
        in_order = sorted(problems, key=lambda p: _reading_order(p.origin, draft.overrides))
        texts = dict.fromkeys(str(problem) for problem in in_order)
        raise ConfigError(list(texts))
    origins = {dotted(p): _origin(draft.tree, p) for p, _ in leaves(checked.recipe)}
    return Loaded(checked.recipe, origins, path, tuple(draft.notices))


def _reading_order(origin: Origin, overrides: Sequence[str]) -> tuple[int, int, int]:
    """By line and column of the file, then by place on the command line."""
    if origin.kind == "flag":
        return 1, overrides.index(origin.typed), 0
    parts = origin.where.rsplit(":", 2)
    return (0, int(parts[1]), int(parts[2])) if len(parts) == 3 else (0, 0, 0)


def _origin(tree: Tree, path: Path) -> Origin:
    """Where one value of the finished recipe came from."""
    for number, key in enumerate(path, start=1):
        entry = tree.get(key)
        if entry is None:
            return DEFAULT
        if number == len(path) or not isinstance(entry.value, dict):
            return entry.origin
        tree = entry.value
    return DEFAULT
