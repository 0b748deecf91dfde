"""Numbers and codes as a reader of a report or a card meets them."""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from wellfit.units import format_bytes, format_count, format_span

NOTHING = "\u2013"  # an en dash stands where nothing was measured

VERDICTS = {
    "well-fit": "Well fit",
    "overfit": "Overfit",
    "underfit": "Underfit",
    "undertrained": "Undertrained",
    "diverged": "Diverged",
    "no-signal": "No signal",
    "undecided": "Undecided",
}
# What a code means, for one who meets it for the first time.
MEANINGS = {
    "well-fit": "It has learned what the text can teach about unseen text, and no more.",
    "overfit": "It is learning the training text by heart, at the cost of unseen text.",
    "underfit": "It has stopped learning while there is still something to learn.",
    "undertrained": "More of the same training would very likely make it better.",
    "diverged": "The loss left the numbers; a guard stopped it before the weights were spoilt.",
    "no-signal": "It is no better than counting pairs of tokens.",
    "undecided": "The evidence does not say which way.",
}
STATUSES = {
    "running": "Still running",
    "finished": "Finished",
    "stopped": "Stopped early",
    "diverged": "Diverged",
    "failed": "Failed",
    "crashed": "Crashed",
}
TONES = {
    "well-fit": "good",
    "overfit": "warn",
    "underfit": "warn",
    "undertrained": "warn",
    "diverged": "stop",
    "no-signal": "stop",
    "failed": "stop",
    "crashed": "stop",
}


def verdict_title(summary: Mapping[str, Any]) -> str:
    """The verdict in two words; how the run stands when there is none."""
    verdict = summary.get("verdict")
    if verdict:
        return VERDICTS.get(verdict["code"], str(verdict["code"]))
    return STATUSES.get(summary["status"], str(summary["status"]))


def verdict_claim(summary: Mapping[str, Any]) -> str:
    """The verdict's one sentence; what is known when there is none."""
    verdict = summary.get("verdict")
    if verdict:
        claim, title = str(verdict.get("claim", "")), verdict_title(summary)
        if claim.lower().startswith(f"{title.lower()}: "):
            claim = claim[len(title) + 2 :]  # it stands under its title
        return sentence(claim)
    total = summary.get("steps_total")
    at = f"step {summary['step']:,}" + (f" of {total:,}" if total else "")
    return {
        "running": f"At {at}; there is no verdict yet.",
        "stopped": f"Asked to stop at {at}; it can go on from there.",
        "diverged": f"The loss left the numbers at {at}; the weights are those before it.",
        "failed": f"An error ended it at {at}.",
        "crashed": f"It ended without a word at {at}; it can go on from its last checkpoint.",
    }.get(summary["status"], f"At {at}, without a verdict.")


def verdict_tone(summary: Mapping[str, Any]) -> str:
    """good, warn, stop or plain: the colour that goes with the words, never instead of them."""
    verdict = summary.get("verdict")
    return TONES.get(verdict["code"] if verdict else summary["status"], "plain")


def sentence(text: str) -> str:
    """The text with a capital letter and a full stop; names such as ``val loss`` keep theirs."""
    text = text.strip()
    if not text:
        return text
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?:" else ".")


def loss_text(value: float | None) -> str:
    """A loss or bits per byte: three decimals, the most that an interval usually supports."""
    if value is None:
        return NOTHING
    return f"{value:.3f}"  # nan and inf say so themselves


def perplexity_text(value: float | None) -> str:
    """A perplexity: three figures, as it spans orders of magnitude."""
    if value is None:
        return NOTHING
    if not math.isfinite(value):
        return str(value)
    return f"{value:,.0f}" if value >= 1000 else f"{value:#.3g}".rstrip(".")


def interval_text(interval: Sequence[float | None] | None, text: Any = loss_text) -> str:
    """``1.544 to 1.571``; nothing where there is no interval."""
    if not interval or any(end is None or math.isnan(end) for end in interval):
        return ""
    return f"{text(interval[0])} to {text(interval[1])}"


def count_text(value: float | None) -> str:
    """``1.84M`` and the like."""
    return NOTHING if value is None else format_count(value)


def span_text(value: float | None) -> str:
    """``3 min 05 s`` and the like."""
    return NOTHING if value is None else format_span(value)


def value_text(value: Any) -> str:
    """Any value of evidence, recipe or audit, short and unambiguous."""
    match value:
        case None:
            return "off"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}" if abs(value) >= 10_000 else str(value)
        case float():
            return _float_text(value)
        case Mapping():
            return ", ".join(" ".join(named(str(k), v)) for k, v in value.items()) or "none"
        case list() | tuple():
            return ", ".join(value_text(inner) for inner in value) or "none"
        case _:
            return str(value) or '""'


def named(key: str, value: Any) -> tuple[str, str]:
    """A key and its value in words, the unit taken from the end of the key: ``spent_s``."""
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        for end, text in _UNITS.items():
            if key.endswith(end) and not key.endswith("_per_s"):
                return key_text(key.removesuffix(end)), text(value)
    return key_text(key), value_text(value)


_UNITS: dict[str, Callable[[float], str]] = {
    "_s": format_span,
    "_bytes": format_bytes,
    "_nats": lambda value: f"{value_text(value)} nats",
    "_frac": lambda value: f"{100 * value:.3g}%",
}


def _float_text(value: float) -> str:
    if math.isnan(value):
        return "not a number"
    if math.isinf(value):
        return "infinite" if value > 0 else "minus infinite"
    if value.is_integer() and abs(value) < 1e15:
        return value_text(int(value))
    return f"{value:.4g}" if abs(value) >= 1 else f"{value:.3g}"


def key_text(key: str) -> str:
    """``change_last_tenth`` as words, and ``n_blocks`` as what is counted."""
    return key.removeprefix("n_").replace("_", " ")


def times_text(count: int) -> str:
    """``never``, ``once``, ``3 times``."""
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")


def percent_text(fraction: float | None) -> str:
    """``94%``."""
    return NOTHING if fraction is None else f"{100 * fraction:.0f}%"


def bytes_text(value: float | None) -> str:
    """``22 MB`` and the like."""
    return NOTHING if value is None else format_bytes(value)


def perplexity(loss: float) -> float:
    """e to the loss; infinite where that is beyond any number."""
    return math.exp(loss) if not loss > 709 else math.inf


def fact_text(value: Any) -> str:
    """A value as one of many facts: fingerprints by their first twelve figures, long texts cut."""
    text = value_text(value)
    return text[:12] if re.fullmatch(r"[0-9a-f]{40,}", text) else short_text(text)


def short_text(text: str, limit: int = 240) -> str:
    """The text, cut where it would flood the page."""
    return text if len(text) <= limit else text[: limit - 3] + "..."


def override_text(key: str, value: Any) -> str:
    """A recipe change as it is typed: ``train.budget='4 minutes'``."""
    if value is None or isinstance(value, bool | int | float | Mapping | list):
        return f"{key}={shlex.quote(json.dumps(value))}"
    return f"{key}={shlex.quote(str(value))}"


def wrapped(text: str, width: int) -> list[str]:
    """The text in rows of at most ``width`` columns, its own line ends kept.

    What a model wrote may hold control characters, which a terminal would obey; they show as a
    replacement character instead.
    """
    clean = "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text.expandtabs(4))
    ruler = Console(width=max(1, width), color_system=None)  # measures; nothing is printed on it
    rows: list[str] = []
    for paragraph in clean.strip("\n").split("\n"):
        row = Text(paragraph, overflow="fold")
        found = row.wrap(ruler, max(1, width)) if paragraph else [Text("")]
        rows += [part.plain.rstrip() for part in found]
    return rows
