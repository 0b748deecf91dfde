"""One writer per run, kept by the kernel."""

from __future__ import annotations

import fcntl
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from wellfit.errors import RunError
from wellfit.store.rundir import RunDir

_PATIENCE_S = 0.5  # a reader that looks whether the lock is held holds it for microseconds


@contextmanager
def locked(run: RunDir) -> Iterator[None]:
    """The right to write to a run: a kernel lock on ``run.lock``, with the owner's name inside.

    The kernel frees it the moment its owner dies, however it dies, so there is no stale lock
    and no grace time to wait for.  The text only serves the message to the one refused.  The
    file stays when the lock is given back: deleting it would let two owners in.

    Raises ``RunError`` with pid and host when another process has it.
    """
    try:
        fd = os.open(run.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as e:
        raise RunError(
            f"cannot write to {run.path}: {e.strerror}. "
            "Check its permissions, or copy the run to a place where you may write"
        ) from e
    try:
        t0 = time.monotonic()
        while not _taken(fd, fcntl.LOCK_EX):
            if time.monotonic() - t0 > _PATIENCE_S:
                raise RunError(_refusal(run, os.pread(fd, 200, 0).decode("utf-8", "replace")))
            time.sleep(0.01)
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"pid {os.getpid()} on host {socket.gethostname()}\n".encode(), 0)
        run.sweep()
        yield
    finally:
        os.close(fd)


def _taken(fd: int, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _refusal(run: RunDir, owner: str) -> str:
    found = re.fullmatch(r"pid (\d+) on host (.+)", owner.strip())
    if found is None:
        return f"{run.path} is being written by another process. Wait until it ends"
    pid, host = found.groups()
    where = "" if host == socket.gethostname() else f" on {host}"
    return (
        f"{run.path} is being written by process {pid} on host {host}. "
        f"Wait until it ends, or stop it{where} with: kill {pid}"
    )


def is_locked(run: RunDir) -> bool:
    """Whether some process is writing to the run now.

    Asking takes a shared lock for an instant, which is why a writer tries again for a moment
    before it gives up.
    """
    try:
        fd = os.open(run.lock, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        return True  # it is there and not ours to look into: do not call a live run crashed
    try:
        return not _taken(fd, fcntl.LOCK_SH)
    except OSError:
        return False  # a medium that knows no locks has no writer
    finally:
        os.close(fd)
