"""Records of conversations to examples: rendered in batches, with what the assistant says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice

from wellfit import config
from wellfit.data.chat import Dress, learned_spans
from wellfit.data.conversations import Conversation, conversation_of, strings_in
from wellfit.data.reading import Bad, place_in
from wellfit.data.records import Example, Piece, Record, as_piece, bad_piece, check_text
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
                yield as_piece(record, _example(one, next(texts), how, task.learn))
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


def _example(spoken: Conversation, found: Rendered | str, how: Dress, learn: str) -> Example:
    if isinstance(found, str):
        story = f"the chat template ({how.origin}) refuses it: {found}"
        raise Bad("refused by the template", story)
    spans = found.spans if learn == "all" else learned_spans(found, how)
    return Example(spoken.given, ((found.text, False),), spans, form=spoken.form)
