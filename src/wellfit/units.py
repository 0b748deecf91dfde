"""Durations, fractions, sizes and rates as people write and read them."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, TypeAlias

Unit: TypeAlias = Literal["steps", "tokens", "epochs", "seconds"]

_SCALE = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9, "t": 1e12}
_UNITS: dict[str, tuple[Unit, float]] = {
    "step": ("steps", 1.0),
    "token": ("tokens", 1.0),
    "epoch": ("epochs", 1.0),
    **dict.fromkeys(("second", "sec", "s"), ("seconds", 1.0)),
    **dict.fromkeys(("minute", "min"), ("seconds", 60.0)),
    **dict.fromkeys(("hour", "hr", "h"), ("seconds", 3600.0)),
    **dict.fromkeys(("day", "d"), ("seconds", 86400.0)),
}
# Thousands are grouped in threes or not at all: "1,5 minutes" is refused, not read as 15.
_NUMBER = r"(?:[0-9]{1,3}(?:[,_][0-9]{3})+|[0-9]+)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?|\.[0-9]+"
_DURATION = re.compile(rf"\s*({_NUMBER})\s*([a-zA-Z]+|[a-zA-Z]\s+[a-zA-Z]+)\s*")
_BYTES = re.compile(rf"\s*({_NUMBER})\s*(?:([kKmMgGtT])(i?)[bB]?|[bB](?:ytes?)?)?\s*")
_MOST = 10**18  # steps, tokens, seconds or bytes; beyond it a number is a slip of the hand
DURATION_EXAMPLES = "'2k steps', '1B tokens', '3 epochs' or '10 minutes'"


@dataclass(frozen=True, slots=True)
class Duration:
    """How long something lasts, in the unit it was asked for.

    The unit is kept rather than converted because tokens, epochs and minutes become
    steps only once the batch, the data and the machine are known.
    """

    amount: float
    unit: Unit

    def __str__(self) -> str:
        if self.unit == "seconds":
            for name, span_s in (("hours", 3600.0), ("minutes", 60.0)):
                if self.amount >= span_s and (self.amount / span_s).is_integer():
                    return _plural(self.amount / span_s, name)
        return _plural(self.amount, self.unit)


def _plural(amount: float, unit: str) -> str:
    # repr, because what is written here is read back by a resumed run and must be the same number
    number = f"{int(amount)}" if float(amount).is_integer() else repr(float(amount))
    return f"{number} {unit[:-1] if amount == 1 else unit}"


def parse_duration(text: str) -> Duration:
    """Read a duration such as ``2k steps``, ``1.5B tokens``, ``3 epochs`` or ``10 minutes``.

    Raises ``ValueError`` with what was wanted; a bare number is refused because nobody can
    tell steps from seconds.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a duration; write for example {DURATION_EXAMPLES}")
    number, words = match.groups()
    scale, name = _scale_and_unit(words.lower())
    found = _UNITS.get(name) or _UNITS.get(name.removesuffix("s"))
    if found is None or scale not in _SCALE or (scale and found[0] == "seconds"):
        raise ValueError(f"{text!r} is not a duration: {_no_unit(words)}")
    unit, factor = found
    exact = _exact(number) * Decimal(_SCALE[scale]) * Decimal(factor)  # 1.1B tokens is whole
    amount = float(exact)
    if not 0 < amount <= _MOST:
        raise ValueError(f"{text!r} is not above zero, or never ends; write {DURATION_EXAMPLES}")
    if unit in ("steps", "tokens") and exact % 1 != 0:
        raise ValueError(f"{text!r} is not a whole number of {unit}")
    return Duration(amount, unit)


def _scale_and_unit(words: str) -> tuple[str, str]:
    """``k steps`` or ``ksteps`` as ``k`` and ``steps``.

    A whole word comes before a scale, so that ``min`` is minutes and not a million "in".
    """
    if " " in words or "\t" in words:
        scale, name = words.split()
        return scale, name
    is_unit = words in _UNITS or words.removesuffix("s") in _UNITS
    if is_unit or words[0] not in _SCALE or len(words) == 1:
        return "", words
    return words[0], words[1:]


def _no_unit(words: str) -> str:
    if words.lower() == "m":
        return "m could be minutes or millions; write for example 10 minutes or 10M tokens"
    names = [f"{unit}s" for unit in _UNITS if len(unit) > 3]
    near = difflib.get_close_matches(words.lower(), names, n=1)
    hint = f"did you mean {near[0]}?" if near else f"write for example {DURATION_EXAMPLES}"
    return f"{words!r} is not a unit; {hint}"


def _exact(number: str) -> Decimal:
    return Decimal(number.replace(",", "").replace("_", ""))


def parse_fraction(value: str | float) -> float:
    """Read ``5%`` or ``0.05`` as 0.05.  Raises ``ValueError`` outside [0, 1]."""
    if isinstance(value, str):
        text = value.strip()
        try:
            number = float(text[:-1]) / 100 if text.endswith("%") else float(text)
        except ValueError:
            raise ValueError(f"{value!r} is not a fraction; write for example 5% or 0.05") from None
    else:
        number = float(value)
    if not 0 <= number <= 1:
        raise ValueError(f"{value} is not between 0 and 1 (0% and 100%); write for example 5%")
    return number


def parse_bytes(text: str) -> int:
    """Read ``64 MB`` (decimal) or ``64 MiB`` (binary) as a number of bytes."""
    match = _BYTES.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a size; write for example '64 MB'")
    number, scale, binary = match.groups()
    power = "kmgt".find(scale.lower()) + 1 if scale else 0
    n_bytes = _exact(number) * Decimal(1024 if binary else 1000) ** power
    if n_bytes > _MOST:
        raise ValueError(f"{text!r} is more than any machine holds; write for example '64 MB'")
    return round(n_bytes)


def format_bytes(n_bytes: float) -> str:
    """``1.2 GB`` and the like, three figures; decimal, as disks are sold."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= size * 0.9995:
            return f"{_three_figures(n_bytes / size)} {unit}"
    return f"{n_bytes:.0f} B"


def format_count(n: float) -> str:
    """``1.84M`` and the like, three figures."""
    for unit, size in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(n) >= size * 0.9995:
            return f"{_three_figures(n / size)}{unit}"
    return f"{n:.3g}"


def _three_figures(x: float) -> str:
    """Three figures, but never the exponent that ``g`` begins to write at a thousand."""
    return f"{x:.0f}" if abs(x) >= 999.5 else f"{x:.3g}"


def format_span(span_s: float) -> str:
    """``48 s``, ``3 min 05 s``, ``2 h 14 min``, ``3 d 4 h``."""
    if span_s < 10:
        return f"{span_s:.1f} s"
    whole = round(span_s)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def per_second(amount: float, elapsed_s: float) -> float:
    """The one place a rate is made, so that a moment is never taken for a span."""
    return amount / elapsed_s if elapsed_s > 0 else 0.0
