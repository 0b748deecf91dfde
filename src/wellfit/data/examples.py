"""Records to the examples of a task: what is given, what is learned, and the labels."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any, NamedTuple, TypeAlias

from wellfit import config
from wellfit.data.reading import LEAVE_OUT, Bad, place_in
from wellfit.data.records import (
    Asked,
    Column,
    Example,
    Phrase,
    Piece,
    Record,
    asked_for,
    phrase,
    trouble_with,
    written_out,
)
from wellfit.data.sources import SourceFile
from wellfit.data.stream import Labels

ExampleTask: TypeAlias = config.Complete | config.Chat | config.Classify | config.Regress

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


class Form(NamedTuple):
    """How the records of a task become examples; None of this for a language model."""

    task: ExampleTask
    asked: Asked
    phrases: tuple[Phrase, ...]  # the text, or prompt and completion
    max_line: int
    known: Labels | None  # of a model that exists already


def form_of(task: config.Task, data: config.Data, known: Labels | None = None) -> Form | None:
    """The form of a task's examples."""
    wanted: tuple[Phrase, ...] = ()
    more: tuple[Column, ...] = ()
    match task:
        case config.LanguageModel():
            return None
        case config.Complete():
            wanted = (
                phrase(task.prompt, "task.prompt"),
                phrase(task.completion, "task.completion"),
            )
        case config.Classify():
            wanted = (phrase(data.text, "data.text"),)
            more = (Column(task.label, "task.label"),)
        case config.Regress():
            wanted = (phrase(data.text, "data.text"),)
            more = tuple(Column(name, "task.targets") for name in targets_of(task))
        case config.Chat():
            raise NotImplementedError
    return Form(task, asked_for(data, *wanted, more=more), wanted, data.max_line, known)


def says_of(form: Form) -> dict[str, Any]:
    """All of a form that decides tokens and labels."""
    says = form.task.model_dump(mode="json", exclude={"loss", "pool"})
    return says | {"known": form.known and asdict(form.known)}


def targets_of(task: config.Regress) -> tuple[str, ...]:
    """The names of the target columns."""
    return (task.targets,) if isinstance(task.targets, str) else task.targets


def examples_of(file: SourceFile, records: Iterable[Record], form: Form) -> Iterator[Piece]:
    """Each record as a document whose pieces are one; bad where it is no example."""
    for record in records:
        made = record.bad or _example(record, form, place_in(file, record.number))
        yield as_piece(record, made)


def as_piece(record: Record, made: Example | Bad) -> Piece:
    """The document that a record makes."""
    if isinstance(made, Bad):
        return Piece("", True, record.number, bad=made)
    value = None if record.value is None else str(record.value)
    return Piece("".join(text for text, _ in made.texts), True, record.number, value, None, made)


def _example(record: Record, form: Form, place: str) -> Example | Bad:
    texts = []
    for wanted in form.phrases:
        text = written_out(wanted, record.text, place)
        if isinstance(text, str):
            text = trouble_with(text, place, form.max_line) or text
        if isinstance(text, Bad):
            return text
        texts.append(text)
    match form.task:
        case config.Complete() as task:
            prompt, completion = texts
            if not completion.strip():
                return _bad("empty completion", place, "the completion is empty")
            return Example(prompt, ((prompt, task.learn == "all"), (completion, True)))
        case config.Classify() as task:
            labels: Any = _class_labels(record.text[task.label], task, form.known, place)
        case config.Regress() as task:
            labels = _numbers(record.text, targets_of(task), place)
        case _:
            raise AssertionError(form.task)
    if isinstance(labels, Bad):
        return labels
    return Example(texts[0], ((texts[0], False),), labels=labels)


def _bad(kind: str, place: str, story: str) -> Bad:
    return Bad(kind, place, f"{place}: {story}. {LEAVE_OUT}")


def _class_labels(
    value: Any, task: config.Classify, known: Labels | None, place: str
) -> tuple[str, ...] | Bad:
    """The labels of a record as text; of several, each once."""
    if task.several and isinstance(value, str):
        value = [part.strip() for part in value.split("|" if "|" in value else ",")]
        value = [part for part in value if part]
    elif not task.several and isinstance(value, list):
        story = f"the label is a list, {str(value)[:60]}. For several labels: task.several=true"
        return _bad("label is a list", place, story)
    values = value if isinstance(value, list) else [value]
    if value is None or not all(isinstance(v, (str, int)) and v != "" for v in values):
        return _bad("no label", place, _no_label(value, task))
    labels = tuple(dict.fromkeys(_label(v) for v in values))
    if known is not None and (strange := [v for v in labels if v not in known.names]):
        names = ", ".join(map(repr, known.names[:20]))
        story = f"the model has no label {strange[0]!r}; its labels are {names}"
        return _bad("unknown label", place, story)
    return labels


def _label(value: str | bool | int) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _no_label(value: Any, task: config.Classify) -> str:
    says = "nothing" if value in (None, "") else f"{type(value).__name__} {str(value)[:40]!r}"
    hint = ". For numbers: task.kind=regress" if isinstance(value, float) else ""
    return f"there is {says} where the label ({task.label!r}) should be{hint}"


def _numbers(
    found: Mapping[str, Any], names: tuple[str, ...], place: str
) -> tuple[float, ...] | Bad:
    numbers = []
    for name in names:
        value = found[name]
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        is_written = isinstance(value, str) and _NUMBER.fullmatch(value.strip()) is not None
        number = float(value) if is_number or is_written else math.nan
        if not math.isfinite(number):
            says = (
                "nothing" if value in (None, "") else f"{type(value).__name__} {str(value)[:40]!r}"
            )
            return _bad("no number", place, f"there is {says} where the number {name!r} should be")
        numbers.append(number)
    return tuple(numbers)
