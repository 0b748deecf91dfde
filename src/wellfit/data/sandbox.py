"""The child process that renders chat templates, which are other people's programs.

``rendering`` runs this file by its path: it imports nothing of ours, sets its own limits before
it has seen a template, and talks in lines of JSON.  The first line that comes in has the template;
each later one conversations.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

_MARK = "\0"  # no message holds one
_TODAY = datetime(2024, 7, 26, tzinfo=UTC)  # of every rendering, or training would hang on the day


class _Generation(Extension):
    """``{% generation %}``: what the assistant says, between two marks."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> nodes.Node:
        """The tag with its body, as a call of ``marked``."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("marked"), [], [], body).set_lineno(line)

    def marked(self, caller: Callable[[], str]) -> str:
        """The body of a tag, rendered, with its marks."""
        return f"{_MARK}{caller()}{_MARK}"


def _raise(message: str) -> None:
    raise jinja2.TemplateError(message)


def _to_json(value: Any, ensure_ascii: bool = False, **options: Any) -> str:
    """Unlike Jinja's own, not made safe for HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, **options)


def environment() -> ImmutableSandboxedEnvironment:
    """Jinja as transformers sets it up, which published templates are written for."""
    found = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, "jinja2.ext.loopcontrols"]
    )
    found.filters["tojson"] = _to_json
    found.globals["raise_exception"] = _raise
    found.globals["strftime_now"] = lambda form: _TODAY.strftime(form)
    return found


class Rendering:
    """A template, with the special tokens that it may name."""

    def __init__(self, source: str, special: dict[str, str]) -> None:
        self.template = environment().from_string(source)
        self.special = special

    def raw(self, messages: list[Any], tools: Any, *, prompts: bool) -> str:
        """The text of some messages, with marks."""
        given = {"messages": messages, "tools": tools, "documents": None, **self.special}
        return self.template.render(given, add_generation_prompt=prompts)

    def text(self, messages: list[Any], tools: Any, *, prompts: bool = False) -> str:
        """The text of some messages; with ``prompts``, up to where the assistant speaks next."""
        return self.raw(messages, tools, prompts=prompts).replace(_MARK, "")

    def learned(self, messages: list[Any], tools: Any, learn: str) -> tuple[str, list[list[int]]]:
        """The text of a conversation and the characters [begin, end) of it that are learned."""
        raw = self.raw(messages, tools, prompts=False)
        text = raw.replace(_MARK, "")
        if learn == "all":
            return text, [[0, len(text)]]
        if _MARK in raw:
            spans, at = [], 0
            for number, part in enumerate(raw.split(_MARK)):
                spans += [[at, at + len(part)]] if number % 2 else []
                at += len(part)
        else:
            spoken = [i for i, message in enumerate(messages) if message["role"] == "assistant"]
            turns = spoken[-1:] if learn == "last" else spoken
            spans = [self.span(messages, tools, i, text) for i in turns]
        return text, spans[-1:] if learn == "last" else spans

    def span(self, messages: list[Any], tools: Any, turn: int, text: str) -> list[int]:
        """What message ``turn`` adds behind the prompt for it."""
        before = self.text(messages[:turn], tools, prompts=True)
        after = self.text(messages[: turn + 1], tools)
        if not (after.startswith(before) and text.startswith(after)):
            raise ValueError(
                f"the template writes the turns up to {turn + 1} otherwise when others follow, so "
                "that what the assistant says cannot be told from the rest. Mark it in the "
                "template with {% generation %}, or write task.learn=last or task.template=chatml"
            )
        return [len(before), len(after)]


def answer(rendering: Rendering, request: dict[str, Any]) -> list[Any]:
    """For each conversation its text and spans, or what the template says against it."""
    found: list[Any] = []
    for messages, tools in request["conversations"]:
        try:
            if request["learn"] is None:
                found.append([rendering.text(messages, tools, prompts=True), []])
            else:
                found.append(rendering.learned(messages, tools, request["learn"]))
        except MemoryError:
            raise
        except Exception as e:  # whatever a template does wrong
            found.append(f"{type(e).__name__}: {e}" if not isinstance(e, ValueError) else str(e))
    return found


def main(cpu_s: int, memory_bytes: int) -> None:
    """Answer line by line, each within a time of its own."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    rendering = None
    for line in sys.stdin:
        request = json.loads(line)
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + 1 + cpu_s, hard))
        if rendering is None:
            try:
                rendering = Rendering(request["template"], request["special"])
                said: Any = None
            except jinja2.TemplateSyntaxError as e:
                said = f"line {e.lineno}: {e.message}"
        else:
            said = answer(rendering, request)
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
