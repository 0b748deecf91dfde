"""The three ways from text to ids: a table of characters, the bytes themselves, a library.

A codec knows nothing of documents or of the end-of-text token: it is text to ids and back.
Characters and bytes have one of their own because a numpy lookup is some fifty times faster
than the general library, and their definition is two lines that cannot change with its version.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple, TypeAlias, final

import numpy as np
import numpy.typing as npt
import tokenizers

from wellfit.errors import TokenizerError

_UNKNOWN = -1
_BYTE_TOKEN = re.compile(r"<0x[0-9A-F]{2}>")
# before a space that follows something else GPT-2's pattern ends a token anyway
_PART = re.compile(r".{2000}.*?\S(?= )|.+", re.DOTALL)
_WORD_START = "\u2581"  # how SentencePiece writes a space


class Encoded(NamedTuple):
    """The ids of several texts, one after the other, and how many belong to each text."""

    ids: npt.NDArray[Any]
    lengths: npt.NDArray[np.int64]


@final
@dataclass(frozen=True, eq=False)
class CharCodec:
    """One id per character: its place among the sorted characters, which are its definition."""

    definition: str
    id_of_code: npt.NDArray[np.int32]  # by code point, one longer than the highest; -1 is unknown
    code_of_id: npt.NDArray[np.uint32]

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Look every character up.  Raises ``TokenizerError`` for one that is not in the table."""
        text = "".join(texts)
        ids = self.id_of_code[np.minimum(_codes(text), len(self.id_of_code) - 1)]
        if ids.min(initial=0) == _UNKNOWN:
            at = int(np.argmax(ids == _UNKNOWN))
            raise TokenizerError(
                f"character {text[at]!r} (U+{ord(text[at]):04X}) at offset {at} of the text is not "
                f"among the {len(self.definition)} characters of this tokenizer. "
                "A tokenizer that reads any text: tokenizer.kind=byte"
            )
        return Encoded(ids, np.fromiter(map(len, texts), np.int64, len(texts)))

    def decode(self, ids: npt.NDArray[Any]) -> str:
        """The characters of ids that are all below the number of characters."""
        text: bytes = self.code_of_id[ids].astype("<u4").tobytes()
        return text.decode("utf-32-le", "surrogatepass")

    def token_bytes(self) -> npt.NDArray[np.int32]:
        """UTF-8 bytes of each character."""
        codes = self.code_of_id
        return (1 + (codes >= 0x80) + (codes >= 0x800) + (codes >= 0x10000)).astype(np.int32)

    def starts_of_words(self) -> npt.NDArray[np.bool_]:
        """Everything but letters and digits: a space belongs to the word behind it."""
        return np.array([not character.isalnum() for character in self.definition], dtype=bool)

    def library_json(self, end: str | None) -> str:
        """Its tokenizer.json, ``end`` behind the characters: BPE without merges."""
        library = _without_merges(list(self.definition), end)
        library.decoder = tokenizers.decoders.Fuse()
        return library.to_str()


@final
@dataclass(frozen=True, eq=False)
class ByteCodec:
    """One id per byte of UTF-8: its value."""

    definition = ""

    def encode(self, texts: Sequence[str]) -> Encoded:
        """The UTF-8 bytes themselves."""
        parts = [_utf8(text) for text in texts]
        ids = np.frombuffer(b"".join(parts), dtype=np.uint8)
        return Encoded(ids, np.fromiter(map(len, parts), np.int64, len(parts)))

    def decode(self, ids: npt.NDArray[Any]) -> str:
        """The text of bytes; what is not UTF-8 becomes U+FFFD, since a model may write anything."""
        return ids.astype(np.uint8).tobytes().decode("utf-8", "replace")

    def token_bytes(self) -> npt.NDArray[np.int32]:
        """One byte for each token."""
        return np.ones(256, dtype=np.int32)

    def starts_of_words(self) -> npt.NDArray[np.bool_]:
        """ASCII but its letters and digits; other bytes are parts of letters, mostly."""
        return np.array([b < 0x80 and not chr(b).isalnum() for b in range(256)])

    def library_json(self, end: str | None) -> str:
        """Its tokenizer.json, ``end`` behind the bytes: byte-level BPE without merges."""
        library = _without_merges(byte_characters(), end)
        steps = tokenizers.pre_tokenizers
        library.pre_tokenizer = steps.ByteLevel(add_prefix_space=False, use_regex=False)
        library.decoder = tokenizers.decoders.ByteLevel()
        return library.to_str()


@final
@dataclass(frozen=True, eq=False)
class LibraryCodec:
    """A tokenizer of the ``tokenizers`` library, and the very text that defines it."""

    definition: str  # tokenizer.json as read or first written: a later library may word it anew
    library: tokenizers.Tokenizer
    cuts: bool = False  # a token never holds a space behind something else

    def encode(self, texts: Sequence[str]) -> Encoded:
        """All texts at once, on every core; where it may be, in parts, with which it is faster."""
        parts = [_PART.findall(text) if self.cuts else [text] for text in texts]
        flat = list(chain.from_iterable(parts))
        found = [one.ids for one in self.library.encode_batch_fast(flat, add_special_tokens=False)]
        ends = np.cumsum([0, *map(len, found)])
        ids = np.fromiter(chain.from_iterable(found), np.uint32, int(ends[-1]))
        return Encoded(ids, np.diff(ends[np.cumsum([0, *map(len, parts)])]))

    def decode(self, ids: npt.NDArray[Any]) -> str:
        """The text of ids, special tokens by their names."""
        text: str = self.library.decode(ids.tolist(), skip_special_tokens=False)
        return text

    def token_bytes(self) -> npt.NDArray[np.int32]:
        """UTF-8 bytes that each token stands for; 0 for special tokens, which are not text.

        Byte-level vocabularies write each byte as one character, so there the length is exact;
        SentencePiece's write a space as U+2581 and lone bytes as ``<0x0A>``; WordPiece's ``##``
        is no text.  (The space that WordPiece drops between words is counted nowhere.)
        """
        vocab = self.library.get_vocab(with_added_tokens=True)
        added = self.library.get_added_tokens_decoder()
        defined = json.loads(self.definition)
        by_bytes = "ByteLevel" in _types(defined.get("pre_tokenizer"), defined.get("decoder"))
        continues = (defined.get("model") or {}).get("continuing_subword_prefix") or ""
        sizes = np.zeros(max(vocab.values(), default=-1) + 1, dtype=np.int32)
        for token, at in vocab.items():
            if at in added:
                sizes[at] = 0 if added[at].special else len(token.encode())
            elif by_bytes:
                sizes[at] = len(token)
            elif _BYTE_TOKEN.fullmatch(token):
                sizes[at] = 1
            else:
                plain = token.removeprefix(continues).replace(_WORD_START, " ")
                sizes[at] = len(plain.encode("utf-8", "replace"))
        return sizes

    def starts_of_words(self) -> npt.NDArray[np.bool_]:
        """Tokens that begin with no letter or digit; of WordPiece's those without its ``##``."""
        defined = json.loads(self.definition)
        by_bytes = "ByteLevel" in _types(defined.get("pre_tokenizer"), defined.get("decoder"))
        continues = (defined.get("model") or {}).get("continuing_subword_prefix")
        added = self.library.get_added_tokens_decoder()
        of_byte = dict(zip(byte_characters(), ByteCodec().starts_of_words(), strict=True))
        vocab = self.library.get_vocab(with_added_tokens=True)
        starts = np.ones(max(vocab.values(), default=-1) + 1, dtype=bool)
        for token, at in vocab.items():
            if at in added:
                continue
            if continues:
                starts[at] = not token.startswith(continues)
            elif by_bytes:
                starts[at] = of_byte.get(token[:1], True)
            else:
                starts[at] = not token[:1].isalnum()
        return starts

    def library_json(self, end: str | None) -> str:
        """Its own definition, which has the end of a text in it."""
        return self.definition


Codec: TypeAlias = CharCodec | ByteCodec | LibraryCodec


def char_codec(characters: str) -> CharCodec:
    """The table of a sorted string of distinct characters."""
    codes = _codes(characters)
    id_of_code = np.full(int(codes.max(initial=0)) + 2, _UNKNOWN, dtype=np.int32)
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
    pattern, added = library.pre_tokenizer, library.get_added_tokens_decoder().values()
    cuts = isinstance(pattern, tokenizers.pre_tokenizers.ByteLevel) and pattern.use_regex
    cuts = cuts and not pattern.add_prefix_space and library.normalizer is None
    return LibraryCodec(definition, library, cuts and all(token.special for token in added))


def framed(definition: str, before: Sequence[int], after: Sequence[int]) -> str:
    """A tokenizer.json that puts these tokens round a text, where special tokens are asked for.

    They replace what stood there, which may only have trimmed where tokens say they are.
    """
    library = tokenizers.Tokenizer.from_str(definition)
    first, last = ([(library.id_to_token(i), i) for i in ids] for ids in (before, after))
    library.post_processor = tokenizers.processors.TemplateProcessing(
        single=[*(name for name, _ in first), "$A", *(name for name, _ in last)],
        special_tokens=[*first, *last],
    )
    return library.to_str()


def byte_characters() -> list[str]:
    """The character that stands for each byte in byte-level vocabularies.

    Printable bytes stand for themselves; the others follow from U+0100 in order.
    Source: GPT-2's encoder.py, ``bytes_to_unicode``.
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(b) if b in printable else chr(next(others)) for b in range(256)]


def _without_merges(characters: list[str], end: str | None) -> tokenizers.Tokenizer:
    """BPE spells a word by its characters and then merges; without merges it stays at those."""
    vocab = {character: i for i, character in enumerate(characters)}
    library = tokenizers.Tokenizer(tokenizers.models.BPE(vocab, []))
    if end is not None:
        library.add_special_tokens([end])
    return library


def _types(*parts: Any) -> set[str]:
    """The ``type`` of every step in parts of a tokenizer.json, sequences taken apart."""
    found: set[str] = set()
    for part in parts:
        if isinstance(part, dict):
            found.add(str(part.get("type")))
            found |= _types(*part.get("pretokenizers", []), *part.get("decoders", []))
    return found


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
