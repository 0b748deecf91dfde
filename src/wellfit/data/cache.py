"""Where prepared data lies: one folder for each distinct input, made whole or not at all."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO

import platformdirs

from wellfit.errors import DataError
from wellfit.store import sync_directory

_POLL_S = 0.2
MANIFEST = "manifest.json"


def cache_folder(asked: str | None) -> Path:
    """The folder of all prepared data: as asked for, else in the user's own cache."""
    if asked is not None:
        return Path(asked).expanduser()
    return platformdirs.user_cache_path("wellfit") / "data"


def key_of(parts: Mapping[str, Any]) -> str:
    """A name for exactly these inputs."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def sha256_of(path: Path, on_read: Callable[[int], None]) -> str:
    """The file's fingerprint, read a megabyte at a time."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
                on_read(len(block))
    except OSError as e:
        raise DataError(f"{path} cannot be read: {e.strerror or e}") from None
    return digest.hexdigest()


@contextmanager
def locked(path: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the lock file ``path``; wait while another process does.

    The kernel lets go of the lock when its holder ends, however it ends.  The file stays: to
    delete it would let two processes lock two files of one name.
    """
    with path.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                on_wait()
                time.sleep(_POLL_S)
        yield


def synced(file: IO[Any]) -> None:
    """Wait until all that was written is on the disk."""
    file.flush()
    os.fsync(file.fileno())


def write_synced(path: Path, text: str) -> None:
    """Write a file that is either there whole or not at all; of one killed, nothing adds up."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        synced(file)
    partial.rename(path)
    sync_directory(path.parent)


@contextmanager
def grown(path: Path, n_bytes: int) -> Iterator[BinaryIO]:
    """A file that grows, open for writing behind what of it is vouched for; the rest is cut off."""
    path.touch()
    with path.open("r+b") as out:
        out.truncate(n_bytes)
        out.seek(0, os.SEEK_END)
        yield out


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """What a finished folder says of itself; None if it is not there, or files do not match it.

    Sizes are compared, not contents: a file that was cut off or lost is found without reading
    gigabytes at every start.
    """
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        sizes: dict[str, int] = manifest["files"]
    except (OSError, ValueError, KeyError):
        return None
    for name, size in sizes.items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != size:
            return None
    return manifest
