"""Records to the examples of a task: what is given, what is learned, and the labels."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from itertools import islice
from typing import Any, NamedTuple, TypeAlias

from wellfit import config
from wellfit.data.chat import Dress, dress, learned_spans
from wellfit.data.conversations import Conversation, conversation_of, strings_in
from wellfit.data.reading import Bad, place_in
from wellfit.data.records import (
    Asked,
    Column,
    Example,
    Phrase,
    Piece,
    Record,
    as_piece,
    asked_for,
    bad_piece,
    check_text,
    phrase,
    shown,
    written_out,
)
from wellfit.data.rendering import Rendered
from wellfit.data.sources import SourceFile
from wellfit.data.stream import Labels
from wellfit.tokenizer import Tokenizer

ExampleTask: TypeAlias = config.Complete | config.Chat | config.Classify | config.Regress

_AT_ONCE = 64  # conversations in a round trip to the process that renders
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


class Form(NamedTuple):
    """How the records of a task become examples; None of this for a language model."""

    task: ExampleTask
    asked: Asked
    phrases: tuple[Phrase, ...]  # the text, or prompt and completion
    max_line: int
    known: Labels | None = None  # of a model that exists already
    dress: Dress | None = None  # of a chat


def form_of(
    task: config.Task,
    data: config.Data,
    tokenizer: config.Tokenizer | Tokenizer,
    known: Labels | None = None,
) -> Form | None:
    """The form of a task's examples."""
    texts, chat = {"data.text": data.text}, None
    more: tuple[Column, ...] = ()
    match task:
        case config.LanguageModel():
            return None
        case config.Complete():
            texts = {"task.prompt": task.prompt, "task.completion": task.completion}
        case config.Classify():
            more = (Column(task.label, "task.label"),)
        case config.Regress():
            more = tuple(Column(name, "task.targets") for name in targets_of(task))
        case config.Chat():
            texts, chat = {}, dress(task, tokenizer)
            more = (Column(task.messages, "task.messages"),) if task.messages != "auto" else ()
    phrases = tuple(phrase(text, setting) for setting, text in texts.items())
    asked = asked_for(data, *phrases, more=more)._replace(every=chat is not None)
    return Form(task, asked, phrases, data.max_line, known, chat)


def says_of(form: Form) -> dict[str, Any]:
    """All of a form that decides tokens and labels."""
    says = form.task.model_dump(mode="json", exclude={"loss", "pool", "template"})
    how = form.dress and [form.dress.template, dict(form.dress.named), form.dress.special]
    return says | {"known": form.known and asdict(form.known), "template": how}


def targets_of(task: config.Regress) -> tuple[str, ...]:
    """The names of the target columns."""
    return (task.targets,) if isinstance(task.targets, str) else task.targets


def examples_of(file: SourceFile, records: Iterable[Record], form: Form) -> Iterator[Piece]:
    """Each record as a document whose pieces are one; bad where it is no example."""
    if isinstance(form.task, config.Chat) and form.dress is not None:
        yield from _spoken(file, records, form.task, form.dress, form.max_line)
        return
    for record in records:
        try:
            yield as_piece(record, _example(record.sound(), form))
        except Bad as bad:
            yield bad_piece(record.number, bad)


def _example(found: Mapping[str, Any], form: Form) -> Example:
    texts = [written_out(wanted, found) for wanted in form.phrases]
    for text in texts:
        check_text(text, form.max_line)
    match form.task:
        case config.Complete() as task:
            prompt, completion = texts
            if not completion.strip():
                raise Bad("empty completion", "the completion is empty")
            return Example(prompt, ((prompt, task.learn == "all"), (completion, True)))
        case config.Classify() as task:
            labels: Any = _class_labels(found[task.label], task, form.known)
        case config.Regress() as task:
            labels = tuple(_number(found[name], name) for name in targets_of(task))
        case _:
            raise AssertionError(form.task)
    return Example(texts[0], ((texts[0], False),), labels=labels)


def _class_labels(value: Any, task: config.Classify, known: Labels | None) -> tuple[str, ...]:
    """The labels of a record as text; of several, each once."""
    if task.several and isinstance(value, str):
        value = [part.strip() for part in value.split("|" if "|" in value else ",")]
        value = [part for part in value if part]
    elif not task.several and isinstance(value, list):
        story = f"the label is a list, {str(value)[:60]}. For several labels: task.several=true"
        raise Bad("label is a list", story)
    values = value if isinstance(value, list) else [value]
    if value is None or not all(isinstance(v, (str, int)) and v != "" for v in values):
        hint = ". For numbers: task.kind=regress" if isinstance(value, float) else ""
        story = f"there is {shown(value)} where the label ({task.label!r}) should be{hint}"
        raise Bad("no label", story)
    labels = tuple(dict.fromkeys(_label(v) for v in values))
    if known is not None and (strange := [v for v in labels if v not in known.names]):
        names = ", ".join(map(repr, known.names[:20]))
        story = f"the model has no label {strange[0]!r}; its labels are {names}"
        raise Bad("unknown label", story)
    return labels


def _label(value: str | bool | int) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _number(value: Any, name: str) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    is_written = isinstance(value, str) and _NUMBER.fullmatch(value.strip()) is not None
    number = float(value) if is_number or is_written else math.nan
    if not math.isfinite(number):
        raise Bad("no number", f"there is {shown(value)} where the number {name!r} should be")
    return number


def _spoken(
    file: SourceFile, records: Iterable[Record], task: config.Chat, how: Dress, max_line: int
) -> Iterator[Piece]:
    """Each record as an example; bad where it is no conversation, or the template refuses it."""
    waiting = iter(records)
    refused = re.compile("|".join(map(re.escape, how.refused)) or r"(?!)")
    while batch := list(islice(waiting, _AT_ONCE)):
        made: list[Conversation | Bad] = []
        for record in batch:
            try:
                spoken = conversation_of(record.sound(), task.messages)
                _check(spoken, how, refused, max_line)
                made.append(spoken)
            except Bad as bad:
                made.append(bad)
        turns = [(one.messages, one.tools) for one in made if isinstance(one, Conversation)]
        where = place_in(file, batch[0].number)
        texts = iter(how.renderer.render(turns, where, learn=task.learn))
        for record, one in zip(batch, made, strict=True):
            try:
                if isinstance(one, Bad):
                    raise one
                yield as_piece(record, _rendered(one, next(texts), how, task.learn))
            except Bad as bad:
                yield bad_piece(record.number, bad)


def _check(spoken: Conversation, how: Dress, refused: re.Pattern[str], max_line: int) -> None:
    """Raise ``Bad`` for what keeps a conversation from being rendered as it is meant."""
    text = "\n".join(strings_in([spoken.messages, spoken.tools]))
    check_text(text, max_line)
    if found := refused.search(text):
        story = (
            f"a message holds {found[0]!r}, which the template or the tokenizer marks turns with, "
            "so that it could pass for a turn of its own"
        )
        raise Bad("markup in a message", story)
    used = ["tools"] if spoken.tools else []
    used += ["tool_calls"] if any("tool_calls" in message for message in spoken.messages) else []
    if lacking := [name for name in used if name not in how.template]:
        story = (
            f"the conversation has {' and '.join(lacking)}, and the template ({how.origin}) has "
            "no place for them. One that has: task.template=chatml"
        )
        raise Bad("no place for tools", story)


def _rendered(spoken: Conversation, found: Rendered | str, how: Dress, learn: str) -> Example:
    if isinstance(found, str):
        story = f"the chat template ({how.origin}) refuses it: {found}"
        raise Bad("refused by the template", story)
    spans = found.spans if learn == "all" else learned_spans(found, how)
    return Example(spoken.given, ((found.text, False),), spans, form=spoken.form)
