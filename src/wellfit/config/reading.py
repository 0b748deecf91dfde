"""Recipe text as a tree that remembers where each key was written.

ruamel.yaml finds the structure; plain scalars are read here by the YAML 1.2 core schema, so
that ``3e-4`` is a number, ``no`` and ``1:30`` are text, and a command-line value means the
same as it does in a file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
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
)
from ruamel.yaml.reader import ReaderError

from wellfit.config.fields import Section, show
from wellfit.errors import ConfigError

MAX_CHARACTERS = 256_000  # a recipe is a page; on a mistaken file the parser would seem to hang
MAX_DEPTH = 12
_NO_COLON = "has no ':'; write KEY: VALUE"
_BRACKET = "a bracket opened here is not closed, or a comma is missing"
_STAR = "'*' begins an alias in YAML; put quotes round a pattern ('*.txt'), or write the value out"

_NULL = re.compile(r"null|Null|NULL|~|")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]{1,400}")  # Python refuses to read integers far beyond that
_OCTAL_OR_HEX = re.compile(r"0o[0-7]{1,400}|0x[0-9a-fA-F]{1,400}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INF_OR_NAN = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


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
Path: TypeAlias = tuple[str, ...]


class Problem(NamedTuple):
    """One thing that is wrong: where, with which key, and in which words."""

    origin: Origin
    key: str
    text: str

    def __str__(self) -> str:
        return f"{self.origin.prefix}{self.key + ': ' if self.key else ''}{self.text}"


def read_scalar(text: str) -> None | bool | int | float | str:
    """A plain scalar by the core schema of YAML 1.2 (section 10.3.2 of its specification)."""
    if _NULL.fullmatch(text):
        return None
    if _BOOL.fullmatch(text):
        return text[0] in "tT"
    if _INT.fullmatch(text):
        return int(text)
    if _OCTAL_OR_HEX.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text)
    return float(text.replace(".", "")) if _INF_OR_NAN.fullmatch(text) else text


def read_recipe(text: str, name: str) -> tuple[Tree, list[Problem]]:
    """The tree of a recipe text, with every problem that does not stop the reading.

    Raises ``ConfigError`` when the text is not YAML, or is not a mapping of sections.
    """
    reading = _Reading(name, text, "a recipe")
    value = reading.value()
    if value is not None and not isinstance(value, dict):
        spaced = isinstance(value, str) and re.match(r"\w+:\S", value)
        hint = "put a space after ':'" if spaced else f"wellfit init {name} --data PATH writes one"
        what = "a recipe is a mapping of sections such as 'data:' and 'train:'"
        raise ConfigError([f"{name}:1:1: {what}, and this is {show(value)}; {hint}"])
    return value or {}, reading.problems


def read_value(text: str, typed: str) -> tuple[Any, list[Problem]]:
    """The value of an override.

    Only a value that begins with a bracket or a quote is read as YAML.  The rest is one scalar
    to its end, so that ``data.path=*.txt`` and prompts with ``:`` or ``#`` need no quotes that
    the shell would eat.
    """
    if text[:1] not in ("[", "{", "'", '"'):
        return read_scalar(text), []
    origin = Origin("flag", "command line", typed)
    reading = _Reading("command line", text, "a value")
    try:
        value = reading.value()
    except ConfigError as e:
        where, _, reason = e.problems[0].partition(": ")
        column = where.rpartition(":")[2]
        return None, [Problem(origin, "", f"{reason} (character {column} after '=')")]
    return _from_flag(value, origin), [Problem(origin, p.key, p.text) for p in reading.problems]


def _from_flag(value: Any, origin: Origin) -> Any:
    if not isinstance(value, dict):
        return value
    return {k: Entry(_from_flag(e.value, origin), origin, e.is_dotted) for k, e in value.items()}


class _Reading:
    """One recipe text being read, and the problems found so far that do not stop it."""

    def __init__(self, name: str, text: str, what: str) -> None:
        self.name, self.text, self.what = name, text, what
        self.lines = text.splitlines()
        self.problems: list[Problem] = []

    def value(self) -> Any:
        """The tree, list or scalar that the text holds.  Raises ``ConfigError``."""
        if len(self.text) > MAX_CHARACTERS:
            size = f"{len(self.text):,} characters are too long for {self.what}"
            hint = f"(at most {MAX_CHARACTERS:,}); is this the data rather than the recipe?"
            raise ConfigError([f"{self.name}: {size} {hint}"])
        try:
            value, documents = None, 0
            self.events = iter(YAML(typ="rt", pure=True).parse(self.text))
            for event in self.events:
                if isinstance(event, DocumentStartEvent):
                    documents += 1
                    if documents > 1:
                        text = "a second document begins here; a recipe is one document"
                        self.refuse(event.start_mark, text)
                    value = self.node(next(self.events), ())
        except MarkedYAMLError as e:
            self.refuse(*self.syntax(e))
        except ReaderError as e:
            line = self.text.count("\n", 0, e.position) + 1
            column = e.position - self.text.rfind("\n", 0, e.position)
            shown = f"\\x{e.character:02x}" if isinstance(e.character, int) else repr(e.character)
            hint = "cannot stand in YAML; remove it, or write it as an escape inside double quotes"
            where = f"{self.name}:{line}:{column}"
            raise ConfigError([f"{where}: the character {shown} {hint}"]) from None
        except (YAMLError, ValueError) as e:
            raise ConfigError([f"{self.name}:1:1: not YAML: {e}"]) from None
        return value

    def check(self, event: Any) -> None:
        """Refuse what a recipe has no use for, before it can do harm."""
        mark = event.start_mark
        if isinstance(event, AliasEvent):
            self.refuse(mark, f"{_STAR}, here in {self.line(mark)[-60:]!r}")
        if event.anchor is not None:
            hint = "write the value where it is used"
            self.refuse(mark, f"'&{event.anchor}' is a YAML anchor; {hint}")
        if event.tag not in (None, "!"):
            self.refuse(mark, f"the YAML tag {event.tag} is not read here; write a plain value")

    def node(self, event: Any, path: Path) -> Any:
        """The value that begins with an event."""
        self.check(event)
        if len(path) > MAX_DEPTH:
            text = f"more than {MAX_DEPTH} levels deep; a recipe has 4 at most"
            self.refuse(event.start_mark, text)
        if isinstance(event, ScalarEvent):
            return read_scalar(event.value) if event.implicit[0] else event.value
        if isinstance(event, MappingStartEvent):
            return self.mapping(path)
        items = []
        while not isinstance(item := next(self.events), SequenceEndEvent):
            items.append(plain_value(self.node(item, (*path, ""))))
        return items

    def mapping(self, path: Path) -> Tree:
        """The keys and values up to the end of a mapping."""
        tree: Tree = {}
        while not isinstance(event := next(self.events), MappingEndEvent):
            self.check(event)
            if not isinstance(event, ScalarEvent):
                self.refuse(event.start_mark, "a key is a plain word, not a list or a mapping")
            key, origin, given = event.value, self.origin(event.start_mark), next(self.events)
            value = self.node(given, (*path, key))
            if value is None and given.value == "":
                text = "is empty; write a value, write null to switch it off, or remove the line"
                self.problems.append(Problem(origin, ".".join((*path, key)), text))
            else:
                place(tree, key, Entry(value, origin), self.problems, at=".".join(path))
        return tree

    def origin(self, mark: Any) -> Origin:
        """Where a mark of the parser stands; counted from 1, as editors do."""
        return Origin("file", f"{self.name}:{mark.line + 1}:{mark.column + 1}")

    def line(self, mark: Any, *, above: int = 0) -> str:
        """The line a mark stands in, or one above it, without its indentation."""
        number = mark.line - above
        return self.lines[number].strip() if 0 <= number < len(self.lines) else ""

    def refuse(self, mark: Any, reason: str) -> NoReturn:
        """Stop reading."""
        raise ConfigError([f"{self.origin(mark).where}: {reason}"]) from None

    def syntax(self, error: MarkedYAMLError) -> tuple[Any, str]:
        """Where to mend a YAML syntax error, in words for one who does not know YAML."""
        said = f"{error.context or ''} {error.problem or ''}"
        mark = error.problem_mark or error.context_mark
        opened = error.context_mark or mark
        line, first, above = self.line(mark), self.line(opened), self.line(mark, above=1)
        if "mapping values" in said and re.search(r":\s.*:(\s|$)", line):
            return mark, f"a second ':' in {line!r}; put quotes round text that contains ': '"
        sign = self.text[mark.index : mark.index + 1]
        unquoted = f"no YAML value begins with {sign!r}; put quotes round it"
        deep = "has a value already; is this line indented too far?" if ":" in above else _NO_COLON
        known = {
            "parsing a flow": f"{_BRACKET}, in {first!r}",
            "a quoted scalar": "a quote opened here is not closed",
            "expected ':'": f"{first!r} {_NO_COLON}",
            "<document start>": f"more text after the end of the value, in {line!r}; quote it all",
            "'\\t'": "a tab indents this line; YAML wants spaces",
            "mapping values": f"the line above, {above!r}, {deep}",
            "scanning an alias": f"{_STAR}, here in {line!r}",
            "cannot start any token": f"{unquoted}, in {line!r}",
            "<block end>": f"the indentation of {line!r} does not line up with the lines above",
            "": f"not YAML: {error.problem or error.context}, in {line!r}",
        }
        part = next(part for part in known if part in said)
        is_opened = part in ("parsing a flow", "a quoted scalar", "expected ':'")
        return opened if is_opened else mark, known[part]


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
    return {key: plain_value(entry.value) for key, entry in tree.items()}


def plain_value(value: Any) -> Any:
    """A value without the places of what it holds."""
    return plain(value) if isinstance(value, dict) else value


def places(tree: Tree, path: Path = ()) -> dict[Path, Origin]:
    """Where everything in a tree was written, sections included."""
    found: dict[Path, Origin] = {}
    for key, entry in tree.items():
        found[(*path, key)] = entry.origin
        if isinstance(entry.value, dict):
            found |= places(entry.value, (*path, key))
    return found
