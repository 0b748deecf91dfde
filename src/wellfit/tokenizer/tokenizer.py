"""A tokenizer: text to ids and back, and what evaluation must know about each token."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias, final

import numpy as np
import numpy.typing as npt

from wellfit.tokenizer.codecs import CharCodec, Codec, Encoded, LibraryCodec, framed

Kind: TypeAlias = Literal["char", "byte", "bpe", "pretrained"]

END_OF_TEXT = "<|endoftext|>"
"""How the end-of-document token is written; in a document these characters are only text."""

OURS = "wellfit_tokenizer.json"
DEFINITION = "tokenizer.json"
SETTINGS = "tokenizer_config.json"
TEMPLATE = "chat_template.jinja"
_NO_LIMIT = int(1e30)  # what transformers writes when a tokenizer has no longest text


@final
@dataclass(frozen=True, eq=False)
class Tokenizer:
    """Text to ids and back.  A value: two with one ``fingerprint`` do exactly the same.

    ``eos_id`` is None where no document ends: a corpus that is one endless stream.
    """

    kind: Kind
    eos_id: int | None
    # UTF-8 bytes that each token stands for, 0 for the end of a document
    token_bytes: npt.NDArray[np.int32] = field(repr=False)
    codec: Codec = field(repr=False)
    # published files that are saved along
    files: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def vocab_size(self) -> int:
        """How many tokens there are, the end of a document among them."""
        return len(self.token_bytes)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The smallest unsigned integer that holds every id, as shards are stored."""
        return np.dtype(np.uint16 if self.vocab_size <= 1 << 16 else np.uint32)

    @property
    def fingerprint(self) -> str:
        """sha256, in hex, of all that decides which ids a text becomes."""
        parts = json.dumps([self.kind, self.vocab_size, self.eos_id, self.codec.definition])
        return hashlib.sha256(parts.encode()).hexdigest()

    def starts_of_words(self) -> npt.NDArray[np.bool_]:
        """Which tokens (vocab_size,) begin a word, as far as a token tells; special ones do."""
        starts = np.ones(self.vocab_size, dtype=bool)
        found = self.codec.starts_of_words()
        starts[: len(found)] = found
        return starts

    def encode(self, text: str) -> npt.NDArray[Any]:
        """The ids of one text, as ``dtype``; the end of the text gets no token."""
        return self.encode_joined([text]).ids

    def encode_batch(self, texts: Sequence[str]) -> list[npt.NDArray[Any]]:
        """The ids of each text; the library's tokenizers use every core for this."""
        ids, lengths = self.encode_joined(texts)
        return np.split(ids, np.cumsum(lengths)[:-1]) if len(texts) else []

    def encode_joined(self, texts: Sequence[str]) -> Encoded:
        """The ids of each text, one text after the other in a single array."""
        ids, lengths = self.codec.encode(texts)
        return Encoded(ids.astype(self.dtype, copy=False), lengths)

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
        if isinstance(self.codec, LibraryCodec) or self.eos_id is None:
            return self.codec.decode(found)
        first, *others = np.split(found, np.flatnonzero(found == self.eos_id))
        return END_OF_TEXT.join(map(self.codec.decode, [first, *(ids[1:] for ids in others)]))

    def save(self, folder: Path, *, labelled: bool = False) -> None:
        """Write files that ``load_tokenizer`` and transformers' ``AutoTokenizer`` both read.

        They are tokenizer.json, tokenizer_config.json and our own wellfit_tokenizer.json.  Where
        texts are ``labelled``, transformers too then reads them with the end that is theirs.
        """
        folder.mkdir(parents=True, exist_ok=True)
        ours: dict[str, Any] = {"format": 1, "kind": self.kind, "eos_id": self.eos_id}
        if isinstance(self.codec, CharCodec):
            ours["characters"] = self.codec.definition
        # what transformers must know: take the text as it stands, and show it as it stands
        settings: dict[str, Any] = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "clean_up_tokenization_spaces": False,
            "model_max_length": _NO_LIMIT,
        }
        end = None if self.eos_id is None else END_OF_TEXT
        settings |= {} if end is None else {"eos_token": end}
        # in a chat the names of special tokens are those tokens, or its template could write none
        settings["split_special_tokens"] = TEMPLATE not in self.files
        definition = self.codec.library_json(end)
        if labelled and ends_of_text(self) != frame(self):
            definition = framed(definition, *ends_of_text(self))
        files = {SETTINGS: _json(settings), **self.files}
        files |= {DEFINITION: definition, OURS: _json(ours)}
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")


class Frame(NamedTuple):
    """The ids that come before and after every single text, such as <s>, or [CLS] and [SEP]."""

    before: tuple[int, ...]
    after: tuple[int, ...]


def frame(tokenizer: Tokenizer) -> Frame:
    """What the models of a published tokenizer were trained to see round a text."""
    if isinstance(tokenizer.codec, LibraryCodec):
        probe = tokenizer.codec.library.encode("a", add_special_tokens=True)
        texts = [at for at, is_special in enumerate(probe.special_tokens_mask) if not is_special]
        if texts:
            return Frame(tuple(probe.ids[: texts[0]]), tuple(probe.ids[texts[-1] + 1 :]))
    return Frame((), ())


def ends_of_text(tokenizer: Tokenizer) -> Frame:
    """The same round a text that gets a label: where nothing ends it, its end-of-text token."""
    before, after = frame(tokenizer)
    eos = () if tokenizer.eos_id is None else (tokenizer.eos_id,)
    return Frame(before, after or eos)


def _json(value: Any) -> str:
    return json.dumps(value, indent=2) + "\n"
