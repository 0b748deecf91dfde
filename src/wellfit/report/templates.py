"""The package's own files: templates of the page and of its pictures, style and script."""

from __future__ import annotations

from functools import cache
from importlib import resources

from jinja2 import Environment, StrictUndefined, Template
from jinja2.environment import TemplateModule
from markupsafe import Markup


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
    made.filters.update(g="{:g}".format, at="{:.1f}".format, short=_short)
    return made


def _short(count: int) -> str:
    """A count in at most four figures."""
    if count < 1000:
        return str(count)
    return f"{count / 1000:.1f}k" if count < 9950 else f"{count / 1000:.0f}k"
