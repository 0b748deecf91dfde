"""What is wrong with a recipe, all of it at once, each with its place and what to write."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from wellfit.config.fields import Section, show
from wellfit.config.reading import Entry, Origin, Problem, Tree, plain, read_scalar
from wellfit.config.recipe import Recipe
from wellfit.config.structure import (
    Path,
    can_be_null,
    default_section,
    dotted,
    first_sentence,
    kind_of,
    one_of,
    options,
    section_for,
    takes_only_words,
    variants,
    wanted,
)
from wellfit.config.suggest import (
    accepts,
    for_plain_section,
    for_unknown_key,
    for_word,
    write,
)

_OFF = ("none", "off", "no", "false", "disabled", "never", "0", "-1")


class Checked(NamedTuple):
    """A recipe, or the problems that keep it from being one."""

    recipe: Recipe | None
    problems: list[Problem]


class Target(NamedTuple):
    """What an error is about: its path, and the field there, or the section that lacks it."""

    path: Path
    field: FieldInfo | None
    section: type[Section]


def check(tree: Tree, start: Origin) -> Checked:
    """The recipe that a tree describes.  ``start`` is where keys that are missing would go."""
    values = with_kinds(plain(tree), Recipe)
    try:
        return Checked(Recipe.model_validate(values), [])
    except ValidationError as e:
        found: dict[Path, Problem] = {}
        missing: dict[Path, Problem] = {}
        meant: set[str] = set()
        for error in e.errors(include_url=False):
            target = _target(error, values)
            if error["type"] == "missing":
                missing[target.path] = _missing(target, tree, start)
            elif target.path not in found:
                problem, keys = _problem(error, target, tree, values, start)
                found[target.path] = problem
                meant |= set(keys)
        kept = [p for path, p in missing.items() if dotted(path) not in meant]
        return Checked(None, [*found.values(), *kept])


def with_kinds(values: Mapping[str, Any], section: type[Section]) -> dict[str, Any]:
    """The values with each section's ``kind`` said, so that only kinds that differ need saying."""
    full = dict(values)
    for name, field in section.model_fields.items():
        if not variants(field.annotation):
            continue
        if name not in full and field.is_required():
            full[name] = {}
        given = full.get(name)
        if not isinstance(given, dict):
            continue
        inner = section_for(field, given)
        if inner is None:
            continue
        full[name] = with_kinds(given, inner)
        if kind_of(inner) is not None and "kind" not in given:
            full[name]["kind"] = kind_of(inner)
    return full


def _target(error: ErrorDetails, values: Mapping[str, Any]) -> Target:
    """The key an error of pydantic's is about, whose own location goes by tags and types."""
    section: type[Section] = Recipe
    path: Path = ()
    field: FieldInfo | None = None
    value: Any = values
    tagged = [str(part) for part in error["loc"]]
    key = str(error.get("ctx", {}).get("key", "")) if error["type"] == "conflict" else ""
    is_open = True  # whether the next part is a key of ``section``
    is_tag = False  # whether the next part is the tag of a union, and no key
    for number, part in enumerate([*tagged, *filter(None, key.split("."))], start=1):
        if is_tag:
            is_tag = False
            continue
        if not is_open:
            break
        path = (*path, part)
        field = section.model_fields.get(part)
        if field is None:
            break
        found = variants(field.annotation)
        value = value.get(part) if isinstance(value, dict) else None
        inner = section_for(field, value) if found and isinstance(value, dict) else None
        is_open, is_tag = inner is not None, len(found) > 1 and number < len(tagged)
        section = inner or section
    return Target(path, field, section)


def _entry(tree: Tree, path: Path) -> Entry | None:
    """What was written at a path; None when nothing was."""
    entry: Entry | None = None
    inside: Any = tree
    for key in path:
        entry = inside.get(key) if isinstance(inside, dict) else None
        if entry is None:
            return None
        inside = entry.value
    return entry


def origin_of(tree: Tree, path: Path, start: Origin) -> Origin:
    """Where a path was written, or the nearest section around it that was."""
    for length in range(len(path), 0, -1):
        entry = _entry(tree, path[:length])
        if entry is not None:
            return entry.origin
    return start


def _missing(target: Target, tree: Tree, start: Origin) -> Problem:
    origin = origin_of(tree, target.path, start)
    kind = _entry(tree, (*target.path[:-1], "kind"))
    is_asked = kind is not None and kind.origin.kind == "flag"  # the kind that wants the key
    if origin.kind in ("flag", "preset"):
        origin = kind.origin if kind is not None and is_asked else start
    assert target.field is not None
    key, example = dotted(target.path), wanted(target.field).example
    about = first_sentence(target.field.description).rstrip(".")
    about = about[:1].lower() + about[1:]
    text = f"missing ({about}); write for example {write(key, example, origin)}"
    return Problem(origin, key, text)


def _problem(
    error: ErrorDetails, target: Target, tree: Tree, values: Mapping[str, Any], start: Origin
) -> tuple[Problem, tuple[str, ...]]:
    """The problem in our words, and the keys the user seems to have meant."""
    origin = origin_of(tree, target.path, start)
    key = dotted(target.path)
    entry = _entry(tree, target.path)
    value = _plain(entry.value) if entry else error["input"]
    if target.field is None:
        found = for_unknown_key(target.path, target.section, value, origin)
        return Problem(origin, key, found.text), found.keys
    is_leaf = not variants(target.field.annotation)
    match error["type"]:
        case _ if is_leaf and (value is None or isinstance(value, dict)):
            text = _wrong(target.field, key, value, origin)
        case "conflict":
            text = str(error["msg"])
        case "value_error" if _meant(target.field, value) is None:
            text = str(error["ctx"]["error"])
        case "union_tag_invalid":
            path = (*target.path, "kind")
            given = values_at(values, path)
            kinds = [str(kind_of(v)) for v in variants(target.field.annotation)]
            text = _not_a_word(dotted(path), given, kinds)
            return Problem(origin_of(tree, path, start), dotted(path), text), ()
        case _ if not is_leaf:
            text = _not_a_section(target, value, origin)
        case _:
            text = _wrong(target.field, key, value, origin)
    return Problem(origin, key, text), ()


def _plain(value: Any) -> Any:
    return plain(value) if isinstance(value, dict) else value


def values_at(values: Any, path: Path) -> Any:
    """The plain value at a path."""
    for key in path:
        values = values.get(key) if isinstance(values, dict) else None
    return values


def _not_a_section(target: Target, value: Any, origin: Origin) -> str:
    field, key = target.field, dotted(target.path)
    assert field is not None
    if value is None:
        return "cannot be switched off; remove the line for its defaults"
    if value is True:
        return "true is not a section; remove the line for its defaults"
    if can_be_null(field) and (value is False or str(value).lower() in _OFF):
        return f"{show(value)} does not switch it off; write {write(key, 'null', origin)}"
    if isinstance(value, str) and re.match(r"\w+:\S", value):
        return f"{show(value)} is not a section; put a space after ':'"
    if better := for_plain_section(field, target.path, value, origin):
        return f"{show(value)} is not a section; write {better}"
    kinds = [kind for v in variants(field.annotation) if (kind := kind_of(v))]
    if isinstance(value, str) and kinds:
        return (
            f"{show(value)} is not {one_of(kinds)}; write {write(key + '.kind', kinds[0], origin)}"
        )
    keys = ", ".join(k for k in default_section(field).model_fields if k != "kind")
    return f"{show(value)} is not a section; its keys are {keys}"


def _not_a_word(key: str, value: Any, words: Sequence[str], others: Sequence[str] = ()) -> str:
    text = f"{show(value)} is not {one_of([*words, *others])}"
    if not isinstance(value, str):
        return text
    meant = for_word(key, value, words)
    return text + (f". Did you mean {meant}?" if meant else "")


def _wrong(field: FieldInfo, key: str, value: Any, origin: Origin) -> str:
    """Why a plain value does not do, what would, and how to write it."""
    want = wanted(field)
    example = write(key, want.example, origin)
    if value is None:
        return f"cannot be null; it wants {want.what}; write for example {example}"
    if isinstance(value, dict):
        name = next(iter(value), None)
        inside = f"no key {name!r} inside it" if name else "no keys inside it"
        return f"is one value with {inside}; it wants {want.what}; write for example {example}"
    if takes_only_words(field):
        if can_be_null(field) and str(value).lower() in _OFF:
            return f"{show(value)} is not {want.what}; write {write(key, 'null', origin)}"
        return _not_a_word(key, value, options(field), ["null"] if can_be_null(field) else [])
    better = _meant(field, value)
    if better is not None:
        return f"{show(value)} is not {want.what}; write {write(key, better, origin)}"
    return f"{show(value)} is not {want.what}; write for example {example}"


def _meant(field: FieldInfo, value: Any) -> str | None:
    """A value the field takes that the user almost wrote; None when there is none."""
    tries: list[Any] = []
    match value:
        case str():
            word = value.strip().lower()
            tries = [read_scalar(value.strip().replace(",", "").replace("_", "")), word]
            tries += {"yes": [True], "on": [True], "no": [False], "off": [False]}.get(word, [])
            tries += [None] if word in _OFF else []
        case False:
            tries = [None]
        case float() if math.isfinite(value) and value.is_integer() and abs(value) < 1e15:
            tries = [int(value)]
        case int() | float():
            tries = [str(value)]
        case _:
            pass
    for candidate in tries:
        is_new = type(candidate) is not type(value) or candidate != value
        if is_new and accepts(field, candidate):
            is_number = isinstance(value, (int, float)) and isinstance(candidate, str)
            return f"'{candidate}'" if is_number else show(candidate).strip("'")
    return None
