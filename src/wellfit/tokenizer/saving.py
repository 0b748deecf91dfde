"""Tokenizers on disk: the files that transformers reads, and one of ours."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, assert_never, cast

import numpy as np

from wellfit.errors import TokenizerError
from wellfit.tokenizer.codecs import (
    ByteCodec,
    CharCodec,
    LibraryCodec,
    char_codec,
    char_token_bytes,
    library_codec,
)
from wellfit.tokenizer.library import as_library, framing, library_token_bytes
from wellfit.tokenizer.marked import ends_of_text, frame
from wellfit.tokenizer.tokenizer import END_OF_TEXT, Codec, Kind, Tokenizer

OURS = "wellfit_tokenizer.json"
DEFINITION = "tokenizer.json"
SETTINGS = "tokenizer_config.json"
TEMPLATE = "chat_template.jinja"
_ALONG = (SETTINGS, "special_tokens_map.json", TEMPLATE)  # published files kept
_NO_LIMIT = int(1e30)  # what transformers writes when a tokenizer has no longest text


def save_tokenizer(tokenizer: Tokenizer, folder: Path, *, labelled: bool = False) -> None:
    """Write tokenizer.json, tokenizer_config.json and our own wellfit_tokenizer.json.

    Where texts are ``labelled``, transformers too then reads them with the end that is theirs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    end = END_OF_TEXT if tokenizer.eos_id is not None else None
    ours: dict[str, Any] = {"format": 1, "kind": tokenizer.kind, "eos_id": tokenizer.eos_id}
    match tokenizer.codec:
        case CharCodec() as codec:
            ours["characters"] = codec.characters
            definition = as_library(codec, end)
        case ByteCodec() as codec:
            definition = as_library(codec, end)
        case LibraryCodec() as codec:
            definition = codec.definition
        case _:
            assert_never(tokenizer.codec)
    if labelled and ends_of_text(tokenizer) != frame(tokenizer):
        definition = framing(definition, *ends_of_text(tokenizer))
    settings = _settings(end) | {"split_special_tokens": TEMPLATE not in tokenizer.files}
    files = {SETTINGS: _json(settings), **tokenizer.files}
    files |= {DEFINITION: definition, OURS: _json(ours)}
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")


def _settings(end: str | None) -> dict[str, Any]:
    """What transformers must know: take the text as it stands, and show it as it stands.

    In a chat the names of special tokens are those tokens, or its template could write none.
    """
    settings: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "model_max_length": _NO_LIMIT,
    }
    return settings | ({"eos_token": end} if end is not None else {})


def load_tokenizer(path: Path) -> Tokenizer:
    """Open a tokenizer from a folder, ours or published, or from a tokenizer.json file.

    Raises ``TokenizerError`` when there is none or it cannot be read.
    """
    path = path.expanduser()
    folder, definition = (path, path / DEFINITION) if path.is_dir() else (path.parent, path)
    if path.is_dir() and (path / OURS).is_file():
        return _load_ours(path)
    if not definition.is_file():
        raise TokenizerError(_no_definition(path))
    along = {name: _read(folder / name) for name in _ALONG if (folder / name).is_file()}
    return _published(definition, _read(definition), along)


def _load_ours(folder: Path) -> Tokenizer:
    ours = _mapping(folder / OURS)
    kind, eos_id = cast(Kind, ours.get("kind")), ours.get("eos_id")
    if ours.get("format") != 1:
        raise TokenizerError(
            f"{folder / OURS} has format {ours.get('format')!r}, and this version of Wellfit "
            "reads format 1. Use the version that wrote it"
        )
    codec: Codec
    match kind:
        case "char":
            codec = char_codec(ours["characters"])
            sizes = char_token_bytes(codec)
        case "byte":
            codec, sizes = ByteCodec(), np.ones(256, dtype=np.int32)
        case "bpe":
            codec = library_codec(_read(folder / DEFINITION))
            sizes = library_token_bytes(codec)
        case "pretrained":
            along = {n: _read(folder / n) for n in _ALONG if (folder / n).is_file()}
            return _published(folder / DEFINITION, _read(folder / DEFINITION), along, eos_id)
        case _:
            assert_never(kind)
    if eos_id is not None and not isinstance(codec, LibraryCodec):
        sizes = np.append(sizes, 0).astype(np.int32)
    along = {TEMPLATE: _read(folder / TEMPLATE)} if (folder / TEMPLATE).is_file() else {}
    return Tokenizer(kind, len(sizes), eos_id, sizes, codec, along)


def _published(
    path: Path, definition: str, along: Mapping[str, str], eos_id: int | None = None
) -> Tokenizer:
    try:
        codec = library_codec(definition)
    except Exception as e:  # the library raises bare Exception for whatever it dislikes
        raise TokenizerError(
            f"{path} is not a tokenizer that the tokenizers library can read: {e}"
        ) from None
    sizes = library_token_bytes(codec)
    if eos_id is None:
        eos_id = _end_token(codec, along.get(SETTINGS), path.parent)
    if eos_id is not None:
        sizes[eos_id] = 0
    return Tokenizer("pretrained", len(sizes), eos_id, sizes, codec, along)


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


def _json(value: Any) -> str:
    return json.dumps(value, indent=2) + "\n"
