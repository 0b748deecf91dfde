"""The one writer of a run's record."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from wellfit import __version__
from wellfit.errors import RunError
from wellfit.store.database import close_writer, open_to_write, unreadable
from wellfit.store.evaluation import Evaluation
from wellfit.store.rundir import RunDir

Status: TypeAlias = Literal["running", "finished", "stopped", "diverged", "failed"]
EventKind: TypeAlias = Literal[
    "started",  # the first attempt began
    "resumed",  # a later attempt took over at this step
    "fitted",  # examples were cut or left out, and how many
    "rehearsed",  # a choice was made by measuring
    "saved",  # a checkpoint was committed
    "fell-back",  # a damaged checkpoint was passed over for an older one
    "evaluated",
    "looked-at-test",
    "early-stop",  # patience ran out
    "lowered-rate",  # a plateau of val cut the learning rate
    "stopped",  # a signal asked for the end
    "diverged",
    "skipped",  # a step, or a record of the data, was left out
    "finished",
    "warning",
]


class Record:
    """What a run writes down: numbers over steps, events, evaluations, samples, findings, facts.

    Numbers are gathered in memory and committed by ``flush``; everything else is committed
    at once, together with the numbers gathered before it, so a reader never sees an event
    ahead of the loss that led to it.  Hold a lock (``locked``) while a record is open.

    Raises ``WellfitError`` from every method whose write fails: a run without a record stops.
    """

    def __init__(self, run: RunDir, connection: sqlite3.Connection, attempt: int) -> None:
        self.run = run
        self.attempt = attempt
        self._connection = connection
        self._points: dict[tuple[str, int], float] = {}

    @classmethod
    def open(cls, run: RunDir, *, from_step: int | None) -> Record:
        """Begin the next attempt at ``from_step``, or (None) add to the last one.

        A new attempt hides what older ones recorded beyond ``from_step``: those steps will be
        made again.  Adding is for a later look at a finished run, which starts nothing.
        """
        connection = open_to_write(run.db)
        try:
            attempt = _last_attempt(connection)
            if from_step is not None:
                assert from_step >= 0, f"a run cannot start at step {from_step}"
                attempt += 1
                row = (attempt, from_step, _now(), os.getpid(), socket.gethostname(), __version__)
                with _transaction(connection, run.db):
                    connection.execute(
                        "INSERT INTO attempts VALUES (?, ?, 'running', ?, ?, ?, ?)", row
                    )
            elif not attempt:
                raise RunError(f"{run.path} has no attempt to add to; start it with: wellfit train")
            return cls(run, connection, attempt)
        except BaseException:
            connection.close()
            raise

    def series(self, step: int, values: Mapping[str, float]) -> None:
        """Note numbers of a step.  They reach the disk with the next ``flush``."""
        for name, value in values.items():
            self._points[name, int(step)] = float(value)

    def flush(self) -> None:
        """Commit the numbers noted so far: once it returns, they survive ``kill -9``."""
        if self._points:
            with self._writing():
                pass

    def event(self, kind: EventKind, step: int, **facts: object) -> None:
        """Note that something happened at a step, with what is known about it."""
        self._add("events", step=int(step), kind=kind, at=_now(), facts=_to_json(facts))

    def evaluation(self, evaluation: Evaluation) -> None:
        """Note what a look at a split measured, block losses included."""
        e = evaluation
        self._add(
            "evaluations", step=int(e.step), split=e.split, basis=e.basis,
            checkpoint_step=int(e.checkpoint_step), nats=e.nats.astype("<f8").tobytes(),
            counts=e.counts.astype("<i8").tobytes(), n_bytes=int(e.n_bytes),
            n_documents=int(e.n_documents), loss_lo=float(e.loss_lo), loss_hi=float(e.loss_hi),
            unit=e.unit, metrics=_to_json(dict(e.metrics)),
        )  # fmt: skip

    def sample(self, step: int, prompt: str, text: str) -> None:
        """Note what the model wrote after ``prompt``."""
        self._add("samples", step=int(step), prompt=_storable(prompt), text=_storable(text))

    def findings(self, step: int, findings: Sequence[Mapping[str, Any]]) -> None:
        """Note everything found at a step; it replaces what was found before, also when empty."""
        self._add("findings", step=int(step), findings=_to_json([dict(f) for f in findings]))

    def status(self, status: Status) -> None:
        """Say how the run stands."""
        with self._writing() as connection:
            connection.execute(
                "UPDATE attempts SET status = ? WHERE attempt = ?", (status, self.attempt)
            )

    def fact(self, key: str, value: object) -> None:
        """Set a fact of the whole run; the last value counts."""
        self._add("facts", key=key, value=_to_json(value))

    def close(self, status: Status | None = None) -> None:
        """Commit what is left, set the status (None leaves it), and make the record one file."""
        try:
            self.flush()
            if status is not None:
                self.status(status)
        finally:
            close_writer(self._connection)

    def _add(self, table: str, **values: object) -> None:
        row = {"attempt": self.attempt, **values}
        marks = ", ".join("?" for _ in row)
        with self._writing() as connection:
            # only facts have a key of their own, whose last value counts
            connection.execute(
                f"INSERT OR REPLACE INTO {table} ({', '.join(row)}) VALUES ({marks})",
                tuple(row.values()),
            )

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        connection = self._connection
        with _transaction(connection, self.run.db):
            newest = _last_attempt(connection)
            if newest != self.attempt:
                raise RunError(
                    f"{self.run.path} was taken over by another process (attempt {newest}; this is "
                    f"{self.attempt}). Nothing more is written here; "
                    f"watch the other with: wellfit runs show {self.run.path}"
                )
            connection.executemany(
                "INSERT OR IGNORE INTO names (name) VALUES (?)",
                [(name,) for name in dict.fromkeys(name for name, _ in self._points)],
            )
            connection.executemany(
                "INSERT OR REPLACE INTO points SELECT id, ?, ?, ? FROM names WHERE name = ?",
                [(step, self.attempt, v, name) for (name, step), v in self._points.items()],
            )
            yield connection
        self._points.clear()  # only now: the numbers of a failed write are still to be written


@contextmanager
def _transaction(connection: sqlite3.Connection, db: Path) -> Iterator[None]:
    try:
        with connection:  # commits, or takes back what an error cut short
            connection.execute("BEGIN IMMEDIATE")
            yield
    except sqlite3.Error as e:
        raise unreadable(db, e) from e


def _last_attempt(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT coalesce(max(attempt), 0) FROM attempts").fetchone()[0])


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _storable(text: str) -> str:
    # a model may write half a character; SQLite takes only whole UTF-8
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _to_json(value: object) -> str:
    return json.dumps(value, default=_plain)


def _plain(value: object) -> object:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{value!r} ({type(value).__name__}) cannot be kept in a record")
