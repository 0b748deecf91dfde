"""``kill -9`` of the process that writes a record, again and again, with a reader watching."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from wellfit.store import RunDir, RunView, read_run

KILLS = int(os.environ.get("WELLFIT_STORE_KILLS", "40"))
SEED = 1

# Goes on from the step it is told, and says "N" once step N is committed: that is the promise.
WRITER = """
import sys
from pathlib import Path
import numpy as np
from wellfit.store import Evaluation, Record, RunDir, locked
run, from_step = RunDir(Path(sys.argv[1])), int(sys.argv[2])
with locked(run):
    record = Record.open(run, from_step=from_step)
    record.event("resumed", from_step)
    step = from_step
    while True:
        for _ in range(20):
            step += 1
            record.series(step, {"loss": step * 0.5, "tokens": step * 64.0})
        record.flush()
        record.sample(step, "", f"text {step}")
        record.evaluation(Evaluation(step=step, split="val", basis="fixed blocks",
            checkpoint_step=step, nats=np.full(50, step * 0.5),
            counts=np.ones(50, dtype=np.int64), n_bytes=50, n_documents=1,
            loss_lo=0.0, loss_hi=1.0))
        print(step, flush=True)
"""

WITH_JOURNAL = """
import wellfit.store.database as database
database.journal_mode = lambda path: "{}"
"""


class Reader(threading.Thread):
    """Asks a run everything, without a pause, until told to stop; keeps whatever goes wrong."""

    def __init__(self, view: RunView) -> None:
        super().__init__()
        self.view, self.errors, self.rounds = view, [], 0
        self.enough = threading.Event()
        self.looked = threading.Semaphore(0)

    def run(self) -> None:
        while not self.enough.is_set():
            try:
                self._look()
                self.rounds += 1
            except Exception as e:  # whatever it is, the test shows it
                self.errors.append(repr(e))
            self.looked.release()

    def wait_for_a_round(self) -> None:
        """Until a round is over, however busy the machine is; a stuck reader fails the test."""
        assert self.looked.acquire(timeout=120), "the reader has not come back for two minutes"

    def _look(self) -> None:
        loss = self.view.series("loss")
        # steps follow one another and each has its own value, at any moment
        assert loss.steps.tolist() == list(range(1, len(loss.steps) + 1))
        assert np.array_equal(loss.values, loss.steps * 0.5)
        for evaluation in self.view.evaluations():
            assert evaluation.nats[0] == evaluation.step * 0.5
        self.view.summary()


def _write_until_killed(code: str, path: Path, from_step: int, wait_s: float) -> int:
    """The last step that the writer said was committed before it was killed."""
    command = [sys.executable, "-c", code, str(path), str(from_step)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as writer:
        assert writer.stdout is not None and writer.stderr is not None
        first = writer.stdout.readline()
        time.sleep(wait_s)
        os.kill(writer.pid, signal.SIGKILL)
        said = (first + writer.stdout.read()).splitlines()
        assert not writer.stderr.read()
    # the line being printed when the kill came may be cut short; it was committed all the same
    return int(said[-2] if len(said) > 1 else said[-1])


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_kills_lose_no_acknowledged_row_and_disturb_no_reader(run_path, journal):
    run = RunDir.create(run_path)
    rng = random.Random(SEED)
    print(f"seed {SEED}, {KILLS} kills; WELLFIT_STORE_KILLS sets another number")
    code = WITH_JOURNAL.format(journal) + WRITER
    acknowledged = _write_until_killed(code, run.path, 0, 0.05)
    view = read_run(run.path)
    reader = Reader(view)
    reader.start()
    try:
        for _ in range(KILLS // 2):
            steps = view.series("loss").steps
            # nothing that was promised is missing
            assert steps[-1] >= acknowledged
            assert view.status == "crashed"
            # some go on from the last row, some from a checkpoint before it
            from_step = int(steps[-1]) - 20 * rng.choice([0, 0, 1, 3])
            wait_s = rng.uniform(0, 0.08)
            acknowledged = _write_until_killed(code, run.path, max(0, from_step), wait_s)
            reader.wait_for_a_round()  # as many rounds as kills, even where readers are slow
        reader.wait_for_a_round()
    finally:
        reader.enough.set()
        reader.join()
    # the reader was there all along and never met an error
    assert not reader.errors and reader.rounds > KILLS // 2
    # and the file is sound
    with sqlite3.connect(run.db) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    assert view.series("loss").steps[-1] >= acknowledged
    assert len(view.attempts()) == KILLS // 2 + 1
