"""How the recipe's models nest: which keys a section has, and which sections a key can hold.

Everything that works on any recipe (errors, merging, the reference page) asks here, so that a
new field or kind needs no other edit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from wellfit.config.fields import Section, Wanted
from wellfit.config.recipe import Recipe

Path = tuple[str, ...]


class Key(NamedTuple):
    """One key of the recipe as the models know it."""

    path: Path
    field: FieldInfo
    section: type[Section]  # the section it is a key of


def dotted(path: Path) -> str:
    """``('train', 'batch')`` as ``train.batch``."""
    return ".".join(path)


def variants(annotation: Any) -> tuple[type[Section], ...]:
    """The sections an annotation allows; empty when it holds a plain value."""
    if get_origin(annotation) is Annotated:
        return variants(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return tuple(v for part in get_args(annotation) for v in variants(part))
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return (annotation,)
    return ()


def can_be_null(field: FieldInfo) -> bool:
    """Whether the field takes null."""
    return NoneType in _flat(field.annotation)


def _flat(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) is Annotated:
        return _flat(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return tuple(leaf for part in get_args(annotation) for leaf in _flat(part))
    return (annotation,)


def options(field: FieldInfo) -> tuple[str, ...]:
    """The words a field takes, when it takes words from a list; ``auto`` among them."""
    words = (w for part in _flat(field.annotation) for w in get_args(part))
    return tuple(w for w in words if isinstance(w, str))


def takes_only_words(field: FieldInfo) -> bool:
    """Whether the field takes nothing but words from a list, and perhaps null."""
    parts = [p for p in _flat(field.annotation) if p is not NoneType]
    return all(isinstance(w, str) for p in parts for w in get_args(p) or (p,))


def wanted(field: FieldInfo, *others: FieldInfo) -> Wanted:
    """What a key wants, for error messages and the reference page.

    ``others`` are the fields of the same key in other kinds; for ``kind`` itself each has a word.
    """
    if others and takes_only_words(field):
        words = list(dict.fromkeys(w for f in (field, *others) for w in options(f)))
        return Wanted(one_of(words), words[0])
    said = next((m for m in reversed(field.metadata) if isinstance(m, Wanted)), None)
    if said is None or takes_only_words(field):
        words = [*options(field), *(["null"] if can_be_null(field) else [])]
        return Wanted(one_of(words), words[0])
    return Wanted(said.what, _example(field) or said.example)


def _example(field: FieldInfo) -> str:
    if not field.examples:
        return ""
    example = field.examples[0]
    return example if isinstance(example, str) else f"{example:g}"


def one_of(words: list[str]) -> str:
    """``a, b or c``."""
    return " or ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def kind_of(section: type[Section]) -> str | None:
    """The ``kind`` that chooses this section; None when its key has only one."""
    field = section.model_fields.get("kind")
    return None if field is None else str(field.default)


def default_section(field: FieldInfo) -> type[Section]:
    """The section a key holds when its ``kind`` is not said: its default's, else the first."""
    found = variants(field.annotation)
    default = field.get_default(call_default_factory=False)
    return type(default) if isinstance(default, found) else found[0]


def section_for(field: FieldInfo, given: Mapping[str, Any]) -> type[Section] | None:
    """The section that a mapping means by its ``kind``; None when there is no such kind."""
    found = variants(field.annotation)
    kind = given.get("kind")
    if not found:
        return None
    if kind is None or len(found) == 1:
        return default_section(field)
    return next((v for v in found if kind_of(v) == kind), None)


def all_keys(section: type[Section] = Recipe, path: Path = ()) -> Iterator[Key]:
    """Every key of every kind, sections included, in the order of the recipe."""
    for name, field in section.model_fields.items():
        yield Key((*path, name), field, section)
        for variant in variants(field.annotation):
            yield from all_keys(variant, (*path, name))


def leaves(section: BaseModel, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every plain value of a recipe with its path; a section that is null counts as one."""
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, Section):
            yield from leaves(value, (*path, name))
        else:
            yield (*path, name), value


def first_sentence(text: str | None) -> str:
    """The first sentence of a docstring, on one line."""
    opening = (text or "").split("\n\n")[0]
    return " ".join(opening.split())


def source_of(field: FieldInfo) -> str:
    """The ``Source`` line of a field's docstring: where its default comes from; else empty."""
    labelled = (field.description or "").partition("\n\nSource  ")[2]
    return " ".join(labelled.split())


def key_at(path: Path, recipe: BaseModel) -> FieldInfo:
    """The field of a path, in the kinds that a recipe has."""
    section = recipe
    for name in path[:-1]:
        section = getattr(section, name)
    return type(section).model_fields[path[-1]]
