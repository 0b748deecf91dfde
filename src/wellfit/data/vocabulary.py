"""The tokenizer that a recipe asks for, made once from the corpus."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import assert_never

import numpy as np

from wellfit import config, tokenizer
from wellfit.data.documents import TRAIN
from wellfit.data.encode import Corpus, parts_of
from wellfit.data.reading import OnRead
from wellfit.data.split import CUT
from wellfit.errors import TokenizerError
from wellfit.tokenizer import Tokenizer

MOST_BPE_BYTES = 100_000_000
"""Text that BPE is trained on at most, spread evenly over train: merges hardly move beyond it."""

_TEXTS_AT_ONCE = 1000
_TRIED_CHARS = 1 << 20


def tokenizer_for(corpus: Corpus, asked: config.Tokenizer, on_read: OnRead) -> Tokenizer:
    """The tokenizer for a corpus: char from the characters of all splits, BPE from train alone.

    One made here has a token between documents if there are several, and for examples in any case.
    """
    separate = corpus.form is not None or corpus.assignment.several
    match asked:
        case config.CharTokenizer():  # of the first reading
            return tokenizer.char_tokenizer([corpus.table.noticed.characters], separate=separate)
        case config.ByteTokenizer():
            return tokenizer.byte_tokenizer(separate=separate)
        case config.BpeTokenizer():
            n_bytes = bytes_of_train(corpus)
            vocab = tokenizer.vocab_for_bytes(n_bytes) if asked.vocab == "auto" else asked.vocab
            marks = corpus.dress.marks if corpus.dress is not None else ()
            texts = _texts(corpus, n_bytes, marks, on_read)
            return tokenizer.bpe_tokenizer(texts, vocab=vocab, separate=separate, marks=marks)
        case config.PretrainedTokenizer():
            opened = tokenizer.load_tokenizer(tokenizer.local_folder(asked.path))
        case _:
            assert_never(asked)
    if corpus.assignment.several and opened.eos_id is None and corpus.form is None:
        raise TokenizerError(
            f"there are several documents, and the tokenizer {asked.path} has no "
            "end-of-text token to put between them. Name one as eos_token in its "
            "tokenizer_config.json, or join the documents into one file"
        )
    return opened


def _texts(corpus: Corpus, n_bytes: int, marks: tuple[str, ...], on_read: OnRead) -> Iterator[str]:
    """What BPE learns from: an even share of train, less the marks, which are tokens anyway."""
    share = min(1.0, MOST_BPE_BYTES / max(1, n_bytes))
    marked = re.compile("|".join(map(re.escape, marks)))
    train = (part.piece.text for part in parts_of(corpus, on_read) if part.split == "train")
    taken = 0.0
    for number, text in enumerate(train):
        if number * share >= taken:
            taken += 1
            yield from marked.split(text) if marks else (text,)


def bytes_of_train(corpus: Corpus) -> int:
    """UTF-8 bytes of the train split; of a document that is cut, by its share of characters."""
    rows, codes = corpus.table.rows, corpus.assignment.codes
    total = float(np.sum(rows["bytes"], where=codes == TRAIN))
    for row in np.flatnonzero(codes == CUT).tolist():
        n_chars = int(rows["chars"][row])
        inside = corpus.assignment.cuts[0] - corpus.table.chars_before(row)
        total += float(rows["bytes"][row]) * min(max(0, inside), n_chars) / n_chars
    return round(total)


def round_trip(corpus: Corpus, made: Tokenizer) -> dict[str, int]:
    """Whether the first texts come back: a published tokenizer may lower-case, or drop spaces."""
    tried = unchanged = n_chars = 0
    for part in islice(parts_of(corpus, lambda _: None), _TEXTS_AT_ONCE):
        tried += 1
        unchanged += made.decode(made.encode(part.piece.text)) == part.piece.text
        n_chars += len(part.piece.text)
        if n_chars > _TRIED_CHARS:
            break
    return {"tried": tried, "unchanged": unchanged}
