"""What the user probably meant by a key or a value that does not exist."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from wellfit.config.aliases import other_names, plain_name, say
from wellfit.config.fields import Section, show
from wellfit.config.reading import Origin, read_scalar
from wellfit.config.structure import (
    Path,
    all_keys,
    default_section,
    dotted,
    kind_of,
    one_of,
    options,
    takes_only_words,
    variants,
    wanted,
)

_IN_SHELL = set(" '\"{}[]*?$&;|<>()#!`\\~")


class Suggestion(NamedTuple):
    """Advice about an unknown key, and the keys it names."""

    text: str
    keys: tuple[str, ...] = ()


def nearest(word: str, among: Sequence[str], *, cutoff: float = 0.6) -> str | None:
    """The likeliest of several words for one that is misspelt; None when none is close."""
    by_plain = {plain_name(w): w for w in reversed(among)}
    name = plain_name(word)
    if name in by_plain:
        return by_plain[name]
    squeezed = {w.replace("_", ""): w for w in by_plain}
    if name.replace("_", "") in squeezed:
        return by_plain[squeezed[name.replace("_", "")]]
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


def for_unknown_key(path: Path, section: type[Section], value: Any, origin: Origin) -> Suggestion:
    """What to write instead of a key that ``section`` does not have."""
    key, at = path[-1], path[:-1]
    own = [name for name in section.model_fields if name != "kind"]
    kind = kind_of(section)
    here = [k for k in all_keys() if k.path == path and k.section is not section]
    if here and kind is not None:
        kinds = one_of([str(kind_of(k.section)) for k in here])
        others = f"whose keys are {', '.join(own)}" if own else "which has no other keys"
        return Suggestion(f"belongs to kind {kinds}, and {dotted(at)}.kind is {kind}, {others}")
    if plain_name(key) in own:
        return _did_you_mean((*at, plain_name(key)))
    if isinstance(value, dict) and (named := other_names().sections.get(plain_name(key))):
        return _did_you_mean((named,))
    if said := _alias(path, value, origin):
        return said
    if close := nearest(key, own, cutoff=0.8):
        return _did_you_mean((*at, close))
    if found := _elsewhere(key, value, origin) or _begun(key, at, own):
        return found
    return Suggestion(f"unknown key. {_keys(dotted(at) or 'a recipe', own)}")


def _begun(key: str, at: Path, own: Sequence[str]) -> Suggestion | None:
    """A key of the section that this one begins with, or the other way round, or is far from."""
    name = plain_name(key)
    begun = [w for w in own if min(len(w), len(name)) > 2 and (w in name or name in w)]
    close = begun[0] if len(begun) == 1 else nearest(key, own)
    return _did_you_mean((*at, close)) if close else None


def _did_you_mean(path: Path) -> Suggestion:
    return Suggestion(f"unknown key. Did you mean '{dotted(path)}'?", (dotted(path),))


def _keys(what: str, names: Sequence[str]) -> str:
    if not names:
        return f"There are no keys of {what}"
    return f"The keys of {what} are {', '.join(names)}"


def _alias(path: Path, value: Any, origin: Origin) -> Suggestion | None:
    said = say(dotted(path[:-1]), path[-1], value)
    if said is None:
        advice = other_names().advice.get(plain_name(path[-1]))
        return Suggestion(f"unknown key; {advice}") if advice else None
    is_section = said.value.startswith("{")
    if is_section or any(accepts(f, read_scalar(said.value)) for f in fields_at(said.key)):
        return Suggestion(f"unknown key; write {write(said.key, said.value, origin)}", (said.key,))
    want = wanted(*fields_at(said.key))
    text = (
        f"unknown key; it is called {said.key} here, and wants {want.what}; "
        f"write for example {write(said.key, said.example or want.example, origin)}"
    )
    return Suggestion(text, (said.key,))


def _elsewhere(key: str, value: Any, origin: Origin) -> Suggestion | None:
    """A key of that name in another section, or one close to it."""
    found = {dotted(k.path): k for k in all_keys() if k.path[-1] != "kind"}
    exact = [name for name, k in found.items() if k.path[-1] == plain_name(key)]
    if len(exact) == 1 and not isinstance(value, (dict, list)):
        example = value if isinstance(value, str) else show(value)
        if accepts(found[exact[0]].field, value):
            return Suggestion(f"unknown key; write {write(exact[0], example, origin)}", (exact[0],))
    if exact:
        return Suggestion(
            f"unknown key. Did you mean {one_of([repr(e) for e in exact])}?", tuple(exact)
        )
    close = nearest(key, [k.path[-1] for k in found.values()], cutoff=0.8)
    names = [name for name, k in found.items() if k.path[-1] == close]
    if not names:
        return None
    return Suggestion(
        f"unknown key. Did you mean {one_of([repr(n) for n in names])}?", tuple(names)
    )


def for_word(key: str, value: str, among: Sequence[str]) -> str | None:
    """The word meant by one that is not on the list."""
    known = other_names().words.get(key, {}).get(value.lower())
    return known if known in among else nearest(value, among)


def for_plain_section(field: FieldInfo, path: Path, value: Any, origin: Origin) -> str | None:
    """What to write when a section was given one plain value, such as ``tokenizer: char``."""
    kinds = [kind for v in variants(field.annotation) if (kind := kind_of(v))]
    if isinstance(value, str) and (meant := for_word(dotted((*path, "kind")), value, kinds)):
        return write(dotted((*path, "kind")), meant, origin)
    for name, inner in default_section(field).model_fields.items():
        is_word = isinstance(value, str) and takes_only_words(inner)
        word = for_word(dotted((*path, name)), value, options(inner)) if is_word else None
        if name != "kind" and (word or (not is_word and accepts(inner, value))):
            return write(dotted((*path, name)), word or show(value).strip("'"), origin)
    return None


def fields_at(key: str) -> list[FieldInfo]:
    """The field of a dotted key in each kind that has it."""
    return [k.field for k in all_keys() if dotted(k.path) == key]


def accepts(field: FieldInfo, value: Any) -> bool:
    """Whether a field takes a value."""
    if isinstance(value, float) and not math.isfinite(value):
        return False
    try:
        TypeAdapter(field.rebuild_annotation()).validate_python(value, strict=True)
    except ValidationError:
        return False
    return True
