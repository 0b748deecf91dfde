"""A run on disk: where each file of it lies, and how one is made or found."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from wellfit.errors import RunError, WellfitError

_NAMES = {
    "recipe.yaml",
    "resolved.yaml",
    "environment.json",
    "data.json",
    "run.db",
    "checkpoints",
    "model",
    "report.html",
    "run.lock",
}


@dataclass(frozen=True, slots=True)
class RunDir:
    """The directory of one run.  Everything in it is found by name, so it may move."""

    path: Path

    @property
    def name(self) -> str:
        """What people call the run: the last part of its path."""
        return self.path.name

    @property
    def recipe(self) -> Path:
        """The recipe as asked."""
        return self.path / "recipe.yaml"

    @property
    def resolved(self) -> Path:
        """Every value of the recipe, with where it came from."""
        return self.path / "resolved.yaml"

    @property
    def environment(self) -> Path:
        """Machine, versions, git commit, threads, precision."""
        return self.path / "environment.json"

    @property
    def data(self) -> Path:
        """Fingerprints of sources, tokenizer and splits; the audit."""
        return self.path / "data.json"

    @property
    def db(self) -> Path:
        """The record: series, events, evaluations, samples, findings."""
        return self.path / "run.db"

    @property
    def checkpoints(self) -> Path:
        """One directory per committed checkpoint."""
        return self.path / "checkpoints"

    @property
    def model(self) -> Path:
        """The chosen model in a published layout."""
        return self.path / "model"

    @property
    def report(self) -> Path:
        """The report, one file without network."""
        return self.path / "report.html"

    @property
    def lock(self) -> Path:
        """The file whose kernel lock the one writer holds."""
        return self.path / "run.lock"

    @classmethod
    def create(cls, path: Path) -> RunDir:
        """Make the directory of a new run, or take an empty one.

        A directory that died before its record began is taken again, because nothing in it
        can be lost; one that holds a record, or anything that is not ours, is refused.

        Raises ``RunError``.
        """
        run = cls(Path(path).absolute())
        if run.db.exists():
            raise RunError(
                f"{path} already holds a run. Continue it with: wellfit resume {path}\n"
                "Or start a new one elsewhere with: --run DIR"
            )
        try:
            run.path.mkdir(parents=True, exist_ok=True)
            foreign = sorted({inner.name for inner in run.path.iterdir()} - _NAMES)
        except OSError as e:
            raise RunError(
                f"cannot make the run directory {path}: {e.strerror}. "
                "Choose another with: --run DIR"
            ) from e
        if foreign:
            raise RunError(
                f"{path} holds files that are not of a run, such as {foreign[0]!r}; "
                "a run wants a directory of its own. Choose another with: --run DIR"
            )
        return run

    @classmethod
    def open(cls, path: Path) -> RunDir:
        """Find the run in ``path``.  Raises ``RunError`` when there is none."""
        run = cls(Path(path).absolute())
        try:
            if run.db.is_file():
                return run
        except PermissionError as e:
            raise RunError(
                f"cannot look into {path}: {e.strerror}. Ask its owner for permission to read it"
            ) from e
        what = "it holds no run.db" if run.path.is_dir() else "there is no such directory"
        raise RunError(f"{path} is not a run directory: {what}. List runs with: wellfit runs ls")


def new_run_path(root: Path, name: str) -> Path:
    """Reserve ``root/name``, or the first free ``root/name-2``, ``root/name-3`` and so on.

    The directory is made at once, so two runs that start together never share one.
    """
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "run"
    number = 1
    while True:
        path = Path(root) / (stem if number == 1 else f"{stem}-{number}")
        try:
            path.mkdir(parents=True)
            return path
        except FileExistsError:
            number += 1
        except OSError as e:
            raise RunError(
                f"cannot make the run directory {path}: {e.strerror}. "
                "Choose another with: --run DIR"
            ) from e


def write_text_atomic(path: Path, text: str) -> None:
    """Replace ``path`` by ``text``; a crash leaves the old file or the new one, never a part.

    Raises ``WellfitError`` when the disk refuses; the old file is then still there.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_directory(path.parent)
    except OSError as e:
        temporary.unlink(missing_ok=True)
        raise WellfitError(
            f"could not write {path}: {e.strerror}. Free some space or check the permissions of "
            f"{path.parent}, then try again"
        ) from e


def sync_directory(path: Path) -> None:
    """Make a rename inside ``path`` survive a power cut; without it only the file's bytes do."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
