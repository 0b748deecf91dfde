"""What a tokenizer puts round a text, and texts whose markup is tokens."""

from __future__ import annotations

from typing import NamedTuple

from wellfit.tokenizer.codecs import LibraryCodec
from wellfit.tokenizer.tokenizer import Tokenizer


class Frame(NamedTuple):
    """The ids that come before and after every single text, such as <s>, or [CLS] and [SEP]."""

    before: tuple[int, ...]
    after: tuple[int, ...]


def frame(tokenizer: Tokenizer) -> Frame:
    """What the models of a published tokenizer were trained to see round a text."""
    if not isinstance(tokenizer.codec, LibraryCodec):
        return Frame((), ())
    probe = tokenizer.codec.library.encode("a", add_special_tokens=True)
    texts = [at for at, is_special in enumerate(probe.special_tokens_mask) if not is_special]
    if not texts:
        return Frame((), ())
    return Frame(tuple(probe.ids[: texts[0]]), tuple(probe.ids[texts[-1] + 1 :]))
