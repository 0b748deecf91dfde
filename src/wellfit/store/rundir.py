"""A run on disk: where each file of it lies, and how one is made or found."""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from wellfit.errors import RunError, WellfitError


class _Inside:
    """A file or folder of a run, as ``run.db``: found by name, whichever run it is."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, run: RunDir, of: type) -> Path:
        return run.path / self.name


@dataclass(frozen=True, slots=True)
class RunDir:
    """The directory of one run.  Everything in it is found by name, so it may move."""

    path: Path

    recipe = _Inside("recipe.yaml")  # as asked
    resolved = _Inside("resolved.yaml")  # every value of the recipe, with where it came from
    environment = _Inside("environment.json")  # machine, versions, git commit, threads, precision
    data = _Inside("data.json")  # fingerprints of sources, tokenizer and splits; the audit
    db = _Inside("run.db")  # the record: series, events, evaluations, samples, findings
    checkpoints = _Inside("checkpoints")  # one directory per committed checkpoint
    model = _Inside("model")  # the chosen model in a published layout
    adapter = _Inside("adapter")  # of a LoRA run: what was trained, in the layout of PEFT
    report = _Inside("report.html")  # one file without network
    profile = _Inside("profile.json")  # where a step's time went, where it was asked for
    trace = _Inside("profile-trace.json.gz")  # one of these steps, for Perfetto
    lock = _Inside("run.lock")  # its kernel lock is held by the one writer

    @property
    def name(self) -> str:
        """What people call the run: the last part of its path."""
        return self.path.name

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
            foreign = sorted(p.name for p in run.path.iterdir() if _whole_name(p) not in _NAMES)
        except OSError as e:
            raise _not_made(path, e) from e
        if foreign:
            raise RunError(
                f"{path} holds files that are not of a run, such as {foreign[0]!r}; "
                "a run wants a directory of its own. Choose another with: --run DIR"
            )
        return run

    def sweep(self) -> None:
        """Remove what a killed owner left half written or half deleted; for the lock's owner alone.

        A report's part stays: who writes that one needs no lock, and may be at it now.  What was
        moved away for its successor stays where there is none.
        """
        for part in self.path.glob(".*"):
            whole = _whole_name(part)
            if whole == part.name or whole not in _NAMES - {self.report.name}:
                continue
            if not part.is_dir():
                with suppress(OSError):  # the write that comes next says it better
                    part.unlink()
            elif part.name.startswith(".tmp-") or (self.path / whole).exists():
                shutil.rmtree(part, ignore_errors=True)

    def discard(self) -> None:
        """Remove a run that was refused: nothing of it was decided, so nothing can be lost."""
        if not (self.resolved.exists() or self.db.exists()):
            with suppress(OSError):  # what is left is not ours
                self.recipe.unlink(missing_ok=True)
                self.lock.unlink(missing_ok=True)
                self.path.rmdir()

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


_NAMES = {place.name for place in vars(RunDir).values() if isinstance(place, _Inside)}


def _not_made(path: Path, error: OSError) -> RunError:
    return RunError(
        f"cannot make the run directory {path}: {error.strerror}. Choose another with: --run DIR"
    )


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
            raise _not_made(path, e) from e


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
        with suppress(OSError):  # a read-only disk refuses this as well
            temporary.unlink(missing_ok=True)
        raise WellfitError(
            f"could not write {path}: {e.strerror}. Free some space or check the permissions of "
            f"{path.parent}, then try again"
        ) from e


def _whole_name(path: Path) -> str:
    """The name that a part, ours or a published folder's, was to take; else the file's own."""
    found = re.fullmatch(r"\.(?:(.+)\.\d+\.tmp|(?:tmp|trash)-(.+)-[0-9a-f]{12})", path.name)
    return found[1] or found[2] if found else path.name


def sync_directory(path: Path) -> None:
    """Make a rename inside ``path`` survive a power cut; without it only the file's bytes do."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
