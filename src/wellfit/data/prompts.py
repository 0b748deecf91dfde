"""What a model is given to answer, in the tokens that it was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from wellfit.data.chat import CHATML, chat_template, dressed
from wellfit.data.coding import closing_token
from wellfit.errors import DataError
from wellfit.tokenizer import Tokenizer, encode_marked, frame


def encode_prompt(prompt: str, tokenizer: Tokenizer) -> npt.NDArray[Any]:
    """The ids of a prompt to complete, behind the tokenizer's own first token if it has one."""
    before = np.array(frame(tokenizer).before, dtype=tokenizer.dtype)
    return np.concatenate([before, tokenizer.encode(prompt)])


def render_prompts(
    conversations: Sequence[Sequence[Mapping[str, Any]]],
    tokenizer: Tokenizer,
    template: str | None = None,
) -> list[npt.NDArray[Any]]:
    """The ids of conversations up to where the assistant speaks next.

    By the text of a template, else the tokenizer's own, else chatml.  Raises ``DataError`` where
    the template refuses a conversation.
    """
    how = dressed(tokenizer, template or chat_template(tokenizer) or CHATML, "given")
    try:
        turns = [(messages, None) for messages in conversations]
        rendered = how.renderer.render(turns, "the first", learn=None)
    finally:
        how.renderer.close()
    texts = []
    for number, one in enumerate(rendered, 1):
        if isinstance(one, str):
            raise DataError(f"the chat template refuses conversation {number}: {one}")
        texts.append(one.text)
    if not texts:
        return []
    marked = encode_marked(tokenizer, texts)
    return np.split(marked.ids, np.cumsum(marked.lengths)[:-1])


def render_prompt(
    messages: Sequence[Mapping[str, Any]], tokenizer: Tokenizer, template: str | None = None
) -> npt.NDArray[Any]:
    """The ids of one conversation, as ``render_prompts`` gives them."""
    return render_prompts([messages], tokenizer, template)[0]


def end_of_answer(tokenizer: Tokenizer, template: str | None = None) -> int:
    """The token that ends what the assistant says in a chat: where sampling stops."""
    how = dressed(tokenizer, template or chat_template(tokenizer) or CHATML, "given")
    try:
        return closing_token(how, tokenizer).token
    finally:
        how.renderer.close()
