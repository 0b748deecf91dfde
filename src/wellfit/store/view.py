"""Reading a run: every question opens the record, asks, and closes it again."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from wellfit.errors import RunError
from wellfit.store.database import STANDS, open_to_read
from wellfit.store.evaluation import Evaluation
from wellfit.store.lock import is_locked
from wellfit.store.rundir import RunDir
from wellfit.store.summary import summarize

# What happened is history and stays, though the steps around it are made again.  Above all a
# look at the test split counts however often the run went back behind it.
HISTORY = ("started", "resumed", "fell-back", "looked-at-test", "stopped", "diverged")


class Series(NamedTuple):
    """Numbers over steps, in order; NaN and Inf kept.

    Shapes   steps (n,) int64; values (n,) float64.
    """

    steps: NDArray[np.int64]
    values: NDArray[np.float64]


class Event(NamedTuple):
    """Something that happened at a step.  ``at`` is the wall clock (UTC), for people to read."""

    kind: str
    step: int
    at: str
    facts: dict[str, Any]


class Sample(NamedTuple):
    """What the model wrote after a prompt."""

    step: int
    prompt: str
    text: str


class Attempt(NamedTuple):
    """One start of the run, and from which step."""

    attempt: int
    from_step: int
    status: str
    began_at: str


@dataclass(frozen=True, slots=True)
class RunView:
    """A run to look at.  Nothing is cached, so it shows a live run as it is at each question."""

    run: RunDir

    def series(self, name: str) -> Series:
        """One series; empty when nothing has been recorded under that name."""
        rows = self._ask(
            "SELECT t.step, t.value FROM points t JOIN names n ON n.id = t.name_id "
            f"WHERE n.name = ? AND {STANDS} ORDER BY t.step, t.attempt",
            name,
        )
        latest = dict(rows)  # a step recorded by two attempts counts as the later one has it
        values = [math.nan if value is None else value for value in latest.values()]
        return Series(np.array(list(latest), dtype=np.int64), np.array(values, dtype=np.float64))

    def series_names(self) -> list[str]:
        """The names under which anything still visible was recorded."""
        rows = self._ask(
            "SELECT DISTINCT n.name FROM names n JOIN points t ON t.name_id = n.id "
            f"WHERE {STANDS} ORDER BY n.name"
        )
        return [row[0] for row in rows]

    def events(self, kind: str | None = None) -> list[Event]:
        """What happened, in order."""
        marks = ", ".join("?" for _ in HISTORY)
        rows = self._ask(
            f"SELECT kind, step, at, facts FROM events t WHERE ({STANDS} OR kind IN ({marks})) "
            "AND coalesce(?, kind) = kind ORDER BY id",
            *HISTORY,
            kind,
        )
        return [Event(kind, step, at, json.loads(facts)) for kind, step, at, facts in rows]

    def evaluations(self, split: str | None = None) -> list[Evaluation]:
        """What was measured on the splits, in order; of looks repeated at a step, the last."""
        names = [field.name for field in fields(Evaluation)]  # step, split and basis come first
        rows = self._ask(
            f"SELECT {', '.join(names)} FROM evaluations t "
            f"WHERE {STANDS} AND coalesce(?, split) = split ORDER BY step, id",
            split,
        )
        latest = {row[:3]: row for row in rows}
        return [_evaluation(dict(zip(names, row, strict=True))) for row in latest.values()]

    def samples(self) -> list[Sample]:
        """What the model wrote, in order of steps."""
        rows = self._ask(
            f"SELECT step, prompt, text FROM samples t WHERE {STANDS} ORDER BY step, id"
        )
        return list({row[:2]: Sample(*row) for row in rows}.values())

    def findings(self) -> list[dict[str, Any]]:
        """What was found when it was last looked for."""
        rows = self._ask(f"SELECT findings FROM findings t WHERE {STANDS} ORDER BY id DESC LIMIT 1")
        return cast("list[dict[str, Any]]", json.loads(rows[0][0])) if rows else []

    def facts(self) -> dict[str, Any]:
        """The facts of the run, as last set."""
        newest = max((a.attempt for a in self.attempts()), default=0)
        rows = self._ask("SELECT attempt, key, value FROM facts ORDER BY attempt")
        # a verdict that an older attempt came to is not one about the run as it stands
        standing = [(k, v) for attempt, k, v in rows if attempt == newest or k != "verdict"]
        return {key: json.loads(value) for key, value in standing}

    def attempts(self) -> list[Attempt]:
        """Every start of the run, in order."""
        columns = ", ".join(Attempt._fields)
        return [Attempt(*row) for row in self._ask(f"SELECT {columns} FROM attempts ORDER BY 1")]

    @property
    def status(self) -> str:
        """running, finished, stopped, diverged or failed; ``crashed`` when its writer is gone."""
        attempts = self.attempts()
        status = attempts[-1].status if attempts else "running"
        return "crashed" if status == "running" and not is_locked(self.run) else status

    def summary(self) -> dict[str, Any]:
        """The run in numbers, as ``wellfit runs show --json`` prints it."""
        return summarize(self)

    def environment(self) -> dict[str, Any]:
        """environment.json; empty when it is not there."""
        return _mapping(self.run.environment)

    def data(self) -> dict[str, Any]:
        """data.json; empty when it is not there."""
        return _mapping(self.run.data)

    def profile(self) -> dict[str, Any]:
        """profile.json; empty when it is not there."""
        return _mapping(self.run.profile)

    def resolved(self) -> dict[str, Any]:
        """resolved.yaml; empty when it is not there."""
        return _mapping(self.run.resolved)

    def _ask(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        with open_to_read(self.run.db) as connection:
            return connection.execute(sql, values).fetchall()


def read_run(path: Path) -> RunView:
    """Look at the run in ``path``.

    Raises ``RunError`` when there is none, or its record is damaged or of a later format.
    """
    view = RunView(RunDir.open(Path(path)))
    view.attempts()
    return view


def _evaluation(kept: dict[str, Any]) -> Evaluation:
    read: dict[str, Any] = {
        "nats": np.frombuffer(kept["nats"], dtype="<f8").astype(np.float64),
        "counts": np.frombuffer(kept["counts"], dtype="<i8").astype(np.int64),
        "metrics": json.loads(kept["metrics"]),
    }
    not_a_number = {key: math.nan for key in ("loss_lo", "loss_hi") if kept[key] is None}
    return Evaluation(**kept | read | not_a_number)


def _mapping(path: Path) -> dict[str, Any]:
    try:
        found = _parsed(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError("it holds no mapping")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as e:
        reason = str(e).splitlines()[0]
        raise RunError(
            f"{path} is damaged or cut short: {reason}. Copy it again from where the run came "
            "from, or delete it; everything else of the run can still be read"
        ) from e
    return found


def _parsed(text: str) -> object:
    with suppress(ValueError):
        return json.loads(text)  # JSON is YAML, and read much faster
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError
    from ruamel.yaml.events import AliasEvent

    try:
        # our writers use no aliases; in a run from elsewhere they could unfold without end
        if any(isinstance(e, AliasEvent) for e in YAML(typ="safe", pure=True).parse(text)):
            raise ValueError("it holds an alias (*name), which Wellfit never writes")
        return YAML(typ="safe", pure=True).load(text)
    except YAMLError as e:
        raise ValueError(str(e)) from e
