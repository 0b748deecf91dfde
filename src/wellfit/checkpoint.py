"""The commit protocol: what is on disk is whole, or it is not there.

A crash at any instant leaves the old state or the new one.

    .tmp-step-00001200-<random>/   written and synced file by file, then a manifest with the
                                   size and sha256 of every file, then the directory itself
    step-00001200/                 the same directory, renamed: now it is committed
    .trash-step-00000800-<random>/ being deleted

A committed path is never written again: when a run that fell back reaches step 1200 a second
time, it commits ``step-00001200.g2``.  Order is by step and generation, never by the clock.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from wellfit.errors import CheckpointError
from wellfit.store import sync_directory
from wellfit.units import format_bytes

FORMAT = 1
_NAME = re.compile(r"(step|best)-(\d{8,})(?:\.g(\d+))?")


class Contents(NamedTuple):
    """What a checkpoint holds: named groups of tensors, and a JSON-safe state."""

    tensors: Mapping[str, Mapping[str, Tensor]]  # {"model": {...}, "optimizer": {...}}
    state: dict[str, Any]


@dataclass(frozen=True, slots=True, order=True)
class Committed:
    """A committed checkpoint directory.  Sorts by step, then by generation."""

    step: int
    generation: int
    kind: str  # "step" (everything) or "best" (the weights that val chose)
    path: Path


def committed(root: Path, kind: str = "step") -> list[Committed]:
    """The committed checkpoints of a kind, oldest first.  Verifies nothing."""
    found = (_found(path) for path in root.glob(f"{kind}-*"))
    return sorted(checkpoint for checkpoint in found if checkpoint is not None)


def named(root: Path, name: str) -> Committed:
    """The committed checkpoint of that name.  Raises ``CheckpointError`` when it is not there."""
    found = _found(root / name)
    if found is None:
        raise CheckpointError(f"there is no checkpoint {name} under {root}")
    return found


def _found(path: Path) -> Committed | None:
    match = _NAME.fullmatch(path.name)
    if match is None or not path.is_dir():
        return None
    return Committed(int(match[2]), int(match[3] or 1), match[1], path)


def commit(root: Path, step: int, contents: Contents, *, kind: str = "step") -> Committed:
    """Write and commit one checkpoint; return where it is.

    Raises ``CheckpointError`` when it could not be written (disk full, read-only): the partial
    directory is removed, and every earlier checkpoint is untouched.
    """
    root.mkdir(parents=True, exist_ok=True)
    same = [c.generation for c in committed(root, kind) if c.step == step]
    generation = max(same, default=0) + 1
    name = f"{kind}-{step:08d}" + (f".g{generation}" if generation > 1 else "")
    temporary = root / f".tmp-{name}-{uuid.uuid4().hex[:12]}"
    try:
        temporary.mkdir()
        files = {}
        for group, tensors in contents.tensors.items():
            file = temporary / f"{group}.safetensors"
            # A tensor that is a view of a larger one would drag its whole storage along.
            save_file({key: t.detach().cpu().contiguous() for key, t in tensors.items()}, file)
            files[file.name] = _seal(file)
        files["state.json"] = _write(temporary / "state.json", contents.state)
        manifest = {"format": FORMAT, "kind": kind, "step": step, "generation": generation}
        _write(temporary / "manifest.json", {**manifest, "files": files})
        sync_directory(temporary)
        final = root / name
        temporary.rename(final)
        sync_directory(root)
    except (OSError, SafetensorError) as e:
        shutil.rmtree(temporary, ignore_errors=True)
        raise CheckpointError(_save_failed(root, step, e)) from e
    return Committed(step, generation, kind, final)


def verify(checkpoint: Committed) -> None:
    """Check every file against the manifest.  Raises ``CheckpointError`` naming the first."""
    path = checkpoint.path
    try:
        manifest = json.loads((path / "manifest.json").read_text())
        files, step, version = manifest["files"], manifest["step"], manifest["format"]
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise CheckpointError(f"{path}: its manifest.json cannot be read ({e})") from e
    if version != FORMAT:
        raise CheckpointError(
            f"{path}: written in format {version}; this version of wellfit reads format {FORMAT}. "
            "Resume it with the version that wrote it (environment.json of the run names it)"
        )
    if step != checkpoint.step:
        raise CheckpointError(f"{path}: its manifest is of step {step}, not {checkpoint.step}")
    for name, wanted in files.items():
        found = _fingerprint(path / name)
        if found != wanted:
            why = _differs(wanted, found)
            raise CheckpointError(f"{path / name}: does not match its manifest ({why})")


def load(checkpoint: Committed) -> Contents:
    """Read a checkpoint after verifying it.  Raises ``CheckpointError``."""
    verify(checkpoint)
    tensors = {file.stem: load_file(file) for file in sorted(checkpoint.path.glob("*.safetensors"))}
    return Contents(tensors, json.loads((checkpoint.path / "state.json").read_text()))


def newest_verified(
    root: Path, *, rejected: Callable[[Committed, str], None]
) -> tuple[Committed, Contents] | None:
    """The newest checkpoint that verifies, or None where there are none at all.

    ``rejected`` hears of each newer one that did not verify, so that falling back is never
    silent.  Raises ``CheckpointError`` when there are some and none verifies: starting over
    would throw away work that may be recoverable.
    """
    candidates = committed(root)
    for checkpoint in reversed(candidates):
        try:
            return checkpoint, load(checkpoint)
        except CheckpointError as e:
            rejected(checkpoint, str(e))
    if candidates:
        raise CheckpointError(
            f"none of the {len(candidates)} checkpoints under {root} verifies. Restore one from a "
            "backup, or train again into a new run directory with: wellfit train RUN/recipe.yaml"
        )
    return None


def prune(root: Path, *, keep: int, best_step: int | None = None) -> list[Path]:
    """Delete all but the newest ``keep`` checkpoints and the best of ``best_step``; return them.

    By the step and not the newest: after a fall-back past a damaged checkpoint, the best of a
    later step, which this attempt has not reached yet, may still lie there.
    """
    best = committed(root, "best")
    kept = [c for c in best if c.step == best_step][-1:] or best[-1:]
    doomed = committed(root)[: -keep or None] + [c for c in best if c not in kept]
    gone = [c.path for c in doomed]
    for path in gone:
        # Renamed first: a half-deleted directory must never look like a checkpoint.
        trash = path.with_name(f".trash-{path.name}-{uuid.uuid4().hex[:12]}")
        path.rename(trash)
        shutil.rmtree(trash, ignore_errors=True)
    return gone


def sweep(root: Path) -> None:
    """Remove what a crash left half written or half deleted.  Only the run's owner may call it."""
    for path in root.iterdir() if root.is_dir() else ():
        if path.name.startswith((".tmp-", ".trash-")):
            shutil.rmtree(path, ignore_errors=True)


def _write(file: Path, value: dict[str, Any]) -> dict[str, Any]:
    file.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")
    return _seal(file)


def _seal(file: Path) -> dict[str, Any]:
    """Sync a file to disk, give it the mode the umask asks for, and return its fingerprint."""
    umask = os.umask(0)
    os.umask(umask)
    file.chmod(0o666 & ~umask)  # safetensors writes 0600
    with file.open("rb") as f:
        os.fsync(f.fileno())
    return _fingerprint(file)


def _fingerprint(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as f:
            digest = hashlib.file_digest(f, "sha256").hexdigest()
            return {"bytes": f.tell(), "sha256": digest}
    except FileNotFoundError:
        return {"bytes": None, "sha256": None}


def _differs(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    if found["bytes"] is None:
        return "the file is missing"
    if found["bytes"] != wanted["bytes"]:
        return f"{found['bytes']} bytes instead of {wanted['bytes']}"
    return "same size, other sha256: its contents changed"


def _save_failed(root: Path, step: int, e: Exception) -> str:
    free = format_bytes(shutil.disk_usage(root).free) if root.is_dir() else "unknown"
    full = getattr(e, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space" in str(e)
    cause = f"the disk is full ({free} free)" if full else str(e)
    return (
        f"the checkpoint of step {step} could not be written to {root}: {cause}. "
        "Earlier checkpoints are untouched. Make room, then continue with: "
        f"wellfit resume {root.parent}"
    )
