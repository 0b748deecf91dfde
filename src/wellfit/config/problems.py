"""What is wrong with a recipe, all of it at once, each with its place and what to write."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from wellfit.config import suggest
from wellfit.config.fields import Section, show
from wellfit.config.reading import (
    Entry,
    Origin,
    Path,
    Problem,
    Tree,
    places,
    plain,
    plain_value,
    read_scalar,
)
from wellfit.config.recipe import Recipe
from wellfit.config.structure import (
    can_be_null,
    default_section,
    dotted,
    first_sentence,
    kinds_of,
    one_of,
    options,
    section_for,
    takes_only_words,
    variants,
    wanted,
)

S = TypeVar("S", bound=Section)
_OFF = ("none", "off", "no", "false", "disabled", "never", "0", "-1")


def check(tree: Tree, start: Origin) -> tuple[Recipe | None, list[Problem]]:
    """The recipe that a tree describes, or the problems that keep it from being one.

    ``start`` is where keys that are missing would go.
    """
    found: list[Problem] = []
    missing: list[Problem] = []
    recipe = _Walk(start, found, missing).section(Recipe, tree, (), start)
    # a key that another problem says to write is not also missing
    told = " ".join(problem.text for problem in found)
    found += [p for p in missing if not re.search(rf"(?<![\w.]){p.key}(?![\w.])", told)]
    return None if found else recipe, found


class _Walk(NamedTuple):
    """One tree being checked, section by section."""

    start: Origin
    found: list[Problem]
    missing: list[Problem]

    def section(self, section: type[S], tree: Tree, path: Path, origin: Origin) -> S | None:
        """The section that a tree describes; None when there is a problem in it."""
        before = len(self.found) + len(self.missing)
        values: dict[str, Any] = {}
        plain_fields = list[tuple[str, FieldInfo, Entry]]()
        for key, entry in tree.items():
            field, here = section.model_fields.get(key), (*path, key)
            if field is None:
                value = plain_value(entry.value)
                text = suggest.for_unknown_key(here, section, value, entry.origin)
                self.found.append(Problem(entry.origin, dotted(here), text))
            elif variants(field.annotation):
                values[key] = self.held(field, here, entry)
            else:
                values[key] = plain_value(entry.value)
                plain_fields.append((key, field, entry))
        for key, field in section.model_fields.items():
            if key not in tree and field.is_required():
                here = (*path, key)
                if variants(field.annotation):
                    values[key] = self.section(default_section(field), {}, here, origin)
                else:
                    self.lacks(here, field, origin, tree.get("kind"))
        if len(self.found) + len(self.missing) == before:
            try:
                return section.model_validate(values)
            except ValidationError as e:
                error = e.errors()[0]
        # Something is wrong: look at values one by one, which takes ten times as long.
        for key, field, entry in plain_fields:
            if refused := suggest.refusal(field, values[key]):
                text = _wrong(field, dotted((*path, key)), entry, refused)
                self.found.append(Problem(entry.origin, dotted((*path, key)), text))
        if len(self.found) + len(self.missing) == before:
            # values that are right one by one and cannot be together
            at = tuple(error["ctx"]["key"].split("."))
            given = places(tree)
            around = [at[:n] for n in range(len(at), 0, -1) if at[:n] in given]
            origin = given[around[0]] if around else origin
            self.found.append(Problem(origin, dotted((*path, *at)), error["msg"]))
        return None

    def held(self, field: FieldInfo, path: Path, entry: Entry) -> Section | None:
        """The section that a key holds; None when it is off, or there is a problem in it."""
        if isinstance(entry.value, dict):
            inner = section_for(field, plain(entry.value))
            if inner is not None:
                return self.section(inner, entry.value, path, entry.origin)
            kind, key = entry.value["kind"], dotted((*path, "kind"))
            text = _not_a_word(key, plain_value(kind.value), kinds_of(field))
            self.found.append(Problem(kind.origin, key, text))
        elif entry.value is not None or not can_be_null(field):
            text = _not_a_section(field, path, entry.value, entry.origin)
            self.found.append(Problem(entry.origin, dotted(path), text))
        return None

    def lacks(self, path: Path, field: FieldInfo, origin: Origin, kind: Entry | None) -> None:
        """Note that a key is missing, at its section or at the flag that chose a ``kind``."""
        if origin.kind in ("flag", "preset"):
            is_asked = kind is not None and kind.origin.kind == "flag"
            origin = kind.origin if kind is not None and is_asked else self.start
        about = first_sentence(field.description).rstrip(".")
        example = suggest.write(dotted(path), wanted(field).example, origin)
        text = f"missing ({about[:1].lower()}{about[1:]}); write for example {example}"
        self.missing.append(Problem(origin, dotted(path), text))


def _not_a_section(field: FieldInfo, path: Path, value: Any, origin: Origin) -> str:
    key, kinds = dotted(path), kinds_of(field)
    if value is None:
        return "cannot be switched off; remove the line for its defaults"
    if value is True:
        return "true is not a section; remove the line for its defaults"
    if can_be_null(field) and str(value).lower() in _OFF:
        return f"{show(value)} does not switch it off; write {suggest.write(key, 'null', origin)}"
    if isinstance(value, str) and re.match(r"\w+:\S", value):
        return f"{show(value)} is not a section; put a space after ':'"
    if better := suggest.for_plain_section(field, path, value, origin):
        return f"{show(value)} is not a section; write {better}"
    if isinstance(value, str) and kinds:
        first = suggest.write(f"{key}.kind", kinds[0], origin)
        return f"{show(value)} is not {one_of(kinds)}; write {first}"
    keys = ", ".join(k for k in default_section(field).model_fields if k != "kind")
    return f"{show(value)} is not a section; its keys are {keys}"


def _not_a_word(key: str, value: Any, words: Sequence[str], others: Sequence[str] = ()) -> str:
    meant = suggest.for_word(key, value, words) if isinstance(value, str) else None
    hint = f". Did you mean {meant}?" if meant else ""
    return f"{show(value)} is not {one_of([*words, *others])}{hint}"


def _wrong(field: FieldInfo, key: str, entry: Entry, error: ErrorDetails) -> str:
    """Why a plain value does not do, what would, and how to write it."""
    want, value, origin = wanted(field), entry.value, entry.origin
    example = f"write for example {suggest.write(key, want.example, origin)}"
    if value is None:
        return f"cannot be null; it wants {want.what}; {example}"
    if isinstance(value, dict):
        inside = "".join(f"no key {name!r}" for name in list(value)[:1]) or "no keys"
        return f"is one value with {inside} inside it; it wants {want.what}; {example}"
    is_off = can_be_null(field) and str(value).lower() in _OFF
    if takes_only_words(field) and not is_off:
        return _not_a_word(key, value, options(field), ["null"] if can_be_null(field) else [])
    better = "null" if takes_only_words(field) else _meant(field, value)
    if better is not None:
        return f"{show(value)} is not {want.what}; write {suggest.write(key, better, origin)}"
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    return f"{show(value)} is not {want.what}; {example}"


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
        case list():
            tries = [[str(item) for item in value]]
        case float() if math.isfinite(value) and value.is_integer() and abs(value) < 1e15:
            tries = [int(value)]
        case int() | float() if suggest.accepts(field, str(value)):
            return f"'{value}'"
        case _:
            pass
    taken = [t for t in tries if (type(t), t) != (type(value), value) and suggest.accepts(field, t)]
    return show(taken[0]).strip("'") if taken else None
