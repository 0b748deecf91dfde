"""The metrics of a task as a reader meets them: which tell most, their names, their digits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple

from wellfit.report import words

Found = Mapping[str, Any]

_NAMES = {
    "bits_per_byte": "bits per byte", "bleu": "BLEU", "chrf": "chrF", "rouge1": "ROUGE-1",
    "rouge2": "ROUGE-2", "rougeL": "ROUGE-L", "f1": "F1", "mcc": "MCC", "roc_auc": "ROC-AUC",
    "subset_accuracy": "every label right", "r2": "R2", "mse": "squared error",
    "mae": "absolute error", "pinball": "pinball loss", "pearson": "Pearson's r",
    "spearman": "Spearman's rho",
}  # fmt: skip
_AVERAGES = ("macro", "micro", "weighted")
# The first that was measured heads card, page and list; the next few stand beside it.
_WRITTEN = ("chrf", "exact_match", "rougeL")
_TELLING = {
    "language-model": ("bits_per_byte", "perplexity"),
    "complete": ("bleu", "perplexity", *_WRITTEN),
    "chat": ("perplexity", "bleu", *_WRITTEN),
    "classify": ("accuracy", "subset_accuracy", "f1_macro", "mcc", "roc_auc", "calibration_error"),
    "regress": ("pearson", "spearman", "r2", "mae", "mse"),
}
_TOLD = 5
FROM_LOSS = {
    "language-model": ("perplexity", "bits_per_byte"),
    "complete": ("perplexity",),
    "chat": ("perplexity",),
}
# what a loss is of; of the other tasks it is a text
PER = {"language-model": "token", "complete": "learned token", "chat": "learned token"}
_OF_NUMBERS: Mapping[str | None, str] = {"mse": "squared deviations", "mae": "deviations"}
BASELINES = {
    "classify": "uniform gives each label alike, prior gives each its share",
    "regress": "mean is the best constant",
}
PAIRS = "each token alike, by its frequency, by the token before it"


class Told(NamedTuple):
    """One metric in words and figures; ``interval`` is empty where there is none."""

    key: str
    name: str
    value: str
    interval: str
    n: str  # of what, with how many: 500 texts


class Pace(NamedTuple):
    """How much was learned from, and how fast, in what losses are counted per."""

    per: str  # see ``per_of``
    seen: int | None
    per_s: float | None


def told(task: str, measured: Found) -> list[Told]:
    """Every metric of an evaluation's dict, the most telling first."""
    found: dict[str, Any] = dict(measured.get("metrics") or {})
    for key in FROM_LOSS.get(task, ()) if "ci95" in measured else ():
        found[key] = {"value": measured[key], "ci95": measured["ci95"][key]}
    per = PER.get(task, "text")
    out = []
    for key in sorted(found, key=partial(_rank, task)):
        metric, text = found[key], text_of(key)
        # perplexity and bits are of tokens, the others of texts
        n, what = (metric["n"], "text") if "n" in metric else (measured["n_tokens"], per)
        interval = words.interval_text(metric.get("ci95"), text)
        counted = f"{n:,} {what}{'' if n == 1 else 's'}"
        out.append(Told(key, name_of(key), text(metric["value"]), interval, counted))
    return out


def telling(task: str, measured: Found) -> list[Told]:
    """The few metrics that say most about a task; the first of them is its headline."""
    found = {t.key: t for t in told(task, measured)}
    return [found[key] for key in most_telling(task, found)]


def most_telling(task: str, keys: Iterable[str]) -> list[str]:
    """Those few of these metrics, the most telling first."""
    known = [key for key in keys if _rank(task, key) < len(_TELLING[task])]
    return sorted(known, key=partial(_rank, task))[:_TOLD]


def headline(summary: Found, split: str) -> Told | None:
    """The number a run stands for on a split; None where it has not been measured."""
    found = telling(summary["task"], summary[split]) if summary[split] else []
    return found[0] if found else None


def headline_name(summary: Found) -> str:
    """What the headline is, or would be, a number of."""
    found = headline(summary, "test") or headline(summary, "val")
    return found.name if found else name_of(_TELLING[summary["task"]][0])


def name_of(key: str) -> str:
    """A metric's name: ``f1_macro`` is macro F1, ``pearson_age`` is Pearson's r of age."""
    base, rest = _parted(key)
    name = _NAMES.get(base, base.replace("_", " "))
    if rest in _AVERAGES:
        return f"{rest} {name}"
    return f"{name}, {rest}" if rest else name


def loss_unit(found: Found, loss: str | None = None) -> str:
    """What a loss is counted in, such as ``nats per learned token``.

    Those of numbers are of errors in standard deviations of the target; squared or not, the kind
    of ``loss`` says.
    """
    per = PER.get(found["task"], "text")
    unit = "nats" if found["unit"] == "nats" else _OF_NUMBERS.get(loss, "scaled error")
    return f"{unit} per {per}"


def per_of(unit: str) -> str:
    """What a loss of this unit is a mean over: ``token``, ``learned token`` or ``text``."""
    return unit.rpartition(" per ")[2]


def pace(summary: Found, unit: str) -> Pace:
    """How much was seen and how fast, counted as the losses are by their ``unit``."""
    per = per_of(unit)
    counted = f"{per.split()[-1]}s"
    return Pace(per, summary[f"{counted}_seen"], summary[f"{counted}_per_s"])


def seen(summary: Found) -> tuple[str, Found]:
    """The split whose outcomes are shown, test before val, and those outcomes."""
    outcomes = summary["outcomes"] or {}
    return next(((s, outcomes[s]) for s in ("test", "val") if outcomes.get(s)), ("", {}))


def linear(summary: Found) -> dict[str, Told]:
    """What the linear baseline reaches, by metric; empty where there is none."""
    found = seen(summary)[1].get("linear") or {}
    return {t.key: t for t in told(summary["task"], found)}


def text_of(key: str) -> Callable[[Any], str]:
    """Digits that suit a metric: points of a hundred, shares, or numbers of any size."""
    base = _parted(key)[0]
    if base in ("bleu", "chrf"):
        return lambda value: words.NOTHING if value is None else f"{value:.1f}"
    if base in ("mse", "mae", "pinball"):  # in the unit of the target, whatever that is
        return lambda x: (words.loss_text if 0.01 <= (x or 0) < 10 else words.perplexity_text)(x)
    return words.perplexity_text if base == "perplexity" else words.loss_text


def _parted(key: str) -> tuple[str, str]:
    """A key's metric and what it is of: a way to average, a target or a label."""
    known = [base for base in (*_NAMES, "precision", "recall") if key.startswith(f"{base}_")]
    if key in _NAMES or not known:
        return key, ""
    base = max(known, key=len)
    return base, key[len(base) + 1 :]


def _rank(task: str, key: str) -> int:
    order = _TELLING[task]
    base = key if key in order else _parted(key)[0]
    return order.index(base) if base in order else len(order)
