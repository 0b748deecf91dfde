"""The three ways from text to ids: a table of characters, the bytes themselves, a library.

A codec knows nothing of documents or of the end-of-text token: it is text to ids and back.
Characters and bytes have one of their own because a numpy lookup is some fifty times faster
than the general library, and their definition is two lines that cannot change with its version.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tokenizers

from wellfit.errors import TokenizerError

_UNKNOWN = -1


class Encoded(NamedTuple):
    """The ids of several texts, one after the other, and how many belong to each text."""

    ids: npt.NDArray[Any]
    lengths: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class CharCodec:
    """One id per character: its place in the sorted ``characters``."""

    characters: str
    id_of_code: npt.NDArray[np.int32]  # by code point, one longer than the highest; -1 is unknown
    code_of_id: npt.NDArray[np.uint32]


@dataclass(frozen=True, eq=False)
class ByteCodec:
    """One id per byte of UTF-8: its value."""


@dataclass(frozen=True, eq=False)
class LibraryCodec:
    """A tokenizer of the ``tokenizers`` library, and the very text that defines it."""

    definition: str  # tokenizer.json as read or first written: a later library may word it anew
    library: tokenizers.Tokenizer


def char_codec(characters: str) -> CharCodec:
    """The table of a sorted string of distinct characters."""
    codes = _codes(characters)
    top = int(codes.max(initial=0))
    id_of_code = np.full(top + 2, _UNKNOWN, dtype=np.int32)
    id_of_code[codes] = np.arange(len(codes), dtype=np.int32)
    return CharCodec(characters, id_of_code, codes)


def library_codec(definition: str) -> LibraryCodec:
    """A library tokenizer that reads text as it stands.

    Truncation and padding, which some published tokenizers have switched on, would lose text or
    make some up; and the name of a special token inside a text is text, not that token.
    """
    library = tokenizers.Tokenizer.from_str(definition)
    library.no_truncation()
    library.no_padding()
    library.encode_special_tokens = True
    return LibraryCodec(definition, library)


def encode_chars(codec: CharCodec, texts: Sequence[str]) -> Encoded:
    """Look every character up in the table.  Raises ``TokenizerError`` for one not in it."""
    text = "".join(texts)
    codes = _codes(text)
    ids = codec.id_of_code[np.minimum(codes, len(codec.id_of_code) - 1)]
    if ids.min(initial=0) == _UNKNOWN:
        at = int(np.argmax(ids == _UNKNOWN))
        raise TokenizerError(
            f"character {text[at]!r} (U+{ord(text[at]):04X}) at offset {at} of the text is not "
            f"among the {len(codec.characters)} characters of this tokenizer. "
            "A tokenizer that reads any text: tokenizer.kind=byte"
        )
    return Encoded(ids, np.fromiter(map(len, texts), np.int64, len(texts)))


def encode_bytes(texts: Sequence[str]) -> Encoded:
    """The UTF-8 bytes themselves."""
    parts = [_utf8(text) for text in texts]
    ids = np.frombuffer(b"".join(parts), dtype=np.uint8)
    return Encoded(ids, np.fromiter(map(len, parts), np.int64, len(parts)))


def encode_by_library(codec: LibraryCodec, texts: Sequence[str]) -> Encoded:
    """All texts at once, on every core."""
    done = codec.library.encode_batch_fast(list(texts), add_special_tokens=False)
    parts = [one.ids for one in done]
    lengths = np.fromiter(map(len, parts), np.int64, len(parts))
    ids = np.fromiter(chain.from_iterable(parts), np.uint32, int(lengths.sum()))
    return Encoded(ids, lengths)


def decode_chars(codec: CharCodec, ids: npt.NDArray[Any]) -> str:
    """The characters of ids that are all below the number of characters."""
    text: bytes = codec.code_of_id[ids].astype("<u4").tobytes()
    return text.decode("utf-32-le", "surrogatepass")


def decode_bytes(ids: npt.NDArray[Any]) -> str:
    """The text of bytes; what is not UTF-8 becomes U+FFFD, since a model may write anything."""
    return ids.astype(np.uint8).tobytes().decode("utf-8", "replace")


def char_token_bytes(codec: CharCodec) -> npt.NDArray[np.int32]:
    """UTF-8 bytes of each character."""
    codes = codec.code_of_id
    return (1 + (codes >= 0x80) + (codes >= 0x800) + (codes >= 0x10000)).astype(np.int32)


def _codes(text: str) -> npt.NDArray[np.uint32]:
    """Code points; one byte a character where that is enough, which is four times less to move."""
    if text.isascii():
        return np.frombuffer(text.encode("ascii"), dtype=np.uint8).astype(np.uint32)
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def _utf8(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as e:
        raise TokenizerError(
            f"half a character (U+{ord(text[e.start]):04X}, a lone surrogate) at offset {e.start} "
            "of the text has no UTF-8 form. Remove it from the text"
        ) from None
