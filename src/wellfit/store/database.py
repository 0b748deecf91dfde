"""The SQLite file of a record: its tables, and how it is opened to write and to read."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import psutil

from wellfit.errors import RunError, WellfitError

FORMAT = 2
# Text and JSON columns hold UTF-8; a NULL number is a NaN, which SQLite cannot store.
# `attempt` counts the times the run was started; see STANDS for what a later one hides.
TABLES = """
CREATE TABLE attempts (
  attempt INTEGER PRIMARY KEY, from_step INTEGER NOT NULL, status TEXT NOT NULL,
  began_at TEXT NOT NULL, pid INTEGER NOT NULL, host TEXT NOT NULL, version TEXT NOT NULL
) STRICT;
CREATE TABLE names (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE points (
  name_id INTEGER NOT NULL, step INTEGER NOT NULL, attempt INTEGER NOT NULL, value REAL,
  PRIMARY KEY (name_id, step, attempt)
) STRICT, WITHOUT ROWID;
CREATE TABLE events (
  id INTEGER PRIMARY KEY, attempt INTEGER NOT NULL, step INTEGER NOT NULL,
  kind TEXT NOT NULL, at TEXT NOT NULL, facts TEXT NOT NULL
) STRICT;
CREATE TABLE evaluations (
  id INTEGER PRIMARY KEY, attempt INTEGER NOT NULL, step INTEGER NOT NULL,
  split TEXT NOT NULL, basis TEXT NOT NULL, checkpoint_step INTEGER NOT NULL,
  nats BLOB NOT NULL, counts BLOB NOT NULL, n_bytes INTEGER NOT NULL,
  n_documents INTEGER NOT NULL, loss_lo REAL, loss_hi REAL,
  unit TEXT NOT NULL, metrics TEXT NOT NULL
) STRICT;
CREATE TABLE samples (
  id INTEGER PRIMARY KEY, attempt INTEGER NOT NULL, step INTEGER NOT NULL,
  prompt TEXT NOT NULL, text TEXT NOT NULL
) STRICT;
CREATE TABLE findings (
  id INTEGER PRIMARY KEY, attempt INTEGER NOT NULL, step INTEGER NOT NULL,
  findings TEXT NOT NULL
) STRICT;
CREATE TABLE facts (
  attempt INTEGER NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
  PRIMARY KEY (attempt, key)
) STRICT;
"""

# The rows of a table t that still count: those of the newest attempt, and those of older attempts
# up to the step at which a later one took over.  The others are kept in the file and never shown.
STANDS = """NOT EXISTS (
  SELECT 1 FROM attempts later WHERE later.attempt > t.attempt AND later.from_step < t.step
)"""

# WAL keeps its index in shared memory, which these do not share between machines
# (Source: sqlite.org/wal.html, "Disadvantages"); a rollback journal works on all of them.
_NETWORK = {
    "9p", "afs", "beegfs", "ceph", "cifs", "glusterfs", "gpfs", "lustre", "ncpfs",
    "nfs", "nfs4", "orangefs", "pvfs2", "smb3", "smbfs", "virtiofs",
}  # fmt: skip
_BUSY_S = 20.0
_TRIES = 20


def file_system(path: Path) -> str:
    """The type of file system that holds ``path``, by the table of mounts; "" where none says."""
    try:
        mounts = psutil.disk_partitions(all=True)
    except OSError:
        return ""
    where = path.resolve()
    types = {Path(mount.mountpoint): str(mount.fstype) for mount in mounts}
    # of two mounts on one point the later lies on top, and is the one that the mapping keeps
    return next((types[point] for point in (where, *where.parents) if point in types), "")


def journal_mode(path: Path) -> str:
    """``wal`` on a disk of this machine; ``delete`` on a network file system or an unknown one."""
    kind = file_system(path)
    shared = kind in _NETWORK or (kind.startswith("fuse") and kind != "fuseblk")
    return "delete" if shared or not kind else "wal"


def open_to_write(db: Path) -> sqlite3.Connection:
    """The one connection that may write; makes the tables of a new record.

    Commits are synced in full: a committed checkpoint must never be newer than its record.

    Raises ``RunError`` for a file that is not ours or is damaged.
    """
    try:
        connection = sqlite3.connect(db, timeout=_BUSY_S, isolation_level=None)
        try:
            found = _check_format(connection, db)
            connection.execute(f"PRAGMA journal_mode={journal_mode(db.parent)}")
            connection.execute("PRAGMA synchronous=FULL")
            if not found:
                connection.executescript(
                    f"BEGIN IMMEDIATE; {TABLES} PRAGMA user_version={FORMAT}; COMMIT;"
                )
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as e:
        raise unreadable(db, e) from e
    return connection


def close_writer(connection: sqlite3.Connection) -> None:
    """Fold the log back into the file, so that a finished run is one file.

    A reader that is looking right now keeps the log alive; the record is whole either way,
    and the next writer folds it.
    """
    with closing(connection), suppress(sqlite3.OperationalError):
        connection.execute("PRAGMA busy_timeout=1000")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode=DELETE")


@contextmanager
def open_to_read(db: Path) -> Iterator[sqlite3.Connection]:
    """A connection that cannot write, for one question, with one state of the record behind it.

    Works beside a live writer, on a copy, and on a read-only medium.  What a dead writer left
    unfinished cannot be taken back in place by one who may not write, so file and log are then
    copied aside and read there.

    Raises ``RunError`` for a file that is absent, damaged or of a later format.
    """
    if not db.is_file():
        raise RunError(f"{db} is gone. List runs with: wellfit runs ls")
    try:
        with ExitStack() as stack:
            yield stack.enter_context(closing(_reading(db, stack)))
    except sqlite3.Error as e:
        raise unreadable(db, e) from e
    except OSError as e:
        raise RunError(
            f"{db} cannot be read: {e.strerror}. Check that you may read all files beside it"
        ) from e


def _reading(db: Path, stack: ExitStack) -> sqlite3.Connection:
    for _ in range(_TRIES):
        try:
            return _begin(db, db, "?mode=ro")
        except sqlite3.OperationalError as e:
            if e.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
                raise
        logs = [db.with_name(db.name + end) for end in ("-wal", "-journal")]
        if not any(_stamp(log)[0] for log in logs):
            return _begin(db, db, "?mode=ro&immutable=1")
        before = [_stamp(file) for file in (db, *logs)]
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wellfit-read-")))
        for file in (db, *logs):
            with suppress(FileNotFoundError):
                shutil.copyfile(file, folder / file.name)
        if before == [_stamp(file) for file in (db, *logs)]:
            return _begin(folder / db.name, db, "")
        # a new writer came while we copied; it has tidied up, so in place may work now
        time.sleep(0.02)
    return _begin(db, db, "?mode=ro")


def _begin(file: Path, db: Path, mode: str) -> sqlite3.Connection:
    uri = file.absolute().as_uri() + mode
    connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_S, isolation_level=None)
    try:
        # the first read inside a transaction finds whatever a dead writer left, none after it does
        connection.execute("BEGIN")
        if not _check_format(connection, db):
            raise RunError(
                f"{db} is empty: the run ended before it recorded anything. "
                f"Delete {db} and start the run again with: wellfit train RECIPE --run {db.parent}"
            )
    except BaseException:
        connection.close()
        raise
    return connection


def _stamp(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0, 0
    return found.st_size, found.st_mtime_ns


def _check_format(connection: sqlite3.Connection, db: Path) -> int:
    found = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if found not in (0, FORMAT):
        when, what = "an earlier", "Read it with that version; environment.json beside it names it"
        if found > FORMAT:
            when, what = "a later", "Bring this one up to date with: pip install -U wellfit"
        raise RunError(
            f"{db} was written by {when} wellfit (record format {found}, this reads {FORMAT}). "
            f"{what}"
        )
    # user_version alone would not touch the log or the tables
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if found == 0 and tables:
        raise RunError(f"{db} is a database, but not the record of a run. Move it out of the way")
    return found


def unreadable(db: Path, error: sqlite3.Error) -> WellfitError:
    """Say in the user's terms why SQLite would not do what was asked of ``db``."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return RunError(
            f"{db} is damaged or cut short: {error}. Copy the run again from where it came from; "
            "the checkpoints beside it do not depend on it"
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return RunError(
            f"{db} is held by another program: {error}. Close what has it open, then try again"
        )
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY):
        return WellfitError(
            f"could not write {db}: {error}. Free some space or check the permissions of "
            f"{db.parent}, then continue with: wellfit resume {db.parent}"
        )
    return RunError(
        f"{db} cannot be read: {error}. "
        "Check that it is the record of a run and that you may read it"
    )
