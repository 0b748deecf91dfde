"""Records of conversations to examples: rendered in batches, with what the assistant says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice

from wellfit import config
from wellfit.data.chat import Dress
from wellfit.data.conversations import Conversation, conversation_of, strings_in
from wellfit.data.reading import LEAVE_OUT, Bad, place_in
from wellfit.data.records import Example, Piece, Record, as_piece, trouble_with
from wellfit.data.rendering import Rendered
from wellfit.data.sources import SourceFile

_AT_ONCE = 64  # conversations in a round trip to the process that renders


def spoken_examples(
    file: SourceFile, records: Iterable[Record], task: config.Chat, how: Dress, max_line: int
) -> Iterator[Piece]:
    """Each record as an example; bad where it is no conversation, or the template refuses it."""
    waiting = iter(records)
    refused = re.compile("|".join(map(re.escape, how.refused)) or r"(?!)")
    while batch := list(islice(waiting, _AT_ONCE)):
        places = [place_in(file, record.number) for record in batch]
        made: list[Conversation | Bad] = []
        for record, place in zip(batch, places, strict=True):
            found = record.bad or conversation_of(record.text, task, place)
            if isinstance(found, Conversation):
                found = _trouble(found, how, refused, max_line, place) or found
            made.append(found)
        spoken = [(one.messages, one.tools) for one in made if isinstance(one, Conversation)]
        texts = iter(how.renderer.render(spoken, places[0], learn=task.learn))
        for record, place, one in zip(batch, places, made, strict=True):
            if isinstance(one, Bad):
                yield as_piece(record, one)
            else:
                yield as_piece(record, _example(one, next(texts), how, task.learn, place))


def _trouble(
    spoken: Conversation, how: Dress, refused: re.Pattern[str], max_line: int, place: str
) -> Bad | None:
    """What keeps a conversation from being rendered as it is meant."""
    text = "\n".join(strings_in([spoken.messages, spoken.tools]))
    if (bad := trouble_with(text, place, max_line)) is not None:
        return bad
    if found := refused.search(text):
        story = (
            f"{place}: a message holds {found[0]!r}, which the template or the tokenizer marks "
            f"turns with, so that it could pass for a turn of its own. {LEAVE_OUT}"
        )
        return Bad("markup in a message", place, story)
    used = ["tools"] if spoken.tools else []
    used += ["tool_calls"] if any("tool_calls" in message for message in spoken.messages) else []
    if lacking := [name for name in used if name not in how.template]:
        story = (
            f"{place}: the conversation has {' and '.join(lacking)}, and the template "
            f"({how.origin}) has no place for them. One that has: task.template=chatml. {LEAVE_OUT}"
        )
        return Bad("no place for tools", place, story)
    return None


def _example(
    spoken: Conversation, found: Rendered | str, how: Dress, learn: str, place: str
) -> Example | Bad:
    if isinstance(found, str):
        story = f"{place}: the chat template ({how.origin}) refuses it: {found}. {LEAVE_OUT}"
        return Bad("refused by the template", place, story)
    spans = found.spans if learn == "all" else learned_spans(found, how)
    return Example(spoken.given, ((found.text, False),), spans, form=spoken.form)


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
