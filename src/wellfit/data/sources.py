"""Which files the recipe means: names, folders and patterns to files of a known format."""

from __future__ import annotations

import difflib
import glob
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from wellfit.config.data import Data, FilesSplit, HashSplit
from wellfit.errors import DataError

Format: TypeAlias = Literal["text", "json", "jsonl", "csv", "tsv", "parquet"]
Compression: TypeAlias = Literal["", ".gz", ".zst"]
SplitName: TypeAlias = Literal["train", "val", "test"]
Files: TypeAlias = str | tuple[str, ...] | dict[str, str | tuple[str, ...]]

_RECORDS: dict[str, Format] = {
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}
_PROSE = ".txt .text .md .markdown .rst .tex .org .adoc"
_CODE = (
    ".py .pyi .rs .java .c .h .cc .cpp .cxx .hpp .cu .cuh .go .js .mjs .jsx .ts .tsx .rb .php .pl "
    ".pm .sh .bash .zsh .ps1 .lua .r .jl .scala .kt .kts .swift .hs .ml .mli .fs .clj .ex .exs "
    ".erl .cs .vb .sql .html .htm .css .scss .yaml .yml .toml .ini .cfg .el .lisp .scm .vim .zig "
    ".nim .dart .f90 .f .m .mm .s .asm .v .sv .vhd .proto .cmake .tcl .groovy .gradle .sol"
)
_TEXT = frozenset(f"{_PROSE} {_CODE}".split())
_ARCHIVES = frozenset(".zip .tar .tgz .bz2 .xz .7z .rar .lz4 .z".split())


class SourceFile(NamedTuple):
    """One file to read, and how."""

    path: Path
    format: Format
    compression: Compression
    role: SplitName | None  # the split that data.split=files puts it in
    n_bytes: int  # on disk
    mtime_ns: int  # together with n_bytes, how a change while we read is noticed
    column: str = ""  # what each line is, of files that go together line by line
    beside: tuple[SourceFile, ...] = ()  # the others of them

    @property
    def all(self) -> tuple[SourceFile, ...]:
        """The file and those that go with it."""
        return (self, *self.beside)


class Sources(NamedTuple):
    """The files in reading order, and what lay in the folders but has no ending we know."""

    files: tuple[SourceFile, ...]
    ignored: Mapping[str, int]  # ending -> number of files

    @property
    def n_bytes(self) -> int:
        """Bytes on disk, compressed where they are."""
        return sum(part.n_bytes for file in self.files for part in file.all)


def find_sources(data: Data) -> Sources:
    """The files that ``data.path`` and a split by files name, each once, in a stable order.

    Named files and matches of a pattern are all taken; of a folder, the files whose ending says
    that they are text or records (all that are not hidden, if ``data.format`` is given).  A file
    of val or test that ``data.path`` matches as well belongs to val or test.  Files that go
    together line by line come as one, with the others beside it.

    Raises ``DataError`` when a name matches nothing or a format cannot be read.
    """
    ignored: Counter[str] = Counter()
    # by what links lead to: the files that go together, and their split
    found: dict[tuple[Path, ...], tuple[dict[str, Path], SplitName | None]] = {}
    try:
        for role, asked in _asked(data):
            for together in _together(asked, data, ignored):
                key = tuple(path.resolve() for path in together.values())
                found[key] = (found.get(key, (together, None))[0], role)
        files = tuple(_source_file(paths, data, role) for paths, role in found.values())
    except OSError as e:
        raise DataError(f"{e.filename} cannot be read: {e.strerror}. Check data.path") from None
    return Sources(files, dict(ignored))


def _asked(data: Data) -> list[tuple[SplitName | None, Files]]:
    """Patterns with their split, in rising order of claim on a file that several match."""
    match data.split:
        case FilesSplit() as split:
            asked: list[tuple[SplitName | None, Files]] = [("train", data.path), ("val", split.val)]
            return asked if split.test is None else [*asked, ("test", split.test)]
        case HashSplit(test_files=files) if files is not None:
            return [(None, data.path), ("test", files)]
        case _:
            return [(None, data.path)]


def _together(asked: Files, data: Data, ignored: Counter[str]) -> Iterator[dict[str, Path]]:
    """Files by column, those that go together line by line; else each alone, under no name."""
    if not isinstance(asked, dict):
        yield from ({"": path} for path in _matching(several(asked), data, ignored))
        return
    sides = {name: list(_matching(several(p), data, ignored)) for name, p in asked.items()}
    if len({len(paths) for paths in sides.values()}) > 1:
        counts = ", ".join(f"{name} {len(paths)}" for name, paths in sides.items())
        raise DataError(
            f"files that go together line by line must be as many for each column, and there are "
            f"{counts}. Check data.path and data.split"
        )
    for paths in zip(*sides.values(), strict=True):
        yield dict(zip(sides, paths, strict=True))


def several(given: str | tuple[str, ...] | None) -> tuple[str, ...]:
    """A setting that may be one or many, as many."""
    return (given,) if isinstance(given, str) else given or ()


def _matching(patterns: Sequence[str], data: Data, ignored: Counter[str]) -> Iterator[Path]:
    for pattern in patterns:
        path = Path(pattern).expanduser()
        if path.is_dir():
            yield from _in_folder(path, data, ignored)
        elif path.is_file():
            yield path
        elif path.exists():
            raise DataError(f"{path} is neither a file nor a folder. Name files in data.path")
        elif glob.has_magic(pattern):
            yield from _in_pattern(path, pattern)
        else:
            raise DataError(_not_there(path))


def _in_pattern(path: Path, pattern: str) -> list[Path]:
    # Path.glob would take hidden files too, and follow no link to a folder before Python 3.13
    names = glob.glob(str(path), recursive=True)  # noqa: PTH207
    found = sorted(p for p in map(Path, names) if p.is_file())
    if not found and names:
        raise DataError(f"{pattern} matches folders alone. For what is in them: {pattern}/**/*")
    if not found:
        raise DataError(
            f"no file matches {pattern} (looked from {Path.cwd()}). Check data.path; "
            "** is any folder, * any name without a leading dot"
        )
    return found


def _in_folder(folder: Path, data: Data, ignored: Counter[str]) -> list[Path]:
    """The folder's files, and its folders' files, that are not hidden and end in a way we know.

    A .json file is one only where there is no other: beside a corpus it holds settings.
    """
    files = sorted(_walk(folder))
    known = [path for path in files if data.format != "auto" or _format_of(path) is not None]
    taken = [path for path in known if data.format != "auto" or _format_of(path) != "json"] or known
    passed = Counter(_endings(path)[0] or "no ending" for path in files if path not in set(taken))
    ignored.update(passed)
    if taken:
        return taken
    if not passed:
        raise DataError(f"the folder {folder} holds no files. Check data.path")
    seen = ", ".join(f"{n} {ending}" for ending, n in passed.most_common(5))
    raise DataError(
        f"no file in {folder} has an ending that stands for text or records ({seen}). "
        f"If they are text, write data.path='{folder}/**/*', or name data.format"
    )


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder, onerror=_stop):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(parent, name)
            if not name.startswith(".") and path.is_file():
                yield path


def _stop(error: OSError) -> None:
    """``os.walk`` passes over a folder it may not read unless it is told not to."""
    raise error


def _endings(path: Path) -> tuple[str, Compression]:
    """The ending that tells the format, and that of the compression outside it."""
    lower = path.name.lower()
    for compression in (".gz", ".zst"):
        if lower.endswith(compression):
            return Path(lower.removesuffix(compression)).suffix, compression
    return Path(lower).suffix, ""


def _format_of(path: Path) -> Format | None:
    ending = _endings(path)[0]
    return _RECORDS.get(ending) or ("text" if ending in _TEXT else None)


def _source_file(together: dict[str, Path], data: Data, role: SplitName | None) -> SourceFile:
    (column, path), *others = together.items()
    ending, compression = _endings(path)
    if data.format != "auto":
        file_format: Format = data.format
    elif ending in _ARCHIVES:
        raise DataError(f"{path} is an archive. Unpack it and name what it holds in data.path")
    else:
        file_format = "text" if column or data.pattern else _format_of(path) or "text"
    beside = tuple(_source_file({name: other}, data, role) for name, other in others)
    now = path.stat()
    state = (now.st_size, now.st_mtime_ns)
    return SourceFile(path, file_format, compression, role, *state, column, beside)


def _not_there(path: Path) -> str:
    missing = path
    while not missing.parent.is_dir():  # the first name on the way that is not there
        missing = missing.parent
    there = [p.name for p in missing.parent.iterdir()]
    near = difflib.get_close_matches(missing.name, there, n=1)
    meant = " Check data.path."
    if near:
        meant = f" Did you mean {missing.parent / near[0] / path.relative_to(missing)}?"
    return f"there is no file or folder {path} (looked from {Path.cwd()}).{meant}"
