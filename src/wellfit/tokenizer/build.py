"""Tokenizers made from the data itself."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import tokenizers

from wellfit.errors import TokenizerError
from wellfit.tokenizer.codecs import ByteCodec, CharCodec, char_codec, library_codec
from wellfit.tokenizer.tokenizer import END_OF_TEXT, Kind, Tokenizer

_BYTES = 256
_LEAST_VOCAB, _MOST_VOCAB = 512, 65536


def char_tokenizer(texts: Iterable[str], *, separate: bool) -> Tokenizer:
    """One token for each distinct character of ``texts``, in order of code point.

    The order is that of ``sorted(set(text))``, so ids equal those of nanoGPT's character data.
    ``separate`` adds an end-of-document token, after the characters.
    """
    found: set[str] = set()
    for text in texts:
        found.update(text)
    if not found:
        raise TokenizerError("there is no text to take characters from. Check data.path")
    return _with_end("char", char_codec("".join(sorted(found))), separate=separate)


def byte_tokenizer(*, separate: bool) -> Tokenizer:
    """One token for each byte of UTF-8, and an end-of-document token if ``separate``."""
    return _with_end("byte", ByteCodec(), separate=separate)


def _with_end(kind: Kind, codec: CharCodec | ByteCodec, *, separate: bool) -> Tokenizer:
    sizes = codec.token_bytes()
    if not separate:
        return Tokenizer(kind, None, sizes, codec)
    return Tokenizer(kind, len(sizes), np.append(sizes, np.int32(0)), codec)


def vocab_for_bytes(n_bytes: int) -> int:
    """The vocabulary for a train split of so many bytes: the power of two nearest its root.

    With about 4 bytes a token, the mean token of n bytes is then seen root(n)/4 times: 250 times
    in a megabyte, 8,000 in a gigabyte.  More tokens than that would be words the model meets too
    rarely to learn.  Between 512, where merging starts to pay, and 65536, which two bytes hold.
    """
    wanted = round(math.log2(max(1, n_bytes)) / 2)
    return min(_MOST_VOCAB, max(_LEAST_VOCAB, 1 << wanted))


def bpe_tokenizer(
    texts: Iterable[str], *, vocab: int, separate: bool, marks: Sequence[str] = ()
) -> Tokenizer:
    """Byte pair encoding with GPT-2's word pattern, trained on ``texts``.

    All 256 bytes are in the vocabulary, so any text can be written and comes back unchanged.
    ``vocab`` counts them, the ``marks`` that chat templates write, and the end-of-document token,
    which comes last; texts too small for so many merges give fewer.
    """
    special = [*marks, *([END_OF_TEXT] if separate else [])]
    if vocab < _BYTES + len(special):
        raise TokenizerError(
            f"tokenizer.vocab={vocab} is less than the {_BYTES + len(special)} tokens that stand "
            f"for single bytes{' and the end of a document' if separate else ''}. "
            "Write for example tokenizer.vocab=1024"
        )
    library = tokenizers.Tokenizer(tokenizers.models.BPE())
    library.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocab - len(special),
        min_frequency=2,
        initial_alphabet=sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    library.train_from_iterator(texts, trainer)
    library.add_special_tokens(special)
    codec = library_codec(library.to_str())
    eos_id = codec.library.token_to_id(END_OF_TEXT) if separate else None
    return Tokenizer("bpe", eos_id, codec.token_bytes(), codec)
