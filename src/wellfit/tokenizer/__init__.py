"""How text becomes tokens and back: char, byte, trained BPE, or any published tokenizer."""

from wellfit.tokenizer.build import (
    bpe_tokenizer,
    byte_tokenizer,
    char_tokenizer,
    vocab_for_bytes,
)
from wellfit.tokenizer.codecs import Encoded
from wellfit.tokenizer.marked import Frame, frame
from wellfit.tokenizer.saving import load_tokenizer
from wellfit.tokenizer.tokenizer import END_OF_TEXT, Kind, Tokenizer

__all__ = [
    "END_OF_TEXT",
    "Encoded",
    "Frame",
    "Kind",
    "Tokenizer",
    "bpe_tokenizer",
    "byte_tokenizer",
    "char_tokenizer",
    "frame",
    "load_tokenizer",
    "vocab_for_bytes",
]
