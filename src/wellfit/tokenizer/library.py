"""What the ``tokenizers`` library's files say, and our own tokenizers in its words."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tokenizers

from wellfit.tokenizer.codecs import ByteCodec, CharCodec, LibraryCodec

_BYTE_TOKEN = re.compile(r"<0x[0-9A-F]{2}>")
_WORD_START = "\u2581"  # how SentencePiece writes a space


def library_token_bytes(codec: LibraryCodec) -> npt.NDArray[np.int32]:
    """UTF-8 bytes that each token stands for; 0 for special tokens, which are not text.

    Byte-level vocabularies write each byte as one character, so there the length is exact;
    SentencePiece's write a space as U+2581 and lone bytes as ``<0x0A>``; WordPiece's ``##``
    is no text.  (The space that WordPiece drops between words is counted nowhere.)
    """
    vocab = codec.library.get_vocab(with_added_tokens=True)
    added = codec.library.get_added_tokens_decoder()
    defined = json.loads(codec.definition)
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


def _types(*parts: Any) -> set[str]:
    """The ``type`` of every step in parts of a tokenizer.json, sequences taken apart."""
    found: set[str] = set()
    for part in parts:
        if isinstance(part, dict):
            found.add(str(part.get("type")))
            found |= _types(*part.get("pretokenizers", []), *part.get("decoders", []))
    return found


def as_library(codec: CharCodec | ByteCodec, end: str | None) -> str:
    """The tokenizer.json of a character or byte tokenizer: merging without merges.

    BPE spells a word by its single characters and then merges; with no merges it stays at
    characters, or at bytes behind the byte-level step.  ``end`` comes after them.
    """
    if isinstance(codec, CharCodec):
        vocab = {c: i for i, c in enumerate(codec.characters)}
        library = tokenizers.Tokenizer(tokenizers.models.BPE(vocab, []))
        library.decoder = tokenizers.decoders.Fuse()
    else:
        vocab = {c: i for i, c in enumerate(byte_characters())}
        library = tokenizers.Tokenizer(tokenizers.models.BPE(vocab, []))
        library.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(
            add_prefix_space=False, use_regex=False
        )
        library.decoder = tokenizers.decoders.ByteLevel()
    if end is not None:
        library.add_special_tokens([end])
    return library.to_str()


def framing(definition: str, before: Sequence[int], after: Sequence[int]) -> str:
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
