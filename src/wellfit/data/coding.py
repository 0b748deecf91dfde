"""Examples to tokens: which ids, which of them are learned, and the labels beside them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from wellfit import config
from wellfit.data.chat import closing_token
from wellfit.data.examples import ExampleTask, Form, targets_of
from wellfit.data.records import Example
from wellfit.data.shards import Held, plain_files
from wellfit.data.stream import Labels, Split
from wellfit.errors import DataError, TokenizerError
from wellfit.tokenizer import Marked, Tokenizer, encode_marked, ends_of_text, frame

Arrays: TypeAlias = dict[str, npt.NDArray[Any]]
"""What goes to the files of a split, by their kind."""

_SHOWN = 20


class Coding(NamedTuple):
    """What decides the tokens and numbers of an example."""

    task: ExampleTask
    tokenizer: Tokenizer
    before: tuple[int, ...]  # ids at the start of each example; never learned
    after: tuple[int, ...]  # ids at its end; learned where the task learns tokens
    end: int | None  # the token that ends what is learned
    labels: Mapping[str, int]  # of a class: its number


def coding(form: Form, tokenizer: Tokenizer, counts: Mapping[str, int]) -> Coding:
    """How the examples of a form are coded; ``counts`` has the labels that occur.

    A published tokenizer puts its own tokens round a text (<s>, or [CLS] and [SEP]), since the
    model was trained so.  The end-of-text token ends a completion; where a text only gets a
    label, it ends that too, if there is one.
    """
    before, after = frame(tokenizer)
    eos = () if tokenizer.eos_id is None else (tokenizer.eos_id,)
    end = tokenizer.eos_id
    if form.dress is not None:
        end, is_written = closing_token(form.dress, tokenizer)
        before, after = (), () if is_written else eos
    elif isinstance(form.task, config.Complete):
        if not eos:
            raise TokenizerError(
                "the tokenizer has no end-of-text token to end a completion with. Name one as "
                "eos_token in its tokenizer_config.json"
            )
        after = eos
    else:
        before, after = ends_of_text(tokenizer)
    names = class_names(counts) if form.known is None else form.known.names
    numbers = {name: i for i, name in enumerate(names)}
    return Coding(form.task, tokenizer, before, after, end, numbers)


def encode_prompt(prompt: str, tokenizer: Tokenizer) -> npt.NDArray[Any]:
    """The ids of a prompt to complete, behind the tokenizer's own first token if it has one."""
    before = np.array(frame(tokenizer).before, dtype=tokenizer.dtype)
    return np.concatenate([before, tokenizer.encode(prompt)])


def files_of(form: Form | None, dtype: np.dtype[Any], counts: Mapping[str, int]) -> dict[str, Held]:
    """The files of a split; those that lie beside the tokens are of a task's examples."""
    files = plain_files(dtype)
    if form is None:
        return files
    files["places"] = Held(np.dtype(np.int64), "document", 2)
    match form.task:
        case config.Complete() | config.Chat():
            return {**files, "learned": Held(np.dtype(np.bool_), "token")}
        case config.Classify() as task:
            n_classes = len(form.known.names if form.known else counts)
            width = n_classes if task.several else 1
        case config.Regress() as task:
            width = len(targets_of(task))
    return {**files, "labels": Held(np.dtype(np.float32), "document", width)}


def coded(examples: Sequence[Example], places: npt.NDArray[np.int64], how: Coding) -> Arrays:
    """The tokens of examples, all of which have as many texts, and what lies beside them.

    Texts are encoded apart, so that a prompt has the same tokens here as when it stands alone,
    before anything is written.  A conversation is one text.
    """
    texts = [text for example in examples for text, _ in example.texts]
    closed = np.ones(len(examples), dtype=np.bool_)
    if isinstance(how.task, config.Chat):
        spans = [example.spans or () for example in examples]
        marked = encode_marked(how.tokenizer, texts)
        ids, lengths, is_learned = marked.ids, marked.lengths, _is_inside(marked, texts, spans)
        closed = np.array([_closes(t, s) for t, s in zip(texts, spans, strict=True)])
    else:
        ids, lengths = how.tokenizer.encode_joined(texts)
        flags = [learned for example in examples for _, learned in example.texts]
        is_learned = np.repeat(np.array(flags), lengths)
    sizes = np.empty((len(examples), len(examples[0].texts) + 2), dtype=np.int64)
    sizes[:, 0], sizes[:, -1] = len(how.before), len(how.after) * closed
    sizes[:, 1:-1] = lengths.reshape(len(examples), -1)
    totals = sizes.sum(axis=1)
    if not totals.all():
        empty = examples[int(np.argmin(totals))].texts[0][0]
        raise TokenizerError(
            f"the text {empty[:40]!r} has not one token in this tokenizer. Leave it out"
        )
    tokens, parts = _laid(ids, sizes, how.before, how.after)
    found = {"tokens": tokens, "starts": np.cumsum(totals) - totals, "places": places}
    if isinstance(how.task, (config.Classify, config.Regress)):
        return {**found, "labels": _numbers(examples, how)}
    learned = parts == sizes.shape[1] - 1
    learned[(parts > 0) & ~learned] = is_learned
    learned[found["starts"]] = False  # nothing comes before the first token to tell it by
    return {**found, "learned": learned}


def _laid(
    ids: npt.NDArray[Any], sizes: npt.NDArray[np.int64], before: Sequence[int], after: Sequence[int]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int8]]:
    """The ids of texts with those that come before and after; and which part each of all is of.

    Shapes   sizes (n, 2 + texts of each): tokens before, of the texts, and after.
    """
    last = sizes.shape[1] - 1
    parts = np.repeat(np.tile(np.arange(last + 1, dtype=np.int8), len(sizes)), sizes.ravel())
    filled = np.empty(len(parts), dtype=ids.dtype)
    filled[(parts > 0) & (parts < last)] = ids
    filled[parts == 0] = np.tile(before, len(sizes))
    filled[parts == last] = np.tile(after, np.count_nonzero(sizes[:, last]))
    return filled, parts


def _closes(text: str, spans: Sequence[tuple[int, int]]) -> bool:
    """Whether a conversation ends with what the assistant says."""
    return bool(spans) and not text[spans[-1][1] :].strip()


def _is_inside(
    marked: Marked, texts: Sequence[str], spans: Sequence[Sequence[tuple[int, int]]]
) -> npt.NDArray[np.bool_]:
    """Which tokens stand for a character that is learned, wholly or in part."""
    sizes = np.fromiter(map(len, texts), np.int64, len(texts))
    first = np.cumsum(sizes) - sizes
    steps = np.zeros(int(sizes.sum()) + 1, dtype=np.int64)
    for at, found in zip(first.tolist(), spans, strict=True):
        for begin, end in found:
            steps[at + begin] += 1
            steps[at + end] -= 1
    before = np.concatenate([[0], np.cumsum(np.cumsum(steps)[:-1] > 0)])
    shift = np.repeat(first, marked.lengths)
    inside: npt.NDArray[np.bool_] = before[marked.ends + shift] > before[marked.begins + shift]
    return inside


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


def class_names(counts: Mapping[str, int]) -> tuple[str, ...]:
    """The labels in order: by number where all are whole numbers, else by name."""
    is_numeric = all(re.fullmatch(r"-?\d+", name) for name in counts)
    return tuple(sorted(counts, key=lambda name: (int(name) if is_numeric else 0, name)))


def labels_of(
    form: Form | None, splits: Mapping[str, Split], counts: Mapping[str, int]
) -> Labels | None:
    """What the numbers beside the examples mean; None for a task without labels.

    Raises ``DataError`` where nothing can be learned from them, or val or test have a label that
    train lacks.
    """
    if form is not None and form.known is not None:
        return form.known
    match form.task if form is not None else None:
        case config.Classify() as task:
            labels = Labels(class_names(counts), task.several)
            _check_classes(labels, splits)
            return labels
        case config.Regress() as task:
            numbers = splits["train"].labels
            assert numbers is not None
            means = numbers.mean(axis=0, dtype=np.float64)
            spread = numbers.std(axis=0, dtype=np.float64)
            names = targets_of(task)
            if not spread.all():
                name = names[int(np.argmin(spread))]
                raise DataError(f"{name!r} is one number throughout train; nothing can be learned")
            return Labels(names, False, tuple(means.tolist()), tuple(spread.tolist()))
        case _:
            return None


def class_counts(split: Split, labels: Labels) -> npt.NDArray[np.int64]:
    """How many examples of a split have each label.  Shapes: (n_classes,)."""
    assert split.labels is not None
    if labels.several:
        return np.asarray(split.labels.sum(axis=0, dtype=np.int64))
    return np.bincount(split.labels[:, 0].astype(np.int64), minlength=len(labels.names))


def _check_classes(labels: Labels, splits: Mapping[str, Split]) -> None:
    found = {name: class_counts(split, labels) for name, split in splits.items()}
    learned = found["train"] > 0
    for name, counts in found.items():
        lacking = np.flatnonzero((counts > 0) & ~learned)
        if len(lacking):
            shown = ", ".join(f"{labels.names[i]!r} ({counts[i]:,})" for i in lacking[:_SHOWN])
            raise DataError(
                f"{name} has labels that train lacks, so that nothing could learn them: {shown}. "
                "Divide the data so that train has each (data.split), or leave those records out"
            )
    if learned.sum() < 2 - labels.several:
        shown = ", ".join(map(repr, labels.names)) or "none"
        raise DataError(
            f"task.label must have two values or more in train to tell apart; it has {shown}"
        )
