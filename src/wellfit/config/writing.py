"""Recipes as commented YAML, which reads back as the same recipe.

Written by hand and not by the YAML library, because the comments are the point: each is the
first sentence of the field's docstring, so a recipe never says something else than the help.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import PlainValidator
from pydantic.fields import FieldInfo

from wellfit.config.fields import Section, read_fraction, read_span, show, write_percent
from wellfit.config.loader import to_dict
from wellfit.config.presets import Preset
from wellfit.config.reading import Path, read_scalar
from wellfit.config.recipe import Recipe
from wellfit.config.structure import dotted, first_sentence, section_for
from wellfit.units import Duration

_WIDTH = 100
_PLAIN = re.compile(r"[A-Za-z0-9_./](?:[A-Za-z0-9_./ *%+-]*[A-Za-z0-9_./*%+-])?")


def dump_commented(recipe: Recipe, notes: Mapping[str, str] | None = None) -> str:
    """The whole recipe as YAML, each key with what it means.

    ``notes`` are remarks by dotted key, set behind the value: where it came from, say.
    """
    return write_partly(to_dict(recipe), notes)


def preset_text(preset: Preset) -> str:
    """A preset as part of a recipe, to read or to copy."""
    head = (
        f"# The preset {preset.name}: {preset.about}.\n"
        f"# To use it, write 'preset: {preset.name}' and data.path in a recipe of your own;\n"
        "# what your recipe says wins over what the preset says.\n\n"
    )
    return head + write_partly(preset.values)


def write_partly(values: Mapping[str, Any], notes: Mapping[str, str] | None = None) -> str:
    """Part of a recipe, or all of it, as commented YAML in the order of the reference."""
    return "\n".join(_blocks(values, Recipe, (), notes or {}))


def _blocks(
    values: Mapping[str, Any], section: type[Section], path: Path, notes: Mapping[str, str]
) -> Iterator[str]:
    """One piece of text for each key of a section, with its comment and all it holds."""
    indent = "  " * len(path)
    for name, field in section.model_fields.items():
        if name not in values:
            continue
        value, here = values[name], (*path, name)
        comment = "" if name == "kind" else _comment(first_sentence(field.description), indent)
        inner = section_for(field, value) if isinstance(value, Mapping) else None
        line = f"{indent}{name}:" + ("" if inner else f" {written(value, field)}")
        held = "".join(_blocks(value, inner, here, notes)) if inner else ""
        yield f"{comment}{_with_note(line, notes.get(dotted(here)), indent)}\n{held}"


def _comment(text: str, indent: str) -> str:
    lines = textwrap.wrap(text, _WIDTH - len(indent) - 2, break_long_words=False)
    return "".join(f"{indent}# {line}\n" for line in lines)


def _with_note(line: str, note: str | None, indent: str) -> str:
    """The line with its note behind it, or above it where that would be too wide."""
    text = " ".join("".join(c if c.isprintable() else " " for c in note or "").split())
    if len(line) + len(text) + 4 <= _WIDTH or not text:
        return f"{line}  # {text}" if text else line
    return _comment(text, indent) + line


def written(value: Any, field: FieldInfo) -> str:
    """A value as YAML; shares as percentages, which are easier to read and just as exact."""
    readers = [m.func for m in field.metadata if isinstance(m, PlainValidator)]
    if isinstance(value, float) and {read_fraction, read_span} & set(readers):
        return write_percent(value) if value else "0"
    return yaml_value(str(value) if isinstance(value, Duration) else value)


def yaml_value(value: Any) -> str:
    """A plain value, or a list or mapping of them, as YAML on one line."""
    if isinstance(value, str):
        return _yaml_text(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(yaml_value(item) for item in value) + "]"
    if isinstance(value, Mapping):
        held = (f"{yaml_value(key)}: {yaml_value(item)}" for key, item in value.items())
        return "{" + ", ".join(held) + "}"
    return show(value)


def _yaml_text(text: str) -> str:
    if _PLAIN.fullmatch(text) and read_scalar(text) == text:
        return text
    escaped = (c if c.isprintable() and c not in '"\\' else _escape(c) for c in text)
    return '"' + "".join(escaped) + '"'


def _escape(character: str) -> str:
    """As Python escapes it, which YAML reads."""
    return '\\"' if character == '"' else character.encode("unicode_escape").decode()
