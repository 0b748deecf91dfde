"""The kinds of value a recipe field can hold: how each is read, written back and described.

Values are read strictly: a quoted "64" is text and not a number, ``yes`` is text and not true.
A recipe that means something else than it says costs hours, a refusal costs seconds.
"""

from __future__ import annotations

import re
from decimal import Decimal
from string import Formatter
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, TypeAlias, TypeVar

from annotated_types import Ge, Gt, Le, Lt
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

from wellfit.units import Duration, parse_bytes, parse_duration, parse_fraction

Auto: TypeAlias = Literal["auto"]
TextOrTexts: TypeAlias = str | Annotated[tuple[str, ...], Field(min_length=1)]
T = TypeVar("T")

_NUMBER = re.compile(r"[0-9.,_]+")


def known(value: T | Auto) -> T:
    """The value of a field that was ``auto`` and must be decided by now; asserts that it is.

    Only for fields whose own values are never the text "auto".
    """
    assert value != "auto", "an automatic value reached code that needs it decided"
    return value


class Section(BaseModel):
    """A part of the recipe: frozen, strict, closed, and documented by its own docstrings.

    A plain value in place of a section that has ``spread`` is that of each of those keys.
    """

    spread: ClassVar[tuple[str, ...]] = ()

    model_config = ConfigDict(
        defer_build=True,  # most are parts of another, and never asked by themselves
        frozen=True,
        strict=True,
        extra="forbid",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        protected_namespaces=(),
    )


def conflict(key: str, text: str) -> PydanticCustomError:
    """The error of values that are right one by one and cannot be together.

    ``key`` is the field to point at, counted from the section whose validator raises this.
    """
    return PydanticCustomError("conflict", "{text}", {"text": text, "key": key})


class Wanted(NamedTuple):
    """What a field wants, in the words of an error message, and one value that would do."""

    what: str
    example: str


def read_duration(value: object) -> Duration:
    """A duration from its text.  Raises ``ValueError``, also for a number without a unit."""
    if isinstance(value, Duration):
        return value
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        return parse_duration(value)
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        raise ValueError(
            f"{value} has no unit, and could be steps, tokens, epochs or minutes; "
            f"write for example {value if str(value).strip('0.,_') else 2000} steps"
        )
    raise ValueError(f"{show(value)} is not a duration; write for example 2k steps or 10 minutes")


def read_fraction(value: object) -> float:
    """A share of a whole from 0.05 or 5%.  Raises ``ValueError``."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(f"{show(value)} is not a fraction; write for example 5% or 0.05")
    number = parse_fraction(value)
    if number == 1:
        raise ValueError(f"{value} is the whole of it, 100%; write less, for example 5%")
    return number


def read_span(value: object) -> Duration | float:
    """A duration, or a share of the run.  Raises ``ValueError``."""
    if isinstance(value, Duration):
        return value
    wrong = f"{show(value)} is neither a share of the run nor a duration; write for example 2%"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if not 0 <= value < 1:
            raise ValueError(f"{wrong}, 0.02 or {value} steps")
        return read_fraction(value)
    if not isinstance(value, str):
        raise ValueError(f"{wrong} or 100 steps")
    if value.strip().endswith("%"):
        return read_fraction(value)
    try:
        return parse_duration(value)
    except ValueError as e:
        raise ValueError(f"{e}, or a share of the run such as 2%") from None


def as_tuple(value: object) -> object:
    """A list as the tuple that a frozen section holds; anything else as it is."""
    return tuple(value) if isinstance(value, list) else value


def read_size(value: object) -> int:
    """A number of bytes from text such as 64 MB.  Raises ``ValueError``, also without a unit."""
    if isinstance(value, int) and not isinstance(value, bool):
        raise ValueError(f"{value} has no unit; write for example 64 MB or {value} B")
    if not isinstance(value, str) or value.strip().isdecimal():
        raise ValueError(f"{show(value)} is not a size; write for example 64 MB")
    n_bytes = parse_bytes(value)
    if n_bytes < 1:
        raise ValueError(f"{value} is no room at all; write for example 64 MB")
    return n_bytes


def read_texts(value: object) -> TextOrTexts:
    """One text, or a list of them as a tuple; also names of files that are not UTF-8."""
    items = tuple(value) if isinstance(value, (list, tuple)) else (value,)
    if not items or not all(isinstance(item, str) and item for item in items):
        raise PydanticCustomError("texts", "neither a text nor a list of texts")
    return value if isinstance(value, str) else items


def read_files(value: object) -> TextOrTexts | dict[str, TextOrTexts]:
    """Names of files as in ``read_texts``, or a mapping from columns to them."""
    if not isinstance(value, dict):
        return read_texts(value)
    if not value or not all(str(column).isidentifier() for column in value):
        raise PydanticCustomError("files", "not a mapping of columns to files")
    return {column: read_texts(names) for column, names in value.items()}


class Blank(NamedTuple):
    """Words, and the column whose value follows them; None at the end of a text."""

    words: str
    column: str | None


def blanks_in(text: str) -> tuple[Blank, ...]:
    """A text in which {column} stands for a value, taken apart; {{ and }} are braces.

    A text without braces is itself the name of a column.  Raises ``ValueError``.
    """
    if "{" not in text and "}" not in text:
        return (Blank("", text),)
    brace = "write {{ or }} for a brace itself"
    try:
        parts = list(Formatter().parse(text))
    except ValueError as e:
        raise ValueError(f"{show(text)} is no text with columns ({e}); {brace}") from None
    if any(column == "" or form or conversion for _, column, form, conversion in parts):
        hint = f"write {{column}} for the value of a column; {brace}"
        raise ValueError(f"{show(text)} has braces that hold no column's name; {hint}")
    return tuple(Blank(words, column) for words, column, _, _ in parts)


def _has_sound_blanks(text: str) -> str:
    blanks_in(text)
    return text


def show(value: object) -> str:
    """A value as the user may have typed it, cut when it is long."""
    match value:
        case None:
            text = "null"
        case bool():
            text = str(value).lower()
        case str():
            text = repr(value)
        case dict():
            text = "a mapping"
        case float() if 0 < abs(value) < 1e-3:
            text = re.sub(r"\.?0*e-0*", "e-", f"{Decimal(repr(value)):e}")
        case list() | tuple():
            text = "[" + ", ".join(show(item) for item in value[:4]) + "]"
        case _:
            text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def write_size(n_bytes: int) -> str:
    """The exact text of a size: ``64 MB``, ``1 MiB``, ``1234 B``."""
    for base, units in ((1000, "kB MB GB TB"), (1024, "KiB MiB GiB TiB")):
        for power, unit in reversed(list(enumerate(units.split(), start=1))):
            if n_bytes >= base**power and n_bytes % base**power == 0:
                return f"{n_bytes // base**power} {unit}"
    return f"{n_bytes} B"


def write_percent(fraction: float) -> str:
    """``5%`` for 0.05, in as many digits as it takes to read the same number back."""
    text = f"{(Decimal(repr(fraction)) * 100).normalize():f}%"
    return text if parse_fraction(text) == fraction else repr(fraction)


_FRACTION_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
        {"type": "string", "pattern": r"^\s*[0-9.]+\s*%\s*$"},
    ]
}
_DURATION_SCHEMA: dict[str, Any] = {
    "type": "string",
    "pattern": r"^\s*[0-9][0-9_,.]*([eE]\+?[0-9]+)?\s*[kKmMbBgGtT]?\s*[a-zA-Z]+\s*$",
    "examples": ["2k steps", "1B tokens", "3 epochs", "10 minutes"],
}

Count: TypeAlias = Annotated[int, Ge(1), Wanted("a whole number of at least 1", "4")]
CountOrZero: TypeAlias = Annotated[int, Ge(0), Wanted("a whole number of at least 0", "2")]
Seed: TypeAlias = Annotated[
    int, Ge(0), Lt(2**63), Wanted("a whole number from 0 to 2**63 - 1", "1")
]
Positive: TypeAlias = Annotated[float, Gt(0), Wanted("a number above 0", "1.0")]
NotNegative: TypeAlias = Annotated[float, Ge(0), Wanted("a number of at least 0", "0.1")]
Switch: TypeAlias = Annotated[bool, Wanted("true or false", "true")]
SwitchOrAuto: TypeAlias = Annotated[bool | Auto, Wanted("true, false or auto", "auto")]
Text: TypeAlias = Annotated[str, Wanted("text", "'...'")]
Name: TypeAlias = Annotated[
    str, Field(min_length=1), Wanted("a text of one character or more", "'...'")
]
Wording: TypeAlias = Annotated[Name, AfterValidator(_has_sound_blanks)]
Decay: TypeAlias = Annotated[float, Ge(0), Lt(1)]
Share: TypeAlias = Annotated[float, Gt(0), Le(1), Wanted("a number above 0 and at most 1", "0.5")]
Momentum: TypeAlias = Annotated[Decay, Wanted("a number from 0 up to but not including 1", "0.95")]
Betas: TypeAlias = Annotated[
    tuple[Decay, Decay],
    BeforeValidator(as_tuple),
    Wanted("two numbers from 0 up to but not including 1", "[0.9, 0.95]"),
]
Fraction: TypeAlias = Annotated[
    float,
    PlainValidator(read_fraction),
    WithJsonSchema(_FRACTION_SCHEMA),
    Wanted("a share such as 5% or 0.05", "5%"),
]
Span: TypeAlias = Annotated[
    Duration | float,
    PlainValidator(read_span),
    PlainSerializer(lambda v: v if isinstance(v, float) else str(v), return_type=str | float),
    WithJsonSchema({"anyOf": [*_FRACTION_SCHEMA["anyOf"], _DURATION_SCHEMA]}),
    Wanted("a share of the run such as 2%, or a duration such as 100 steps", "2%"),
]
Spans: TypeAlias = Annotated[
    tuple[Span, ...],
    Field(min_length=1),
    BeforeValidator(as_tuple),
    Wanted("a list of shares of the run, or of durations", "[50%, 75%]"),
]
Length: TypeAlias = Annotated[
    Duration,
    PlainValidator(read_duration),
    PlainSerializer(str, return_type=str),
    WithJsonSchema(_DURATION_SCHEMA),
    Wanted("a duration: steps, tokens, epochs, seconds, minutes, hours or days", "10 minutes"),
]
Size: TypeAlias = Annotated[
    int,
    PlainValidator(read_size),
    PlainSerializer(write_size, return_type=str),
    WithJsonSchema({"type": "string", "examples": ["64 MB", "1 GiB"]}),
    Wanted("a size with its unit, such as 64 MB", "64 MB"),
]
Texts: TypeAlias = Annotated[
    TextOrTexts,
    WrapValidator(lambda value, _: read_texts(value)),  # pydantic refuses names that are not UTF-8
    Wanted("a text, or a list of texts", "[one, other]"),
]
# The same values as Texts, but names of files: what one means, the other cannot.
Paths: TypeAlias = Annotated[
    TextOrTexts | dict[str, TextOrTexts],
    WrapValidator(lambda value, _: read_files(value)),
    Wanted("a path or pattern, or a list of them", "corpus/*.txt"),
]
