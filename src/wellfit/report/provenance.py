"""Where a run came from: its data, its recipe, its machine, as rows of a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from wellfit.report import words
from wellfit.store import RunView

_SPLITS = ("train", "val", "test")
Explained = dict[str, Any]  # a line of resolved.yaml: key, value, origin, reason, source
_EMPTY: tuple[object, ...] = (None, "", [], {}, ())


class Fact(NamedTuple):
    """A name and what is known under it."""

    name: str
    text: str


class Audit(NamedTuple):
    """The data of a run: what each split has, in columns, and what concerns all of them."""

    columns: list[str]
    table: list[tuple[str, list[str]]]
    facts: list[Fact]


def audit(data: Mapping[str, Any]) -> Audit:
    """data.json, whatever it holds: what is known per split in a table, the rest as facts."""
    merged = {**data, **(data.get("audit") or {})}
    merged.pop("audit", None)
    splits = merged.pop("splits", None) or {}
    columns = [name for name in dict.fromkeys((*_SPLITS, *splits)) if name in splits]
    table, facts = [], []
    for name, value in (*_spread("", splits, columns), *_spread("", merged, columns)):
        if isinstance(value, Mapping):
            if any(inner not in _EMPTY for inner in value.values()):
                table.append((_name(name), [_cell(name, value.get(c)) for c in columns]))
        elif value not in _EMPTY:
            facts.append(Fact(_name(name), _cell(name, value)))
    return Audit(columns, table, facts)


def _spread(name: str, value: Any, columns: list[str]) -> Iterator[tuple[str, Any]]:
    """Nested mappings as (dotted name, value), where a value may be one per split."""
    if not isinstance(value, Mapping) or not value:
        yield name, value
    elif not set(value) <= {*_SPLITS, *columns}:
        for key, inner in value.items():
            yield from _spread(f"{name}.{key}" if name else str(key), inner, columns)
    elif all(isinstance(inner, Mapping) for inner in value.values()):
        for metric in dict.fromkeys(key for inner in value.values() for key in inner):
            cells = {split: inner.get(metric) for split, inner in value.items()}
            yield f"{name}.{metric}" if name else str(metric), cells
    else:
        yield name, value


def _name(dotted: str) -> str:
    text = " ".join(words.key_text(part) for part in dotted.split("."))
    return text.removesuffix(" frac").removesuffix(" share")


def _cell(name: str, value: Any) -> str:
    if value in _EMPTY:
        return words.NOTHING
    if words.is_number(value) and name.endswith(("share", "frac")):
        return f"{100 * value:.3g}%"
    return f"{value:,}" if type(value) is int else words.fact_text(value)


def recipe_lines(resolved: Mapping[str, Any]) -> tuple[list[Explained], list[Explained]]:
    """What was asked for or worked out; and what was left at its default."""
    lines = [
        # the recipe's own name is enough: its folder is of no use elsewhere
        {**line, "origin": PurePosixPath(str(line["origin"])).name}
        for line in resolved.get("explained") or []
    ]
    asked = [line for line in lines if line["origin"] != "default"]
    return asked, [line for line in lines if line["origin"] == "default"]


def machine_facts(view: RunView) -> list[Fact]:
    """environment.json, the machine first."""
    environment = view.environment()
    machine = view.facts().get("machine") or environment.get("machine") or {}
    rest = {key: value for key, value in environment.items() if key != "machine"}
    known = {
        key: value
        for key, value in {**machine, **rest}.items()
        if value not in _EMPTY and key != "summary" and (value or not key.startswith("gpu"))
    }
    if isinstance(command := known.get("command"), list):
        known["command"] = " ".join(map(str, command))  # as it was typed
    named = (words.named(key, value) for key, value in known.items())
    return [Fact(name, words.fact_text(text)) for name, text in named]
