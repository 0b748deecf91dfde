"""A tokenizer: text to ids and back, and what evaluation must know about each token."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias, assert_never, final

import numpy as np
import numpy.typing as npt

from wellfit.tokenizer.codecs import (
    ByteCodec,
    CharCodec,
    Encoded,
    LibraryCodec,
    decode_bytes,
    decode_chars,
    encode_by_library,
    encode_bytes,
    encode_chars,
)

Kind: TypeAlias = Literal["char", "byte", "bpe", "pretrained"]
Codec: TypeAlias = CharCodec | ByteCodec | LibraryCodec

END_OF_TEXT = "<|endoftext|>"
"""How the end-of-document token is written; in a document these characters are only text."""


@final
@dataclass(frozen=True, eq=False)
class Tokenizer:
    """Text to ids and back.  A value: two with one ``fingerprint`` do exactly the same.

    ``eos_id`` is None where no document ends: a corpus that is one endless stream.
    """

    kind: Kind
    vocab_size: int
    eos_id: int | None
    # UTF-8 bytes that each token stands for, 0 for the end of a document
    token_bytes: npt.NDArray[np.int32] = field(repr=False)
    codec: Codec = field(repr=False)
    # published files that are saved along
    files: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The smallest unsigned integer that holds every id, as shards are stored."""
        return np.dtype(np.uint16 if self.vocab_size <= 1 << 16 else np.uint32)

    @property
    def fingerprint(self) -> str:
        """sha256, in hex, of all that decides which ids a text becomes."""
        match self.codec:
            case CharCodec(characters=characters):
                defined = characters
            case ByteCodec():
                defined = ""
            case LibraryCodec(definition=definition):
                defined = definition
            case _:
                assert_never(self.codec)
        parts = json.dumps([self.kind, self.vocab_size, self.eos_id, defined])
        return hashlib.sha256(parts.encode()).hexdigest()

    def encode(self, text: str) -> npt.NDArray[Any]:
        """The ids of one text, as ``dtype``; the end of the text gets no token."""
        return self.encode_joined([text]).ids

    def encode_batch(self, texts: Sequence[str]) -> list[npt.NDArray[Any]]:
        """The ids of each text; the library's tokenizers use every core for this."""
        ids, lengths = self.encode_joined(texts)
        return np.split(ids, np.cumsum(lengths)[:-1]) if len(texts) else []

    def encode_joined(self, texts: Sequence[str]) -> Encoded:
        """The ids of each text, one text after the other in a single array."""
        match self.codec:
            case CharCodec():
                encoded = encode_chars(self.codec, texts)
            case ByteCodec():
                encoded = encode_bytes(texts)
            case LibraryCodec():
                encoded = encode_by_library(self.codec, texts)
            case _:
                assert_never(self.codec)
        return Encoded(encoded.ids.astype(self.dtype, copy=False), encoded.lengths)

    def decode(self, ids: Sequence[int] | npt.NDArray[Any]) -> str:
        """The text of ids; an end of document shows as its name, such as ``<|endoftext|>``.

        Bytes that are not UTF-8 become U+FFFD: a model may write any sequence of tokens.
        Raises ``ValueError`` for an id outside the vocabulary, which no text of ours contains; but
        many published models have vectors to spare, and what they write with those is nothing.
        """
        found = np.asarray(ids, dtype=np.int64).reshape(-1)
        if self.kind == "pretrained":
            found = found[found < self.vocab_size]
        if found.size and not 0 <= found.min() <= found.max() < self.vocab_size:
            raise ValueError(f"ids {found.min()}..{found.max()} outside 0..{self.vocab_size - 1}")
        if isinstance(self.codec, LibraryCodec):
            text: str = self.codec.library.decode(found.tolist(), skip_special_tokens=False)
            return text
        ends = np.flatnonzero(found == self.eos_id) if self.eos_id is not None else ()
        return END_OF_TEXT.join(
            self._decode_plain(part[skip:])
            for skip, part in zip([0] + [1] * len(ends), np.split(found, ends), strict=True)
        )

    def _decode_plain(self, ids: npt.NDArray[np.int64]) -> str:
        assert not isinstance(self.codec, LibraryCodec), self.kind
        if isinstance(self.codec, CharCodec):
            return decode_chars(self.codec, ids)
        return decode_bytes(ids)

    def save(self, folder: Path, *, labelled: bool = False) -> None:
        """Write files that ``load_tokenizer`` and transformers' ``AutoTokenizer`` both read."""
        from wellfit.tokenizer.saving import save_tokenizer

        save_tokenizer(self, folder, labelled=labelled)
