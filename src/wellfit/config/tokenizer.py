"""How text becomes tokens."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from wellfit.config.fields import Auto, Name, Section, Wanted


class CharTokenizer(Section):
    """One token for each distinct character of the data."""

    kind: Literal["char"] = "char"
    """How text becomes tokens."""


class ByteTokenizer(Section):
    """One token for each byte of UTF-8; reads any text."""

    kind: Literal["byte"] = "byte"
    """How text becomes tokens."""


class BpeTokenizer(Section):
    """Byte pair encoding, trained on the train split alone; reads any text."""

    kind: Literal["bpe"] = "bpe"
    """How text becomes tokens."""
    vocab: Annotated[
        Annotated[int, Field(ge=257)] | Auto,
        Wanted("a whole number of at least 257 (each byte and one more), or auto", "8192"),
    ] = "auto"
    """Size of the vocabulary; auto grows with the amount of text.  Units: tokens."""


class PretrainedTokenizer(Section):
    """A published tokenizer."""

    kind: Literal["pretrained"] = "pretrained"
    """How text becomes tokens."""
    path: Annotated[Name, Field(examples=["path/to/tokenizer.json"])]
    """A tokenizer.json file, or a folder that holds one."""


Tokenizer: TypeAlias = Annotated[
    CharTokenizer | ByteTokenizer | BpeTokenizer | PretrainedTokenizer,
    Field(discriminator="kind"),
]
