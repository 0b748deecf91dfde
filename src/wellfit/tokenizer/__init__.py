"""How text becomes tokens and back: char, byte, trained BPE, or any published tokenizer."""

from wellfit.tokenizer.build import bpe_tokenizer, byte_tokenizer, char_tokenizer, vocab_for_bytes
from wellfit.tokenizer.hub import local_folder
from wellfit.tokenizer.loading import load_tokenizer
from wellfit.tokenizer.marked import Marked, encode_marked, markup
from wellfit.tokenizer.tokenizer import END_OF_TEXT, Tokenizer, ends_of_text, frame

__all__ = [
    "END_OF_TEXT",
    "Marked",
    "Tokenizer",
    "bpe_tokenizer",
    "byte_tokenizer",
    "char_tokenizer",
    "encode_marked",
    "ends_of_text",
    "frame",
    "load_tokenizer",
    "local_folder",
    "markup",
    "vocab_for_bytes",
]
