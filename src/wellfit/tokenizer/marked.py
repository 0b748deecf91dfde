"""Texts whose markup is tokens."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tokenizers

from wellfit.tokenizer.codecs import LibraryCodec
from wellfit.tokenizer.tokenizer import END_OF_TEXT, Tokenizer


class Marked(NamedTuple):
    """The ids of marked texts, one text after the other, and the characters each stands for."""

    ids: npt.NDArray[Any]
    lengths: npt.NDArray[np.int64]  # (n_texts,)
    begins: npt.NDArray[np.int64]  # (n_ids,) counted in its own text
    ends: npt.NDArray[np.int64]  # (n_ids,)


def markup(tokenizer: Tokenizer) -> dict[str, int]:
    """The texts that are special tokens where they stand in a marked text."""
    if not isinstance(tokenizer.codec, LibraryCodec):
        return {} if tokenizer.eos_id is None else {END_OF_TEXT: tokenizer.eos_id}
    added = tokenizer.codec.library.get_added_tokens_decoder()
    return {token.content: at for at, token in added.items() if token.special}


def encode_marked(tokenizer: Tokenizer, texts: Sequence[str]) -> Marked:
    """The ids of texts in which the names of special tokens are those tokens."""
    if not isinstance(tokenizer.codec, LibraryCodec):
        return _encode_plain(tokenizer, texts)
    library = _marked_library(tokenizer.codec.definition)
    done = library.encode_batch(list(texts), add_special_tokens=False)
    lengths = np.fromiter((len(one.ids) for one in done), np.int64, len(done))
    total = int(lengths.sum())
    ids = np.fromiter(chain.from_iterable(one.ids for one in done), tokenizer.dtype, total)
    places = chain.from_iterable(chain.from_iterable(one.offsets for one in done))
    begins, ends = np.fromiter(places, np.int64, 2 * total).reshape(total, 2).T
    return Marked(ids, lengths, begins, ends)


@lru_cache(maxsize=2)
def _marked_library(definition: str) -> tokenizers.Tokenizer:
    """The tokenizer without what trims the places of tokens, or adds tokens of its own."""
    plain = json.loads(definition) | {"post_processor": None, "truncation": None, "padding": None}
    return tokenizers.Tokenizer.from_str(json.dumps(plain))


def _encode_plain(tokenizer: Tokenizer, texts: Sequence[str]) -> Marked:
    """For characters and bytes: the ids of each character, and the end of text."""
    runs = [list(_runs(tokenizer, text)) for text in texts]
    lengths = [sum(len(ids) for ids, _, _ in of_text) for of_text in runs]
    ids, begins, ends = map(np.concatenate, zip(*chain.from_iterable(runs), strict=True))
    return Marked(ids.astype(tokenizer.dtype), np.array(lengths, dtype=np.int64), begins, ends)


def _runs(tokenizer: Tokenizer, text: str) -> Iterator[tuple[npt.NDArray[Any], ...]]:
    """Between ends of text, and these too: the ids, and where their characters begin and end."""
    at = 0
    for part in re.split(f"({re.escape(END_OF_TEXT)})", text):
        if part == END_OF_TEXT and tokenizer.eos_id is not None:
            yield np.array([tokenizer.eos_id]), np.array([at]), np.array([at + len(part)])
        else:
            ids = tokenizer.encode(part)
            is_one_each = len(ids) == len(part)
            sizes = 1 if is_one_each else [len(character.encode()) for character in part]
            begins = np.repeat(np.arange(at, at + len(part)), sizes)
            yield ids, begins, begins + 1
        at += len(part)
