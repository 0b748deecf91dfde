"""Models put to work after training: they write, or say what they make of a text."""

from __future__ import annotations

import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from wellfit.config import Chat, Complete
from wellfit.data import Labels, encode_prompt, end_of_answer, render_prompt
from wellfit.model import generate
from wellfit.tokenizer import ends_of_text
from wellfit.train.again import Opened, open_model
from wellfit.train.samples import first_token


class Sampling(NamedTuple):
    """How tokens are drawn."""

    tokens: int
    temperature: float
    top_k: int | None
    top_p: float | None
    seed: int


def stream_text(target: Path, prompt: str, how: Sampling) -> Iterator[str]:
    """What the model makes of a prompt, in pieces that can be printed as they come.

    A language model goes on from it; one that completes or chats answers it; one that labels
    says its labels, the likeliest first.
    """
    opened = open_model(target)
    if opened.labels is not None:
        yield from _labels(opened, opened.labels, prompt)
        return
    tokenizer = opened.tokenizer
    task = opened.recipe.task if opened.recipe else None
    stops = {tokenizer.eos_id}
    match task:
        case Chat():
            # The run's tokenizer carries the template it was trained with.
            start = render_prompt([{"role": "user", "content": prompt}], tokenizer).tolist()
            stops.add(end_of_answer(tokenizer))
        case Complete():
            start = encode_prompt(_filled(task.prompt, prompt), tokenizer).tolist()
        case _:
            yield prompt
            start = tokenizer.encode(prompt).tolist() if prompt else first_token(tokenizer)
    written, shown = list[int](), ""
    drawing = {key: value for key, value in how._asdict().items() if key != "tokens"}
    for token in generate(opened.model, start, n_tokens=how.tokens, **drawing):
        if token in stops:
            break
        written.append(token)
        text = tokenizer.decode(np.array(written))
        # Not in the middle of a character: its last byte comes with the next token.
        if not text.endswith("\N{REPLACEMENT CHARACTER}"):
            yield text[len(shown) :]
            shown = text
    yield tokenizer.decode(np.array(written))[len(shown) :] if written else ""


def _filled(template: str, prompt: str) -> str:
    """The prompt as the model met it in training: in its template, where that has one place."""
    fields = {name for _, name, _, _ in string.Formatter().parse(template) if name}
    return template.replace("{" + fields.pop() + "}", prompt) if len(fields) == 1 else prompt


@torch.inference_mode()
def _labels(opened: Opened, labels: Labels, text: str) -> Iterator[str]:
    """The labels with their probabilities, or the numbers."""
    before, after = ends_of_text(opened.tokenizer)
    ids = [*before, *opened.tokenizer.encode(text).tolist(), *after][: opened.model.shape.context]
    outputs: Any = opened.model.outputs_of(torch.tensor([ids]), torch.tensor([len(ids)]))[0].float()
    if labels.means:
        values = outputs * torch.tensor(labels.deviations) + torch.tensor(labels.means)
        for name, value in zip(labels.names, values.tolist(), strict=True):
            yield f"{value:10.4g}  {name}\n"
        return
    shares = outputs.sigmoid() if labels.several else outputs.softmax(dim=0)
    for i in shares.argsort(descending=True).tolist():
        yield f"{float(shares[i]):7.1%}  {labels.names[i]}\n"
