"""The template of a chat: where it comes from, what it may not meet, and how it ends an answer."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy.typing as npt

from wellfit import config
from wellfit.data.rendering import Rendered, Renderer
from wellfit.errors import DataError, TokenizerError
from wellfit.tokenizer import END_OF_TEXT, Tokenizer, encode_marked, load_tokenizer, markup
from wellfit.tokenizer.tokenizer import SETTINGS, TEMPLATE

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


def dressed(tokenizer: Tokenizer, template: str | None, origin: str = "given") -> Dress:
    """A template, else the tokenizer's own, else chatml; with the tokenizer's special tokens."""
    template = template or chat_template(tokenizer) or CHATML
    named = special_names(tokenizer)
    return Dress(template, origin, named, tuple(markup(tokenizer)), (), Renderer(template, named))


def _marks_in(template: str) -> tuple[str, ...]:
    """The markers that a template writes out, such as <|im_start|>."""
    return tuple(dict.fromkeys(m for m in _OUR_MARK.findall(template) if m != END_OF_TEXT))


def chat_template(tokenizer: Tokenizer) -> str | None:
    """The template that lies beside a tokenizer; of several, the one called default."""
    if TEMPLATE in tokenizer.files:
        return tokenizer.files[TEMPLATE]
    found = json.loads(tokenizer.files.get(SETTINGS, "{}")).get("chat_template")
    if isinstance(found, list):
        found = {one.get("name"): one.get("template") for one in found}.get("default")
    return found if isinstance(found, str) else None


def special_names(tokenizer: Tokenizer) -> dict[str, str]:
    """The special tokens by the names that templates use, such as ``bos_token``."""
    settings = json.loads(tokenizer.files.get(SETTINGS, "{}"))
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


def learned_spans(found: Rendered, how: Dress) -> tuple[tuple[int, int], ...]:
    """The learned characters, each stretch up to the special token that ends it, if there is one.

    White space behind that token is left out, since nobody waits for it; a token just behind the
    stretch belongs to it, or the model would never learn to end.
    """
    text, spans = found.text, []
    for begin, end in found.spans:
        said = text[begin:end].rstrip()
        if said.endswith(how.special):
            end = begin + len(said)
        elif text.startswith(how.special, end):
            end += max(len(token) for token in how.special if text.startswith(token, end))
        spans.append((begin, end))
    return tuple(span for span in spans if span[0] < span[1])


class Closing(NamedTuple):
    """The token that ends what the assistant says."""

    token: int
    is_written: bool  # by the template; else it is put there


def closing_token(how: Dress, tokenizer: Tokenizer) -> Closing:
    """The special token with which a template ends an answer, else the end-of-text token.

    Raises ``TokenizerError`` where nothing would end it.
    """
    probe = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    (found,) = how.renderer.render([(probe, None)], "a first question")
    if isinstance(found, str) or not found.spans:
        why = found if isinstance(found, str) else "the answer is not in its text"
        raise DataError(f"the chat template ({how.origin}) takes no question and answer: {why}")
    said = [found.text[begin:end] for begin, end in learned_spans(found, how)][-1:]
    tokens = markup(tokenizer)
    if closing := [token for token in how.special if token in tokens and said[0].endswith(token)]:
        return Closing(tokens[max(closing, key=len)], True)
    if tokenizer.eos_id is None:
        raise TokenizerError(
            f"the chat template ({how.origin}) ends an answer with no special token of the "
            "tokenizer, which has no end-of-text token either. Name one as eos_token in its "
            "tokenizer_config.json"
        )
    return Closing(tokenizer.eos_id, False)


def render_prompt(
    messages: Sequence[Mapping[str, Any]], tokenizer: Tokenizer, template: str | None = None
) -> npt.NDArray[Any]:
    """The ids of a conversation up to where the assistant speaks next.

    By the text of a template, else the tokenizer's own, else chatml.  Raises ``DataError`` where
    the template refuses the conversation.
    """
    how = dressed(tokenizer, template)
    with closing(how.renderer):
        (rendered,) = how.renderer.render([(messages, None)], "the prompt", learn=None)
    if isinstance(rendered, str):
        raise DataError(f"the chat template refuses the conversation: {rendered}")
    return encode_marked(tokenizer, [rendered.text]).ids


def end_of_answer(tokenizer: Tokenizer, template: str | None = None) -> int:
    """The token that ends what the assistant says in a chat: where sampling stops."""
    how = dressed(tokenizer, template)
    with closing(how.renderer):
        return closing_token(how, tokenizer).token
