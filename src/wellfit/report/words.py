"""Numbers and codes as a reader of a report or a card meets them."""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from wellfit.units import format_bytes, format_count, format_span

_LONGEST_FACT = 240  # more would flood the page
NOTHING = "\u2013"  # an en dash stands where nothing was measured

# What stands for our drawing characters where there is only ASCII.
ASCII = str.maketrans(
    f"{NOTHING}\u2501\u2537\u2500\u2534\u25cf\u2502\u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588",
    "-=+-+O|__.-=*##",
)
# What a verdict means, for one who meets it for the first time.
MEANINGS = {
    "well-fit": "It has learned what the text can teach about unseen text, and no more.",
    "overfit": "It is learning the training text by heart, at the cost of unseen text.",
    "underfit": "It has stopped learning while there is still something to learn.",
    "undertrained": "More of the same training would very likely make it better.",
    "diverged": "The loss left the numbers; a guard stopped it before the weights were spoilt.",
    "no-signal": "It is no better than counting.",
    "undecided": "The evidence does not say which way.",
}
# What is to be said of a run without a verdict; {at} is the step it has reached.
STATUSES = {
    "running": "At {at}; there is no verdict yet.",
    "finished": "At {at}, without a verdict.",
    "stopped": "Asked to stop at {at}; it can go on from there.",
    "diverged": "The loss left the numbers at {at}; the weights are those before it.",
    "failed": "An error ended it at {at}.",
    "crashed": "It ended without a word at {at}; it can go on from its last checkpoint.",
}
_TITLES = {"running": "Still running", "stopped": "Stopped early"}  # others: the code itself
_TONES = {
    "well-fit": "good",
    **dict.fromkeys(("overfit", "underfit", "undertrained"), "warn"),
    **dict.fromkeys(("diverged", "no-signal", "failed", "crashed"), "stop"),
}
# The numbers that decide a verdict, in the order in which a reader asks for them.
DECIDING = {
    "val_loss": "val loss",
    "train_loss": "train loss",
    "best_val_loss": "best val loss",
    "best_step": "best step",
    "gain_per_tenth": "gain per 10% of the budget",
    "val_rise": "rise of val since the best step",
    "mark_loss": "loss of the baseline to pass",
}


class Headline(NamedTuple):
    """How a run stands: in two words, in one sentence, with a colour beside the words."""

    title: str
    claim: str
    meaning: str
    tone: str  # good, warn, stop or plain


def headline(summary: Mapping[str, Any]) -> Headline:
    """The verdict; what is known of the run when there is none."""
    if verdict := summary.get("verdict"):
        code, claim = str(verdict["code"]), str(verdict.get("claim", ""))
        title = title_text(code)
        if claim.lower().startswith(f"{title.lower()}: "):
            claim = claim[len(title) + 2 :]  # it stands under its title
        meaning, tone = MEANINGS.get(code, ""), _TONES.get(code, "plain")
        return Headline(title, sentence(claim), meaning, tone)
    status, total = str(summary["status"]), summary.get("steps_total")
    at = f"step {summary['step']:,}" + (f" of {total:,}" if total else "")
    claim = STATUSES.get(status, STATUSES["finished"]).format(at=at)
    return Headline(title_text(status), claim, "", _TONES.get(status, "plain"))


def title_text(code: str) -> str:
    """A verdict or a status in two words; one that is not ours is shown as it is."""
    if code not in MEANINGS and code not in STATUSES:
        return code
    return _TITLES.get(code) or code.replace("-", " ").capitalize()


def evidence(finding: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers behind a claim, those that decide it first."""
    found = finding.get("evidence") or {}
    return {key: found[key] for key in (*DECIDING, *found) if key in found}


def sentence(text: str) -> str:
    """The text with a capital letter and a full stop; names such as ``val loss`` keep theirs."""
    text = text.strip()
    if not text:
        return text
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?:" else ".")


def capital(name: str) -> str:
    """The name as a heading; chrF and the like keep their own way of writing."""
    return name[0].upper() + name[1:] if name.split()[0].islower() else name


def loss_text(value: float | None) -> str:
    """A loss or bits per byte: three decimals, the most that an interval usually supports."""
    return NOTHING if value is None else f"{value:.3f}"  # nan and inf say so themselves


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


def short_span_text(span_s: float) -> str:
    """``1.25 s`` or ``12.5 ms``, three figures."""
    return f"{span_s:.3g} s" if span_s >= 0.9995 else f"{1000 * span_s:.3g} ms"


def profile_line(found: Mapping[str, Any]) -> str:
    """What matters most of a profile, in one line."""
    shares = ", ".join(f"{kind['frac']:.0%} {kind['kind']}" for kind in found["kinds"][:4])
    took, beside = map(short_span_text, (found["step_s"], found["unprofiled_step_s"]))
    return f"a profiled step takes {took} ({beside} without the profiler): {shares}"


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


def confidence(share: float) -> str:
    """A share as a percentage that never rounds up to certainty."""
    return f"{share:.0%}" if share < 0.995 else "over 99%"


def is_number(value: object) -> bool:
    """Whether it can stand beside others as a figure; yes and no cannot."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def named(key: str, value: Any) -> tuple[str, str]:
    """A key and its value in words, the unit taken from the end of the key: ``spent_s``."""
    if is_number(value) and math.isfinite(value):
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
    if key.endswith("ci95"):
        return f"{key_text(key[:-4])} 95% interval".lstrip()
    key = key.strip("_")
    return DECIDING.get(key) or key.removeprefix("n_").replace("_", " ")


def times_text(count: int) -> str:
    """``never``, ``once``, ``3 times``."""
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")


def fact_text(value: Any) -> str:
    """A value as one of many facts: fingerprints by their first twelve figures, long texts cut."""
    text = value_text(value)
    if re.fullmatch(r"[0-9a-f]{40,}", text):
        return text[:12]
    return text if len(text) <= _LONGEST_FACT else text[: _LONGEST_FACT - 3] + "..."


def override_text(key: str, value: Any) -> str:
    """A recipe change as it is typed: ``train.budget='4 minutes'``."""
    if value is None or isinstance(value, bool | int | float | Mapping | list):
        return f"{key}={shlex.quote(json.dumps(value))}"
    return f"{key}={shlex.quote(str(value))}"


@dataclass(frozen=True, slots=True)
class Drawing:
    """Something for a terminal: rows that are made for its width when they are printed."""

    rows: Callable[[int], Iterable[Text]]
    widest: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for row in self.rows(min(options.max_width, self.widest)):
            if options.ascii_only or options.legacy_windows:
                row.plain = row.plain.translate(ASCII)
            yield row


def harmless(text: str) -> str:
    """The text without control characters, which a terminal would obey; a replacement shows."""
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text)


def wrapped(text: str, width: int) -> list[str]:
    """The text in rows of at most ``width`` columns, harmless, its own line ends kept."""
    clean = harmless(text.expandtabs(4))
    ruler = Console(width=max(1, width), color_system=None)  # measures; nothing is printed on it
    rows: list[str] = []
    for paragraph in clean.strip("\n").split("\n"):
        row = Text(paragraph, overflow="fold")
        found = row.wrap(ruler, max(1, width)) if paragraph else [Text("")]
        rows += [part.plain.rstrip() for part in found]
    return rows
