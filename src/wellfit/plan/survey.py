"""A first look at data that has no recipe yet, for ``wellfit init``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from wellfit.config import Data, recipe_from_dict
from wellfit.data import find_sources
from wellfit.data.formats import pieces_of, whole_records
from wellfit.data.sources import SourceFile
from wellfit.errors import DataError
from wellfit.plan import columns
from wellfit.plan.machine import this_machine
from wellfit.units import format_bytes, format_count

MOST_RECORDS = 50_000  # looked at of examples; beyond that, too
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
    n_characters = n_bytes = n_documents = 0
    read_bytes: list[int] = []
    for file in sources.files:
        for piece in pieces_of(file, data, read_bytes.append):
            characters.update(piece.text)
            n_characters += len(piece.text)
            n_bytes += len(piece.text.encode("utf-8", "surrogatepass"))
            n_documents += piece.ends
        if n_characters > MOST_CHARACTERS:
            break
    total = sum(read_bytes)
    scale = sources.n_bytes / total if total else 1.0  # 1 where all of it was read
    facts = {
        "path": path,
        "n_bytes": round(n_bytes * scale),
        "n_documents": round(n_documents * scale),
        "n_characters_distinct": len(characters),
        "formats": sorted({file.format for file in sources.files}),
        "text": text if text != "text" else None,
    }
    said = f", {len(characters)} distinct characters"
    return _survey(facts, "document", encoding, is_exact=scale == 1, said=said)


def survey_examples(path: str, task: str, *, text: str, encoding: str) -> Survey:
    """Read the first records of examples, and guess which columns and files are what.

    Raises ``DataError`` for what training could not read either.
    """
    asked = {"data.path": path, "data.encoding": encoding, "train.budget": "1 step"}
    data = recipe_from_dict(asked).data
    sources = find_sources(data)
    roles = columns.split_files(sources.files)
    files = [file for file in sources.files if roles is None or file.path in roles.train]
    guesses = {} if roles is None else _by_files(roles)
    if files[0].format == "text":
        guesses["data.pattern"] = _pattern(task, files[0], data)
        data = data.model_copy(update={"pattern": guesses["data.pattern"][0]})
    records, scale = _records(files, data)
    if roles is None:
        guesses |= columns.split_column(records)
    guesses |= columns.columns_for(task, records, text if text != "text" else None)
    lengths = [sum(map(len, _texts(record))) for record in records]
    facts = {
        "path": path,
        "n_bytes": sum(file.n_bytes for file in files),
        "n_documents": round(len(records) * scale),
        "n_characters": int(np.quantile(lengths, 0.99, method="higher")),
        "formats": sorted({file.format for file in files}),
        "guesses": guesses,
    }
    return _survey(facts, "example", encoding, is_exact=scale == 1)


def _survey(
    facts: dict[str, Any], what: str, encoding: str, *, is_exact: bool, said: str = ""
) -> Survey:
    n, machine = facts["n_documents"], this_machine()
    counted = f"{'' if is_exact else 'about '}{format_count(n)} {what}{'' if n == 1 else 's'}"
    return Survey(
        {**facts, "encoding": encoding if encoding != "utf-8" else None},
        {"cores": machine.cores, "gpu": machine.gpu},
        f"{counted}, {format_bytes(facts['n_bytes'])}{said}",
    )


def _by_files(roles: columns.Roles) -> columns.Guesses:
    """A split by files; without one for val, the test files are kept out of sight."""
    train, val, test = (_one([str(path) for path in paths]) for paths in roles)
    guesses: columns.Guesses = {"data.path": (train, "")}
    if roles.val:
        guesses |= {"data.split.kind": ("files", "by their names"), "data.split.val": (val, "")}
        return guesses | ({"data.split.test": (test, "")} if roles.test else {})
    why = f"there is a test file and none for val; after training: wellfit eval RUN --data {test}"
    return guesses | {
        "data.split.kind": ("hash", why),
        "data.split.val": (0.05, ""),
        "data.split.test": (0.0, ""),
    }


def _one(paths: list[str]) -> str | list[str]:
    return paths[0] if len(paths) == 1 else paths


def _pattern(task: str, file: SourceFile, data: Data) -> tuple[str, str]:
    """How the lines of a text file come apart.  Raises ``DataError`` where nothing says so."""
    lines = data.model_copy(update={"document": "line"})
    pieces = islice(pieces_of(file, lines, lambda _: None), MOST_RECORDS)
    found = columns.line_pattern(task, [piece.text for piece in pieces if piece.text.strip()])
    if found is None:
        ways = {
            "chat": "Write it as JSON lines of messages",
            "complete": "Write it as JSON lines or csv with a prompt and a completion; or name two "
            "files that go together line by line, data.path={prompt: FILE, completion: FILE}",
        }
        labelled = (
            "Its lines do not begin with one: write a recipe with a data.pattern of your own, such "
            "as '(?P<text>.*);(?P<label>.*)', or make the file csv with a column text and one label"
        )
        raise DataError(f"{file.path} is plain text without columns. {ways.get(task, labelled)}")
    return found


def _records(files: Sequence[SourceFile], data: Data) -> tuple[columns.Records, float]:
    """The first records, and how many times as many there are in all, about."""
    read_bytes: list[int] = []
    every = (r for file in files for r in whole_records(file, data, read_bytes.append))
    records = list(islice(every, MOST_RECORDS))
    if not records:
        raise DataError(f"{files[0].path} holds not a single record. Check data.path")
    if len(records) < MOST_RECORDS:
        return records, 1.0
    return records, max(1.0, sum(file.n_bytes for file in files) / max(1, sum(read_bytes)))


def _texts(value: Any) -> Iterator[str]:
    """Every text in a record."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)
