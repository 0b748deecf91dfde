"""What users of other trainers type, and what it is called here.

The names are in ``aliases.toml``, which is read when something is unknown and not before.  An
alias is never accepted as a key; it only makes the error name the right one, with the value
written out in the form it takes here.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

from wellfit.config.fields import show, write_percent

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_LABEL = re.compile(r"(?P<key>[a-z0-9_.]+)(?: \((?:= (?P<value>.+)|(?P<form>.+))\))?")
# A budget in the right form, for when the value given cannot be put into it.
_BUDGETS = {"steps": "5000 steps", "epochs": "3 epochs", "tokens": "1B tokens"}


class Alias(NamedTuple):
    """The key to write instead, and the form its value takes, or the value itself."""

    key: str
    form: str
    value: str


class Names(NamedTuple):
    """All that other trainers call things, by the name they give them."""

    keys: dict[str, Alias]
    inside: dict[tuple[str, str], Alias]  # by section and name
    sections: dict[str, str]
    words: dict[str, dict[str, str]]  # by our key, then by their word
    advice: dict[str, str]  # for names with no single key here


class Said(NamedTuple):
    """An alias applied: the key, and the text of its value where that can be made out."""

    key: str
    value: str
    example: str = ""


@cache
def other_names() -> Names:
    """The table of aliases."""
    file = resources.files("wellfit.config").joinpath("aliases.toml")
    table = tomllib.loads(file.read_text(encoding="utf-8"))
    return Names(
        keys={name: _alias(label) for name, label in _turned(table["keys"]).items()},
        inside={
            (section, name): _alias(label)
            for section, labels in table["inside"].items()
            for name, label in _turned(labels).items()
        },
        sections=_turned(table["sections"]),
        words={key: _turned(words) for key, words in table["words"].items()},
        advice={
            name: " ".join(entry["text"].split())
            for entry in table["advice"]
            for name in entry["names"].split()
        },
    )


def _turned(table: Mapping[str, Any]) -> dict[str, str]:
    """``{ours: "theirs other"}`` as ``{theirs: ours, other: ours}``."""
    return {name: ours for ours, names in table.items() for name in names.split()}


def _alias(label: str) -> Alias:
    match = _LABEL.fullmatch(label)
    assert match, f"not a key with the form of its value: {label!r}"
    return Alias(match["key"], match["form"] or "same", match["value"] or "")


def plain_name(key: str) -> str:
    """A key in lower case with underscores, however it was typed."""
    return _CAMEL.sub("_", key.strip().lstrip("-")).lower().replace("-", "_").replace(" ", "_")


def say(section: str, key: str, value: object) -> Said | None:
    """The alias for a key of a section, with the value in the form it takes here."""
    names, name = other_names(), plain_name(key)
    alias = names.inside.get((section, name)) or names.keys.get(name)
    if alias is None:
        return None
    if alias.value:
        return Said(alias.key, alias.value)
    number = value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
    match alias.form:
        case "same" if isinstance(value, (str, int, float, list)) and value != "":
            word = other_names().words.get(alias.key, {}).get(str(value).lower())
            text = show(value).strip("'\"")
            return Said(alias.key, word or (text.lower() if alias.key.endswith("kind") else text))
        case "steps" | "tokens" if number is not None and number > 0 and number % 1 == 0:
            return Said(alias.key, f"{int(number)} {alias.form}")
        case "epochs" | "minutes" if number is not None and number > 0:
            return Said(alias.key, f"{number:g} {alias.form}")
        case "steps" if number == 0 and alias.key == "schedule.warmup":
            return Said(alias.key, "0")
        case "share" | "percent" if number is not None and 0 <= number < 1:
            return Said(alias.key, write_percent(number))
        case "percent" if number is not None and 1 <= number < 100:
            return Said(alias.key, f"{number:g}%")
        case "clip" if number == 0 or value is None:
            return Said("regularize.clip", "null")
        case "clip" if number is not None and number > 0:
            return Said(alias.key, str(number))
        case "published":
            path = value if isinstance(value, str) and value else "path/to/tokenizer.json"
            return Said(alias.key, f"{{kind: pretrained, path: {path}}}")
        case "off if 0" if value is False or value is None or (number is not None and number <= 0):
            return Said("stop", "null")
        case "off if 0" if isinstance(value, int) and value is not True:
            return Said(alias.key, str(value))
    example = _BUDGETS.get(alias.form, "10 minutes") if alias.key == "train.budget" else ""
    return Said(alias.key, "", example)
