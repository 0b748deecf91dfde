"""Examples to tokens: which ids, which of them are learned, and the numbers beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from wellfit import config
from wellfit.data.examples import ExampleTask, Form, targets_of
from wellfit.data.labels import class_names
from wellfit.data.records import Example
from wellfit.data.shards import Beside
from wellfit.errors import TokenizerError
from wellfit.tokenizer import Tokenizer, frame


class Coding(NamedTuple):
    """What decides the tokens and numbers of an example."""

    task: ExampleTask
    tokenizer: Tokenizer
    before: tuple[int, ...]  # ids at the start of each example; never learned
    after: tuple[int, ...]  # ids at its end; learned where the task learns tokens
    labels: Mapping[str, int]  # of a class: its number


class Coded(NamedTuple):
    """The tokens of some examples, one after the other."""

    ids: npt.NDArray[Any]
    starts: npt.NDArray[np.int64]
    beside: dict[str, npt.NDArray[Any]]


def coding(form: Form, tokenizer: Tokenizer, counts: Mapping[str, int]) -> Coding:
    """How the examples of a form are coded; ``counts`` has the labels that occur.

    A published tokenizer puts its own tokens round a text (<s>, or [CLS] and [SEP]), since the
    model was trained so.  The end-of-text token ends a completion; where a text only gets a
    label, it ends that too, if there is one.
    """
    before, after = frame(tokenizer)
    eos = () if tokenizer.eos_id is None else (tokenizer.eos_id,)
    match form.task:
        case config.Complete():
            if not eos:
                raise TokenizerError(
                    "the tokenizer has no end-of-text token to end a completion with. Name one as "
                    "eos_token in its tokenizer_config.json"
                )
            after = eos
        case _:
            after = after or eos
    names = class_names(counts) if form.known is None else form.known.names
    return Coding(form.task, tokenizer, before, after, {name: i for i, name in enumerate(names)})


def beside_tokens(form: Form | None, counts: Mapping[str, int]) -> dict[str, Beside]:
    """The files that lie beside the tokens of a task's examples."""
    if form is None:
        return {}
    places = Beside(np.dtype(np.int64), "document", 2)
    match form.task:
        case config.Complete() | config.Chat():
            return {"learned": Beside(np.dtype(np.bool_), "token"), "places": places}
        case config.Classify() as task:
            n_classes = len(form.known.names if form.known else counts)
            width = n_classes if task.several else 1
        case config.Regress() as task:
            width = len(targets_of(task))
    return {"labels": Beside(np.dtype(np.float32), "document", width), "places": places}


def coded(examples: Sequence[Example], places: npt.NDArray[np.int64], how: Coding) -> Coded:
    """The tokens of examples, all of which have as many texts.

    Texts are encoded apart, so that a prompt has the same tokens here as when it stands alone,
    before anything is written.
    """
    n_texts = len(examples[0].texts)
    texts = [text for example in examples for text, _ in example.texts]
    ids, lengths = how.tokenizer.encode_joined(texts)
    flags = np.array([learned for example in examples for _, learned in example.texts])
    sizes = np.empty((len(examples), n_texts + 2), dtype=np.int64)
    sizes[:, 0], sizes[:, -1] = len(how.before), len(how.after)
    sizes[:, 1:-1] = lengths.reshape(len(examples), n_texts)
    kinds = np.repeat(np.tile(np.arange(n_texts + 2), len(examples)), sizes.ravel())
    is_text = (kinds > 0) & (kinds <= n_texts)
    filled = np.empty(len(kinds), dtype=how.tokenizer.dtype)
    filled[is_text] = ids
    filled[kinds == 0] = np.tile(how.before, len(examples))
    filled[kinds > n_texts] = np.tile(how.after, len(examples))
    ends = np.cumsum(sizes.sum(axis=1))
    starts = ends - sizes.sum(axis=1)
    beside = {"places": places}
    if isinstance(how.task, (config.Classify, config.Regress)):
        return Coded(filled, starts, {**beside, "labels": _numbers(examples, how)})
    learned = kinds > n_texts
    learned[is_text] = np.repeat(flags, lengths)
    learned[starts] = False  # nothing comes before the first token that it could follow from
    return Coded(filled, starts, {**beside, "learned": learned})


def _numbers(examples: Sequence[Example], how: Coding) -> npt.NDArray[np.float32]:
    """The labels of examples as ``stream.Labels`` says."""
    labels = [example.labels or () for example in examples]
    if isinstance(how.task, config.Regress):
        return np.array(labels, dtype=np.float32)
    chosen = [[how.labels[str(label)] for label in names] for names in labels]
    if isinstance(how.task, config.Classify) and not how.task.several:
        return np.array(chosen, dtype=np.float32)
    found = np.zeros((len(examples), len(how.labels)), dtype=np.float32)
    for row, numbers in zip(found, chosen, strict=True):
        row[numbers] = 1
    return found
