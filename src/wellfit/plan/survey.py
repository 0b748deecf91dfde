"""A first look at data that has no recipe yet, for ``wellfit init``."""

from __future__ import annotations

from typing import Any, NamedTuple

from wellfit.config import recipe_from_dict
from wellfit.data import find_sources
from wellfit.data.formats import pieces_of
from wellfit.plan.machine import this_machine
from wellfit.units import format_bytes, format_count

MOST_CHARACTERS = 50_000_000  # read of the text itself; beyond that, counts are estimates


class Survey(NamedTuple):
    """What a recipe is drafted from, and the same in a sentence."""

    data: dict[str, Any]
    machine: dict[str, Any]
    said: str


def survey(path: str, *, text: str, encoding: str) -> Survey:
    """Read as much of the data as it takes to know its size, documents and characters.

    Raises ``DataError`` for what training could not read either.
    """
    asked = {"data.path": path, "data.text": text, "data.encoding": encoding}
    data = recipe_from_dict({**asked, "train.budget": "1 step"}).data
    sources = find_sources(data)
    characters: set[str] = set()
    n_characters = n_bytes = n_documents = read_bytes = 0

    def on_read(n: int) -> None:
        nonlocal read_bytes
        read_bytes += n

    for file in sources.files:
        for piece in pieces_of(file, data, on_read):
            characters.update(piece.text)
            n_characters += len(piece.text)
            n_bytes += len(piece.text.encode("utf-8", "surrogatepass"))
            n_documents += piece.ends
        if n_characters > MOST_CHARACTERS:
            break
    scale = sources.n_bytes / read_bytes if read_bytes else 1.0  # 1 where all of it was read
    n_bytes, n_documents = round(n_bytes * scale), round(n_documents * scale)
    facts = {
        "path": path,
        "n_bytes": n_bytes,
        "n_documents": n_documents,
        "n_characters_distinct": len(characters),
        "formats": sorted({file.format for file in sources.files}),
        "text": text if text != "text" else None,
        "encoding": encoding if encoding != "utf-8" else None,
    }
    machine = this_machine()
    about = "" if scale == 1 else "about "
    said = (
        f"{about}{format_count(n_documents)} document{'' if n_documents == 1 else 's'}, "
        f"{format_bytes(n_bytes)}, {len(characters)} distinct characters"
    )
    return Survey(facts, {"cores": machine.cores, "gpu": machine.gpu}, said)
