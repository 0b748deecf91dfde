"""Tokenizers from disk: ours, and published ones."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from wellfit.errors import TokenizerError
from wellfit.tokenizer.build import byte_tokenizer, char_tokenizer
from wellfit.tokenizer.codecs import LibraryCodec, library_codec
from wellfit.tokenizer.tokenizer import DEFINITION, END_OF_TEXT, OURS, SETTINGS, TEMPLATE, Tokenizer

_ALONG = (SETTINGS, "special_tokens_map.json", TEMPLATE)  # published files kept


def load_tokenizer(path: Path) -> Tokenizer:
    """Open a tokenizer from a folder, ours or published, or from a tokenizer.json file.

    Raises ``TokenizerError`` when there is none or it cannot be read.
    """
    path = path.expanduser()
    folder, definition = (path, path / DEFINITION) if path.is_dir() else (path.parent, path)
    ours: dict[str, Any] = {"format": 1}
    if path.is_dir() and (path / OURS).is_file():
        ours = _mapping(path / OURS)
    if ours.get("format") != 1:
        raise TokenizerError(
            f"{folder / OURS} has format {ours.get('format')!r}, and this version of Wellfit "
            "reads format 1. Use the version that wrote it"
        )
    kind, eos_id = ours.get("kind", "pretrained"), ours.get("eos_id")
    kept = _ALONG if kind == "pretrained" else (TEMPLATE,)
    files = {name: _read(folder / name) for name in kept if (folder / name).is_file()}
    if kind == "char":
        made = char_tokenizer([ours["characters"]], separate=eos_id is not None)
    elif kind == "byte":
        made = byte_tokenizer(separate=eos_id is not None)
    elif definition.is_file():
        codec = _library(definition)
        if kind == "pretrained" and eos_id is None:
            eos_id = _end_token(codec, files.get(SETTINGS), folder)
        sizes = codec.token_bytes()
        if eos_id is not None:
            sizes[eos_id] = 0
        made = Tokenizer(kind, eos_id, sizes, codec)
    else:
        raise TokenizerError(_no_definition(path))
    return replace(made, files=files)


def _library(path: Path) -> LibraryCodec:
    definition = _read(path)
    try:
        return library_codec(definition)
    except Exception as e:  # the library raises bare Exception for whatever it dislikes
        raise TokenizerError(
            f"{path} is not a tokenizer that the tokenizers library can read: {e}"
        ) from None


def _end_token(codec: LibraryCodec, settings: str | None, folder: Path) -> int | None:
    """The end-of-text id: as tokenizer_config.json names it, else config.json, else by its name."""
    named = json.loads(settings).get("eos_token") if settings else None
    token = named.get("content") if isinstance(named, dict) else named
    if token is not None:
        return codec.library.token_to_id(token)
    config = _mapping(folder / "config.json") if (folder / "config.json").is_file() else {}
    known = config.get("eos_token_id")
    if isinstance(known, int) and codec.library.id_to_token(known) is not None:
        return known
    return codec.library.token_to_id(END_OF_TEXT)


def _no_definition(path: Path) -> str:
    if not path.exists():
        return f"there is no tokenizer at {path}. Check tokenizer.path"
    return (
        f"{path} holds no {DEFINITION}. Older published tokenizers get one with: python -c "
        f"\"from transformers import AutoTokenizer as A; A.from_pretrained('{path}')"
        f".save_pretrained('NEW_FOLDER')\""
    )


def _mapping(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(_read(path))
    except ValueError as e:
        raise TokenizerError(f"{path} is not JSON: {e}") from None
    if not isinstance(found, dict):
        raise TokenizerError(f"{path} holds {type(found).__name__}, not a JSON object")
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as e:
        raise TokenizerError(f"{path} cannot be read: {e}") from None
