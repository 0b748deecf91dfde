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
from wellfit.config.reading import read_scalar
from wellfit.config.recipe import Recipe
from wellfit.config.structure import Path, dotted, first_sentence, section_for
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
    blocks = _blocks(values, Recipe, (), notes or {})
    return "\n".join(blocks)


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
        if inner is None:
            line = f"{indent}{name}: {written(value, field)}"
        else:
            line = f"{indent}{name}:"
        yield (
            comment
            + _with_note(line, notes.get(dotted(here)), indent)
            + "\n"
            + "".join(_blocks(value, inner, here, notes) if inner is not None else ())
        )


def _comment(text: str, indent: str) -> str:
    lines = textwrap.wrap(text, _WIDTH - len(indent) - 2, break_long_words=False)
    return "".join(f"{indent}# {line}\n" for line in lines)


def _with_note(line: str, note: str | None, indent: str) -> str:
    """The line with its note behind it, or above it where that would be too wide."""
    text = "".join(c if c.isprintable() else " " for c in note or "")
    text = " ".join(text.split())
    if not text:
        return line
    if len(line) + len(text) + 4 <= _WIDTH:
        return f"{line}  # {text}"
    return _comment(text, indent) + line


def written(value: Any, field: FieldInfo) -> str:
    """A value as YAML; shares as percentages, which are easier to read and just as exact."""
    is_share = any(
        isinstance(m, PlainValidator) and m.func in (read_fraction, read_span)
        for m in field.metadata
    )
    if is_share and isinstance(value, float):
        return write_percent(value) if value else "0"
    return yaml_value(str(value) if isinstance(value, Duration) else value)


def yaml_value(value: Any) -> str:
    """A plain value, or a list of them, as YAML on one line."""
    if isinstance(value, str):
        return _yaml_text(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(yaml_value(item) for item in value) + "]"
    return show(value)


def _yaml_text(text: str) -> str:
    if _PLAIN.fullmatch(text) and read_scalar(text) == text:
        return text
    return '"' + "".join(_escaped(character) for character in text) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if character.isprintable():
        return character
    named = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(character)
    code = ord(character)
    return named or (f"\\x{code:02x}" if code < 0x100 else _wide(code))


def _wide(code: int) -> str:
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
