"""How the recipe's models nest: which keys a section has, and which sections a key can hold.

Everything that works on any recipe (errors, merging, the reference page) asks here, so that a
new field or kind needs no other edit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from wellfit.config.fields import Section, Wanted
from wellfit.config.reading import Path
from wellfit.config.recipe import Recipe


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
    return tuple(v for v in _flat(annotation) if isinstance(v, type) and issubclass(v, Section))


def kinds_of(field: FieldInfo) -> list[str]:
    """The words that ``kind`` can be in the section a field holds."""
    return [kind for v in variants(field.annotation) if (kind := kind_of(v))]


def can_be_null(field: FieldInfo) -> bool:
    """Whether the field takes null."""
    return NoneType in _flat(field.annotation)


def _flat(annotation: Any) -> tuple[Any, ...]:
    """The parts of a union, however deep."""
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


def wanted(field: FieldInfo) -> Wanted:
    """What a key wants, for error messages and the reference page."""
    words = [*options(field), *(["null"] if can_be_null(field) else [])]
    if takes_only_words(field):
        return Wanted(one_of(words), words[0])
    own = [m for m in field.metadata if isinstance(m, Wanted)]
    parts = [m for part in get_args(field.annotation) for m in get_args(part)]
    said = (own or [m for m in parts if isinstance(m, Wanted)])[-1]
    # of a union: what its one part wants, and the words that it takes as well
    what = said.what if own else ", ".join([said.what, *words[:-1], f"or {words[-1]}"])
    example: Any = field.examples[0] if field.examples else said.example
    if isinstance(example, (int, float)):
        return Wanted(what, f"{example:g}")
    return Wanted(what, example if isinstance(example, str) else f"[{', '.join(example)}]")


def one_of(words: Sequence[str]) -> str:
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
    if found and ("kind" not in given or len(found) == 1):
        return default_section(field)
    return next((v for v in found if kind_of(v) == given["kind"]), None)


def all_keys(section: type[Section] = Recipe, path: Path = ()) -> Iterator[Key]:
    """Every key of every kind, sections included, in the order of the recipe."""
    for name, field in section.model_fields.items():
        yield Key((*path, name), field, section)
        for variant in variants(field.annotation):
            yield from all_keys(variant, (*path, name))


def leaves(section: BaseModel, path: Path = ()) -> Iterator[tuple[Path, FieldInfo]]:
    """The path and field of every plain value; a section that is null counts as one."""
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, Section):
            yield from leaves(value, (*path, name))
        else:
            yield (*path, name), field


def first_sentence(text: str | None) -> str:
    """The first sentence of a docstring, on one line."""
    return " ".join((text or "").split("\n\n")[0].split())


def source_of(field: FieldInfo) -> str:
    """The ``Source`` line of a field's docstring: where its default comes from; else empty."""
    return " ".join((field.description or "").partition("\n\nSource  ")[2].split())
