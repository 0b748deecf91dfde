"""The package's own files: templates of the page and of its pictures, style and script."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from jinja2.environment import TemplateModule
from markupsafe import Markup

from wellfit.report import measures, words
from wellfit.units import format_span


def asset(name: str) -> str:
    """The text of a file that lies beside this one."""
    return resources.files("wellfit.report").joinpath(name).read_text(encoding="utf-8")


@cache
def page_template() -> Template:
    """The page, to be rendered."""
    return _environment().from_string(asset("page.html.j2"))


def picture(macro: str, *what: object, **more: object) -> Markup:
    """A picture of ``chart.svg.j2``, by the name of its macro."""
    return Markup(getattr(_pictures(), macro)(*what, **more))


@cache
def _pictures() -> TemplateModule:
    # an element a line in the file; in the picture nothing lies between elements
    lines = (line.strip() for line in asset("chart.svg.j2").splitlines())
    return _environment().from_string("".join(lines)).module


def _environment() -> Environment:
    made = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters.update(_FILTERS)
    return made


def _changes(change: Mapping[str, Any] | None) -> list[str]:
    """Recipe changes as they are typed after ``wellfit train RECIPE``."""
    return [words.override_text(key, value) for key, value in (change or {}).items()]


def _short(count: int) -> str:
    """A count in at most four figures."""
    if count < 1000:
        return str(count)
    return f"{count / 1000:.1f}k" if count < 9950 else f"{count / 1000:.0f}k"


# How the templates write numbers and names.
_FILTERS: dict[str, Callable[..., str | list[str]]] = {
    "g": "{:g}".format,
    "at": "{:.1f}".format,
    "n": "{:,}".format,
    "short": _short,
    "count": words.count_text,
    "loss": words.loss_text,
    "interval": words.interval_text,
    "between": lambda interval: f"95%: {interval}" if interval else "",
    "span": lambda span_s: words.NOTHING if span_s is None else format_span(span_s),
    "ms": words.short_span_text,
    "times": words.times_text,
    "sentence": lambda text: words.sentence(str(text or "")),
    "capital": words.capital,
    "title_text": words.title_text,
    "value": words.value_text,
    "fact": words.fact_text,
    "metric": measures.name_of,
    "changes": _changes,
}
