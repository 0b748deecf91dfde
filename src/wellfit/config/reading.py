"""Recipe text as a tree that remembers where each key was written.

ruamel.yaml finds the structure; plain scalars are read here by the YAML 1.2 core schema, so
that ``3e-4`` is a number, ``no`` and ``1:30`` are text, and a command-line value means the
same as it does in a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, NoReturn, TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.reader import ReaderError

from wellfit.config.fields import Section, show
from wellfit.errors import ConfigError

MAX_CHARACTERS = 256_000  # a recipe is a page; on a mistaken file the parser would seem to hang
MAX_DEPTH = 12
_NO_COLON = "has no ':'; write KEY: VALUE"
_STAR = "'*' begins an alias in YAML; put quotes round a pattern ('*.txt'), or write the value out"

_NULL = re.compile(r"null|Null|NULL|~|")
_TRUE = re.compile(r"true|True|TRUE")
_FALSE = re.compile(r"false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]{1,400}")  # Python refuses to read integers far beyond that
_OCTAL = re.compile(r"0o[0-7]{1,400}")
_HEX = re.compile(r"0x[0-9a-fA-F]{1,400}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INF = re.compile(r"([-+]?)\.(inf|Inf|INF)")
_NAN = re.compile(r"\.(nan|NaN|NAN)")


class Origin(NamedTuple):
    """Where a value came from.  ``where`` is a preset, ``FILE:LINE:COLUMN`` or the command line."""

    kind: Literal["preset", "file", "flag", "default"]
    where: str = ""
    typed: str = ""  # the whole override, for those of the command line

    @property
    def prefix(self) -> str:
        """How a problem with this value begins."""
        where = f"{self.where} {self.typed!r}" if self.kind == "flag" else self.where
        return f"{where}: " if where else ""


class Entry(NamedTuple):
    """A value, or a tree of entries, and where its key was written."""

    value: Any
    origin: Origin
    is_dotted: bool = False  # came from a key such as train.budget, so its section may go on


Tree: TypeAlias = dict[str, Entry]


class Problem(NamedTuple):
    """One thing that is wrong: where, with which key, and in which words."""

    origin: Origin
    key: str
    text: str

    def __str__(self) -> str:
        return f"{self.origin.prefix}{self.key + ': ' if self.key else ''}{self.text}"


@dataclass
class Reading:
    """One recipe text being read: its name, and the problems found so far."""

    name: str
    text: str
    problems: list[Problem] = field(default_factory=list)

    def origin(self, event: Any) -> Origin:
        """Where an event begins; lines and columns count from 1, as editors do."""
        return self.at(event.start_mark)

    def at(self, mark: Any) -> Origin:
        """Where a mark of the parser stands."""
        return Origin("file", f"{self.name}:{mark.line + 1}:{mark.column + 1}")

    def line(self, mark: Any, *, above: int = 0) -> str:
        """The line a mark stands in, or one above it, without its indentation."""
        lines = self.text.splitlines()
        number = mark.line - above
        return lines[number].strip() if 0 <= number < len(lines) else ""


def read_scalar(text: str) -> None | bool | int | float | str:
    """A plain scalar by the core schema of YAML 1.2 (section 10.3.2 of its specification)."""
    if _NULL.fullmatch(text):
        return None
    if _TRUE.fullmatch(text) or _FALSE.fullmatch(text):
        return text[0] in "tT"
    if _INT.fullmatch(text):
        return int(text)
    if _OCTAL.fullmatch(text) or _HEX.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text) or _NAN.fullmatch(text):
        return float(text.replace(".nan", "nan").replace(".NaN", "nan").replace(".NAN", "nan"))
    if infinite := _INF.fullmatch(text):
        return float(infinite[1] + "inf")
    return text


def read_recipe(text: str, name: str) -> tuple[Tree, list[Problem]]:
    """The tree of a recipe text, with every problem that does not stop the reading.

    Raises ``ConfigError`` when the text is not YAML, or is not a mapping of sections.
    """
    reading = Reading(name, text)
    value = _read(reading, "a recipe")
    if value is None:
        return {}, reading.problems
    if not isinstance(value, dict):
        spaced = isinstance(value, str) and re.match(r"\w+:\S", value)
        hint = "put a space after ':'" if spaced else f"wellfit init {name} --data PATH writes one"
        raise ConfigError(
            [
                f"{name}:1:1: a recipe is a mapping of sections such as 'data:' and 'train:', "
                f"and this is {show(value)}; {hint}"
            ]
        )
    return value, reading.problems


def read_value(text: str, typed: str) -> tuple[Any, list[Problem]]:
    """The value of an override.

    Only a value that begins with a bracket or a quote is read as YAML.  The rest is one scalar
    to its end, so that ``data.path=*.txt`` and prompts with ``:`` or ``#`` need no quotes that
    the shell would eat.
    """
    if text[:1] not in ("[", "{", "'", '"'):
        return read_scalar(text), []
    origin = Origin("flag", "command line", typed)
    reading = Reading("command line", text)
    try:
        value = _read(reading, "a value")
    except ConfigError as e:
        place, _, reason = e.problems[0].partition(": ")
        column = place.rpartition(":")[2]
        return None, [Problem(origin, "", f"{reason} (character {column} after '=')")]
    return _from_flag(value, origin), [Problem(origin, p.key, p.text) for p in reading.problems]


def _from_flag(value: Any, origin: Origin) -> Any:
    if not isinstance(value, dict):
        return value
    return {k: Entry(_from_flag(e.value, origin), origin, e.is_dotted) for k, e in value.items()}


def _read(reading: Reading, what: str) -> Any:
    text = reading.text
    if len(text) > MAX_CHARACTERS:
        raise ConfigError(
            [
                f"{reading.name}: {len(text):,} characters are too long for {what} "
                f"(at most {MAX_CHARACTERS:,}); is this the data rather than the recipe?"
            ]
        )
    try:
        events = _checked(YAML(typ="rt", pure=True).parse(text), reading)
        value = None
        for event in events:
            if isinstance(event, DocumentStartEvent):
                value = _node(next(events), events, reading, path="", depth=0)
    except MarkedYAMLError as e:
        raise ConfigError([_syntax(e, reading)]) from None
    except ReaderError as e:
        line = text.count("\n", 0, e.position) + 1
        column = e.position - (text.rfind("\n", 0, e.position) + 1) + 1
        shown = f"\\x{e.character:02x}" if isinstance(e.character, int) else repr(e.character)
        raise ConfigError(
            [
                f"{reading.name}:{line}:{column}: the character {shown} cannot stand in "
                "YAML; remove it, or write it as an escape inside double quotes"
            ]
        ) from None
    except (YAMLError, ValueError) as e:
        raise ConfigError([f"{reading.name}:1:1: not YAML: {e}"]) from None
    return value


def _checked(events: Iterator[Any], reading: Reading) -> Iterator[Any]:
    """The events, less what a recipe has no use for, refused before it can do harm."""
    documents = 0
    for event in events:
        rest = reading.line(event.start_mark)[-60:]
        if isinstance(event, DocumentStartEvent):
            documents += 1
            if documents > 1:
                _refuse(reading, event, "a second document begins here; a recipe is one document")
        if isinstance(event, AliasEvent):
            _refuse(reading, event, f"{_STAR}, here in {rest!r}")
        if getattr(event, "anchor", None) is not None:
            text = f"'&{event.anchor}' is a YAML anchor; write the value where it is used"
            _refuse(reading, event, text)
        if getattr(event, "tag", None) not in (None, "!"):
            _refuse(
                reading, event, f"the YAML tag {event.tag} is not read here; write a plain value"
            )
        yield event


def _refuse(reading: Reading, event: Any, reason: str) -> NoReturn:
    raise ConfigError([f"{reading.origin(event).where}: {reason}"])


def _syntax(error: MarkedYAMLError, reading: Reading) -> str:
    """A YAML syntax error, at the place to mend, in words for one who does not know YAML."""
    problem, context = str(error.problem or ""), str(error.context or "")
    mark = error.problem_mark or error.context_mark
    opened = error.context_mark or mark
    line = reading.line(mark) if mark else ""
    if "while parsing a flow" in context:
        mark, line = opened, reading.line(opened)
        text = f"a bracket opened here is not closed, or a comma is missing, in {line!r}"
    elif "while scanning a quoted scalar" in context:
        mark, text = opened, "a quote opened here is not closed"
    elif "<document start>" in problem:
        text = f"more text after the end of the value, in {line!r}; put quotes round all of it"
    elif "'\\t'" in problem:
        text = "a tab indents this line; YAML wants spaces"
    elif "mapping values are not allowed" in problem and re.search(r":\s.*:(\s|$)", line):
        text = f"a second ':' in {line!r}; put quotes round text that contains ': '"
    elif "mapping values are not allowed" in problem:
        above = reading.line(mark, above=1)
        lost = "has a value already; is this line indented too far?" if ":" in above else _NO_COLON
        text = f"the line above, {above!r}, {lost}"
    elif "could not find expected ':'" in problem:
        mark, text = opened, f"{reading.line(opened)!r} {_NO_COLON}"
    elif "scanning an alias" in context:
        text = f"{_STAR}, here in {line!r}"
    elif "cannot start any token" in problem:
        sign = reading.text.splitlines()[mark.line][mark.column]
        text = f"no YAML value begins with {sign!r}; put quotes round it, in {line!r}"
    elif "expected <block end>" in problem:
        text = f"the indentation of {line!r} does not line up with the lines above"
    else:
        text = f"not YAML: {problem or context}, in {line!r}"
    return f"{reading.at(mark).where if mark else reading.name + ':1:1'}: {text}"


def _node(event: Any, events: Iterator[Any], reading: Reading, *, path: str, depth: int) -> Any:
    if depth > MAX_DEPTH:
        _refuse(reading, event, f"more than {MAX_DEPTH} levels deep; a recipe has 4 at most")
    match event:
        case ScalarEvent():
            is_plain = event.implicit[0]
            return read_scalar(event.value) if is_plain else event.value
        case SequenceStartEvent():
            items = []
            for item in events:
                if isinstance(item, SequenceEndEvent):
                    break
                node = _node(item, events, reading, path=path, depth=depth + 1)
                items.append(_plain_value(node))
            return items
        case MappingStartEvent():
            return _mapping(events, reading, path=path, depth=depth)
        case _:
            raise AssertionError(f"no node begins with {event!r}")


def _mapping(events: Iterator[Any], reading: Reading, *, path: str, depth: int) -> Tree:
    tree: Tree = {}
    for key in events:
        if isinstance(key, MappingEndEvent):
            break
        if not isinstance(key, ScalarEvent):
            _refuse(reading, key, "a key is a plain word, not a list or a mapping")
        event = next(events)
        origin, here = reading.origin(key), f"{path}.{key.value}" if path else key.value
        value = _node(event, events, reading, path=here, depth=depth + 1)
        if value is None and event.value == "":
            text = "is empty; write a value, write null to switch it off, or remove the line"
            reading.problems.append(Problem(origin, here, text))
            continue
        place(tree, key.value, Entry(value, origin), reading.problems, at=path)
    return tree


def place(tree: Tree, key: str, entry: Entry, problems: list[Problem], *, at: str = "") -> None:
    """Put an entry at a key, which may be dotted, unless something is there already.

    ``at`` is the dotted key of the tree itself, for the words of a problem.
    """
    head, dot, rest = key.partition(".")
    if dot and head and rest and rest.count(".") < MAX_DEPTH:
        inner: Tree = {}
        place(inner, rest, entry, problems)
        key, entry = head, Entry(inner, entry.origin, is_dotted=True)
    there = tree.get(key)
    here = f"{at}.{key}" if at else key
    if there is None:
        tree[key] = entry
    elif (
        isinstance(there.value, dict)
        and isinstance(entry.value, dict)
        and (there.is_dotted or entry.is_dotted)
    ):
        joined = dict(there.value)
        for name, child in entry.value.items():
            place(joined, name, child, problems, at=here)
        tree[key] = Entry(joined, there.origin, there.is_dotted and entry.is_dotted)
    else:
        first = f", first at {there.origin.where}" if there.origin.where else ""
        problems.append(Problem(entry.origin, here, f"given a second time{first}; keep one"))


def tree_of(mapping: Mapping[Any, Any], origin: Origin, problems: list[Problem]) -> Tree:
    """The tree of a plain mapping all of whose values come from one place."""
    tree: Tree = {}
    for key, value in mapping.items():
        if isinstance(value, Section):
            value = value.model_dump()
        if isinstance(value, Mapping):
            value = tree_of(value, origin, problems)
        place(tree, str(key), Entry(value, origin), problems)
    return tree


def plain(tree: Tree) -> dict[str, Any]:
    """The values of a tree without their places."""
    return {key: _plain_value(entry.value) for key, entry in tree.items()}


def _plain_value(value: Any) -> Any:
    return plain(value) if isinstance(value, dict) else value
