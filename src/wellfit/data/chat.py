"""The template of a chat: where it comes from, and what it may not meet."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from wellfit import config
from wellfit.data.rendering import Renderer
from wellfit.errors import DataError
from wellfit.tokenizer import END_OF_TEXT, Tokenizer, load_tokenizer, markup

TEMPLATE_FILE = "chat_template.jinja"
_SETTINGS = "tokenizer_config.json"
_OUR_MARK = re.compile(r"<\|\w+\|>")

# As OpenAI described it and Qwen, SmolLM and others write it; tools as Hermes does.
CHATML = """\
{%- set first = 0 -%}
{%- if tools -%}
  {{- '<|im_start|>system\\n' -}}
  {%- if messages and messages[0].role == 'system' -%}
    {%- set first = 1 -%}
    {{- messages[0].content + '\\n\\n' -}}
  {%- endif -%}
  {{- 'Tools, one a line. A call: <tool_call>{"name": ..., "arguments": ...}</tool_call>' -}}
  {%- for tool in tools -%}
    {{- '\\n' + tool | tojson -}}
  {%- endfor -%}
  {{- '<|im_end|>\\n' -}}
{%- endif -%}
{%- for message in messages[first:] -%}
  {{- '<|im_start|>' + message.role + '\\n' + (message.content or '') -}}
  {%- for call in message.tool_calls or [] -%}
    {{- '\\n' if message.content or not loop.first -}}
    {%- set called = {'name': call.function.name, 'arguments': call.function.arguments} -%}
    {{- '<tool_call>' + called | tojson + '</tool_call>' -}}
  {%- endfor -%}
  {{- '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
  {{- '<|im_start|>assistant\\n' -}}
{%- endif -%}
"""


class Dress(NamedTuple):
    """How conversations of a task become text."""

    template: str
    origin: str  # whose template it is, in words
    named: Mapping[str, str]  # special tokens by the names that templates use: eos_token, ...
    special: tuple[str, ...]  # texts that are tokens in a rendering
    marks: tuple[str, ...]  # those of them that a vocabulary made here gets
    renderer: Renderer

    @property
    def refused(self) -> tuple[str, ...]:
        """What no message may hold, or a user could write turns of the assistant."""
        return tuple(dict.fromkeys((*self.special, *self.marks, *_marks_in(self.template))))


def dress(task: config.Chat, tokenizer: config.Tokenizer | Tokenizer) -> Dress:
    """The template of a chat: the recipe's, the tokenizer's own, or chatml."""
    known = tokenizer if isinstance(tokenizer, Tokenizer) else None
    if isinstance(tokenizer, config.PretrainedTokenizer):
        known = load_tokenizer(Path(tokenizer.path))
    own = chat_template(known) if known is not None else None
    match task.template:
        case "auto" if own is not None:
            template, origin = own, "the tokenizer's own"
        case "auto" | "chatml":
            template, origin = CHATML, "chatml"
        case path:
            template, origin = _read(Path(path).expanduser()), path
    if known is not None:
        return dressed(known, template, origin)
    marks = _marks_in(template) if isinstance(tokenizer, config.BpeTokenizer) else ()
    named, special = {"eos_token": END_OF_TEXT}, (*marks, END_OF_TEXT)
    return Dress(template, origin, named, special, marks, Renderer(template, named))


def dressed(tokenizer: Tokenizer, template: str, origin: str) -> Dress:
    """A template with the special tokens of a tokenizer that exists."""
    named = special_names(tokenizer)
    return Dress(template, origin, named, tuple(markup(tokenizer)), (), Renderer(template, named))


def _marks_in(template: str) -> tuple[str, ...]:
    """The markers that a template writes out, such as <|im_start|>."""
    return tuple(dict.fromkeys(m for m in _OUR_MARK.findall(template) if m != END_OF_TEXT))


def chat_template(tokenizer: Tokenizer) -> str | None:
    """The template that lies beside a tokenizer; of several, the one called default."""
    if TEMPLATE_FILE in tokenizer.files:
        return tokenizer.files[TEMPLATE_FILE]
    found = json.loads(tokenizer.files.get(_SETTINGS, "{}")).get("chat_template")
    if isinstance(found, list):
        found = {one.get("name"): one.get("template") for one in found}.get("default")
    return found if isinstance(found, str) else None


def special_names(tokenizer: Tokenizer) -> dict[str, str]:
    """The special tokens by the names that templates use, such as ``bos_token``."""
    settings = json.loads(tokenizer.files.get(_SETTINGS, "{}"))
    named = {} if tokenizer.eos_id is None else {"eos_token": tokenizer.decode([tokenizer.eos_id])}
    for name, value in settings.items():
        text = value.get("content") if isinstance(value, dict) else value
        if name.endswith("_token") and isinstance(text, str):
            named[name] = text
    return named


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise DataError(
            f"the chat template {path} cannot be read ({e}). task.template is auto, chatml, or the "
            "path of a Jinja file"
        ) from None
