"""The tokenizer that a recipe asks for, made once from the corpus."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple, TypeAlias, assert_never

import numpy as np

from wellfit import config
from wellfit.data.documents import TEXT, TRAIN
from wellfit.data.encode import Corpus, parts_of
from wellfit.data.reading import OnRead
from wellfit.data.split import CUT
from wellfit.errors import TokenizerError
from wellfit.tokenizer import (
    Tokenizer,
    bpe_tokenizer,
    byte_tokenizer,
    char_tokenizer,
    load_tokenizer,
    local_folder,
    vocab_for_bytes,
)

Texts: TypeAlias = Callable[[], Iterable[str]]

MOST_BPE_BYTES = 100_000_000
"""Text that BPE is trained on at most, spread evenly over train: merges hardly move beyond it."""

_TEXTS_AT_ONCE = 1000
_TRIED_CHARS = 1 << 20


class RoundTrip(NamedTuple):
    """Of so many stretches of text, so many came back unchanged through ids."""

    tried: int
    unchanged: int


def build_tokenizer(
    asked: config.Tokenizer,
    texts: Texts,
    *,
    separate: bool,
    n_bytes: int,
    marks: Sequence[str] = (),
) -> Tokenizer:
    """Make or open the tokenizer.

    ``texts`` gives the text to learn it from, ``n_bytes`` says how much that is, and
    ``separate`` whether there are several documents, so that their ends need a token.  ``marks``
    are further special tokens for BPE.
    """
    match asked:
        case config.CharTokenizer():
            return char_tokenizer(texts(), separate=separate)
        case config.ByteTokenizer():
            return byte_tokenizer(separate=separate)
        case config.BpeTokenizer():
            vocab = vocab_for_bytes(n_bytes) if asked.vocab == "auto" else asked.vocab
            return bpe_tokenizer(texts(), vocab=vocab, separate=separate, marks=marks)
        case config.PretrainedTokenizer():
            return load_tokenizer(local_folder(asked.path))
        case _:
            assert_never(asked)


def tokenizer_for(corpus: Corpus, asked: config.Tokenizer, on_read: OnRead) -> Tokenizer:
    """The tokenizer for a corpus: char from the characters of all splits, BPE from train alone.

    One made here for examples has an end-of-text token, however many there are.
    """
    separate = corpus.form is not None or corpus.assignment.several
    train_bytes = bytes_of_train(corpus)

    def texts() -> Iterator[str]:
        if asked.kind == "char":
            yield corpus.table.noticed.characters  # seen in the first reading
            return
        share = min(1.0, MOST_BPE_BYTES / max(1, train_bytes))
        train = (p.text for p in parts_of(corpus, on_read) if p.split == "train")
        for text in _spread(train, share):
            yield from marked.split(text) if marks else (text,)

    dress = corpus.form.dress if corpus.form is not None else None
    marks = dress.marks if dress is not None else ()
    marked = re.compile("|".join(map(re.escape, marks)))
    built = build_tokenizer(asked, texts, separate=separate, n_bytes=train_bytes, marks=marks)
    if separate and built.eos_id is None and corpus.form is None:
        raise TokenizerError(
            f"there are several documents, and the tokenizer {getattr(asked, 'path', '')} has no "
            "end-of-text token to put between them. Name one as eos_token in its "
            "tokenizer_config.json, or join the documents into one file"
        )
    return built


def _spread(texts: Iterable[str], share: float) -> Iterator[str]:
    """An even share of the texts, the first one among them."""
    taken = 0.0
    for number, text in enumerate(texts):
        if number * share >= taken:
            taken += 1
            yield text


def bytes_of_train(corpus: Corpus) -> int:
    """UTF-8 bytes of the train split; of a document that is cut, by its share of characters."""
    total, begin = 0.0, 0
    for first, rows in corpus.table.numbered_chunks():
        codes = corpus.assignment.codes[first : first + len(rows)]
        total += float(rows["bytes"][codes == TRAIN].sum())
        chars = np.where(rows["state"] == TEXT, rows["chars"], 0).astype(np.int64)
        ends = begin + np.cumsum(chars)
        for at in np.flatnonzero(codes == CUT).tolist():
            inside = min(max(0, corpus.assignment.cuts[0] - int(ends[at] - chars[at])), chars[at])
            total += float(rows["bytes"][at]) * int(inside) / int(chars[at])
        begin = int(ends[-1])
    return round(total)


def round_trip(corpus: Corpus, tokenizer: Tokenizer) -> RoundTrip:
    """Whether the first texts come back: a published tokenizer may lower-case, or drop spaces."""
    tried = unchanged = n_chars = 0
    for part in islice(parts_of(corpus, lambda _: None), _TEXTS_AT_ONCE):
        tried += 1
        unchanged += tokenizer.decode(tokenizer.encode(part.text)) == part.text
        n_chars += len(part.text)
        if n_chars > _TRIED_CHARS:
            break
    return RoundTrip(tried, unchanged)
