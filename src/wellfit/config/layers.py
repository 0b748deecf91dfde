"""Laying one part of a recipe over another: preset, then file, then command line."""

from __future__ import annotations

from typing import NamedTuple

from pydantic.fields import FieldInfo

from wellfit.config.fields import Section
from wellfit.config.reading import MAX_DEPTH, Entry, Origin, Path, Problem, Tree, plain, read_value
from wellfit.config.recipe import Recipe
from wellfit.config.structure import (
    can_be_null,
    default_section,
    dotted,
    kind_of,
    section_for,
    variants,
    wanted,
)
from wellfit.config.suggest import accepts, fields_at


class Override(NamedTuple):
    """One ``a.b.c=value`` of the command line."""

    path: Path
    entry: Entry


def read_override(typed: str) -> tuple[Override | None, list[Problem]]:
    """The override in ``typed``, or what is wrong with it."""
    origin = Origin("flag", "command line", typed)
    key, equals, text = typed.partition("=")
    path = tuple(key.strip().split(".", MAX_DEPTH))
    if key.startswith("-"):
        hint = f"; write {key.lstrip('-')}={text}" if equals else ""
        return None, [Problem(origin, "", f"recipe keys are written without dashes{hint}")]
    if not equals or not all(path):
        text = "is not KEY=VALUE; write for example train.budget='2 minutes'"
        return None, [Problem(origin, "", text)]
    if not text.strip():
        return None, [Problem(origin, key, f"nothing follows '='; {_empty_value(key)}")]
    value, problems = read_value(text.strip(), typed)
    problems = [p._replace(key=f"{key}.{p.key}" if p.key else key) for p in problems]
    return Override(path, Entry(value, origin)), problems


def _empty_value(key: str) -> str:
    """What to write for nothing: null and empty text are two things."""
    fields = fields_at(key)
    hints = [f"{key}=null to switch it off"] if any(can_be_null(f) for f in fields) else []
    hints += [f"{key}=\"''\" for empty text"] if any(accepts(f, "") for f in fields) else []
    return "write a value" + "".join(f", or {hint}" for hint in hints)


def override(base: Tree, change: Override, notices: list[str]) -> Tree:
    """``base`` with one value set.  A section given whole replaces the one that was there."""
    path, entry = change
    for key in reversed(path):
        entry = Entry({key: entry}, entry.origin)
    return lay(base, entry.value, notices, whole=path)


def lay(
    base: Tree,
    over: Tree,
    notices: list[str],
    *,
    whole: Path = (),
    section: type[Section] | None = Recipe,
    path: Path = (),
) -> Tree:
    """``over`` on top of ``base``: its keys win, and the other keys of ``base`` stay.

    Where ``over`` changes the ``kind`` of a section, keys of ``base`` that only the old kind has
    are left out, and a notice says so; so are all where ``over`` gives the section ``whole``.
    ``section`` and ``path`` are those of both trees.
    """
    base, over = spelled_out(base, section), spelled_out(over, section)
    merged = dict(base)
    for key, entry in over.items():
        below, here = base.get(key), (*path, key)
        if below is None or not isinstance(below.value, dict) or not isinstance(entry.value, dict):
            merged[key] = entry
            continue
        field = section.model_fields.get(key) if section else None
        kept, inner = below.value, None
        if field is not None:
            if here == whole:
                kept = _emptied(kept, entry, field, here, notices)
            kept = _fitting(kept, entry.value, field, here, notices)
            inner = section_for(field, plain({**kept, **entry.value}))
        laid = lay(kept, entry.value, notices, whole=whole, section=inner, path=here)
        merged[key] = Entry(laid, entry.origin)
    return merged


def spelled_out(tree: Tree, section: type[Section] | None) -> Tree:
    """``tree`` with every plain value that a section spreads over its keys written to each."""
    out = {}
    for key, entry in tree.items():
        field = section.model_fields.get(key) if section else None
        inner = default_section(field) if field and variants(field.annotation) else None
        if isinstance(entry.value, dict):
            inner = section_for(field, plain(entry.value)) if inner and field else None
            entry = entry._replace(value=spelled_out(entry.value, inner))
        elif inner and inner.spread and isinstance(entry.value, str | float | int):
            keys, first = inner.spread, inner.model_fields[inner.spread[0]]
            keys = keys if accepts(first, entry.value) else keys[:1]  # one wrong value, one error
            entry = Entry(dict.fromkeys(keys, entry), entry.origin)
        out[key] = entry
    return out


def _fitting(base: Tree, over: Tree, field: FieldInfo, path: Path, notices: list[str]) -> Tree:
    """``base`` without the keys that its own kind has and the kind ``over`` names has not."""
    if "kind" not in over:
        return base
    old = section_for(field, plain(base))
    new = section_for(field, plain(over))
    if old is None or new is None or old is new:
        return base
    mine = [k for k in base if k in old.model_fields and k != "kind"]
    # a key of that name may mean something else in the new kind: a share is no file name
    means = {k: _meaning(field) for k, field in new.model_fields.items()}
    kept = [k for k in mine if means.get(k) == _meaning(old.model_fields[k])]
    gone = [k for k in mine if k not in kept]
    said = [f"left out: {_listed(gone, base, path)}"] if gone else []
    said += [f"kept: {_listed(kept, base, path)}"] if kept else []
    if said:
        changes = f"{dotted(path)} changes from {kind_of(old)} to {kind_of(new)}"
        notices.append(over["kind"].origin.prefix + "; ".join([changes, *said]))
    return {k: entry for k, entry in base.items() if k not in gone}


def _meaning(field: FieldInfo) -> object:
    """What two fields have in common whose values can stand in for each other."""
    return variants(field.annotation) or wanted(field).what


def _listed(keys: list[str], tree: Tree, path: Path) -> str:
    return ", ".join(f"{dotted((*path, k))} ({tree[k].origin.where})" for k in keys)


def _emptied(base: Tree, whole: Entry, field: FieldInfo, path: Path, notices: list[str]) -> Tree:
    """``base`` with only ``kind``, and keys nobody knows, left for a section given whole."""
    names = {name for v in variants(field.annotation) for name in v.model_fields} - {"kind"}
    left = {key: entry for key, entry in base.items() if key not in names}
    if gone := [key for key in base if key in names and key not in whole.value]:
        said = f"replaces all of {dotted(path)}; left out: {_listed(gone, base, path)}"
        notices.append(whole.origin.prefix + said)
    return left
