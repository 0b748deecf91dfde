"""What the user probably meant by a key or a value that does not exist."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from functools import cache
from typing import Any

from pydantic import ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from wellfit.config.aliases import other_names, plain_name, say
from wellfit.config.fields import Section, show
from wellfit.config.reading import Origin, Path, read_scalar
from wellfit.config.structure import (
    all_keys,
    default_section,
    dotted,
    kind_of,
    kinds_of,
    one_of,
    options,
    takes_only_words,
    wanted,
)

_IN_SHELL = set(" '\"{}[]*?$&;|<>()#!`\\~")


def nearest(word: str, among: Sequence[str], *, cutoff: float = 0.6) -> str | None:
    """The likeliest of several words for one that is misspelt; None when none is close."""
    name, by_plain = plain_name(word), {plain_name(w): w for w in reversed(among)}
    squeezed = {w.replace("_", ""): w for w in by_plain}
    if name.replace("_", "") in squeezed:
        return by_plain[name if name in by_plain else squeezed[name.replace("_", "")]]
    close = difflib.get_close_matches(name, by_plain, n=1, cutoff=cutoff)
    return by_plain[close[0]] if close else None


def write(key: str, value: str, origin: Origin) -> str:
    """A key and a value as they are typed where the user is typing: in a file or a shell."""
    if origin.kind != "flag":
        return f"{key}: {value}"
    if _IN_SHELL & set(value):
        quote = "'" if "'" not in value else '"'
        value = f"{quote}{value}{quote}"
    return f"{key}={value}"


def for_unknown_key(path: Path, section: type[Section], value: Any, origin: Origin) -> str:
    """What to write instead of a key that ``section`` does not have."""
    key, at, name = path[-1], path[:-1], plain_name(path[-1])
    own = [k for k in section.model_fields if k != "kind"]
    here = [kind_of(k.section) for k in all_keys() if k.path == path]
    if kinds := [kind for kind in here if kind is not None]:
        others = f"whose keys are {', '.join(own)}" if own else "which has no other keys"
        is_now = f"{dotted(at)}.kind is {kind_of(section)}, {others}"
        return f"belongs to kind {one_of(kinds)}, and {is_now}"
    if name in own:
        return _did_you_mean((*at, name))
    if isinstance(value, dict) and (named := other_names().sections.get(name)):
        return _did_you_mean((named,))
    if advice := _alias(path, value, origin):
        return advice
    if close := nearest(key, own, cutoff=0.8):
        return _did_you_mean((*at, close))
    if advice := _elsewhere(key, value, origin):
        return advice
    # one that begins with it, or the other way round, else one that is rather far from it
    begun = [w for w in own if min(len(w), len(name)) > 2 and (w in name or name in w)]
    if close := begun[0] if len(begun) == 1 else nearest(key, own):
        return _did_you_mean((*at, close))
    what = dotted(at) or "a recipe"
    keys = f"The keys of {what} are {', '.join(own)}" if own else f"There are no keys of {what}"
    return f"unknown key. {keys}"


def _did_you_mean(*paths: Path) -> str:
    return f"unknown key. Did you mean {one_of([repr(dotted(path)) for path in paths])}?"


def _alias(path: Path, value: Any, origin: Origin) -> str | None:
    """The key that other trainers call so, with the value in the form it takes here."""
    said = say(dotted(path[:-1]), path[-1], value)
    if said is None:
        advice = other_names().advice.get(plain_name(path[-1]))
        return f"unknown key; {advice}" if advice else None
    key, fields = said.key, fields_at(said.key)
    is_section = said.value.startswith("{")
    if is_section or any(accepts(f, read_scalar(said.value)) for f in fields):
        return f"unknown key; write {write(key, said.value, origin)}"
    if key.endswith(".kind"):
        words = [str(f.default) for f in fields]
        what, example = one_of(words), words[0]
    else:
        what, example = wanted(fields[0])
    shown = write(key, said.example or example, origin)
    return f"unknown key; it is called {key} here, and wants {what}; write for example {shown}"


def _elsewhere(key: str, value: Any, origin: Origin) -> str | None:
    """A key of that name in another section, or one close to it."""
    found = {k.path: k.field for k in all_keys() if k.path[-1] != "kind"}
    exact = [path for path in found if path[-1] == plain_name(key)]
    if len(exact) == 1 and not isinstance(value, (dict, list)) and accepts(found[exact[0]], value):
        shown = value if isinstance(value, str) else show(value)
        return f"unknown key; write {write(dotted(exact[0]), shown, origin)}"
    close = nearest(key, [path[-1] for path in found], cutoff=0.8)
    among = exact or [path for path in found if path[-1] == close]
    return _did_you_mean(*among) if among else None


def for_word(key: str, value: str, among: Sequence[str]) -> str | None:
    """The word meant by one that is not on the list."""
    known = other_names().words.get(key, {}).get(value.lower())
    return known if known in among else nearest(value, among)


def for_plain_section(field: FieldInfo, path: Path, value: Any, origin: Origin) -> str | None:
    """What to write when a section was given one plain value, such as ``tokenizer: char``."""
    key = dotted((*path, "kind"))
    if isinstance(value, str) and (meant := for_word(key, value, kinds_of(field))):
        return write(key, meant, origin)
    for name, inner in default_section(field).model_fields.items():
        key = dotted((*path, name))
        if isinstance(value, str) and takes_only_words(inner):
            word = for_word(key, value, options(inner))
        else:
            word = show(value).strip("'") if accepts(inner, value) else None
        if name != "kind" and word:
            return write(key, word, origin)
    return None


def fields_at(key: str) -> list[FieldInfo]:
    """The field of a dotted key in each kind that has it."""
    return [k.field for k in all_keys() if dotted(k.path) == key]


@cache
def _alone(field: FieldInfo) -> type[Section]:
    """A section that has this field and no other."""
    return create_model("Alone", __base__=Section, value=(field.rebuild_annotation(), ...))


def refusal(field: FieldInfo, value: Any) -> ErrorDetails | None:
    """Why a field does not take a plain value; None when it does."""
    try:
        _alone(field).model_validate({"value": value})
    except ValidationError as e:
        return e.errors()[0]
    return None


def accepts(field: FieldInfo, value: Any) -> bool:
    """Whether a field takes a value."""
    return refusal(field, value) is None
