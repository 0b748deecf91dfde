"""Writing a run's record and reading it back."""

from __future__ import annotations

import math
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wellfit.errors import RunError, WellfitError
from wellfit.store import Evaluation, Record, RunDir, locked, read_run
from wellfit.store.database import file_system, journal_mode


@pytest.fixture
def run(run_path):
    return RunDir.create(run_path)


def _evaluation(step, *, split="val", basis="fixed blocks", loss=2.0):
    counts = np.array([128, 128, 7], dtype=np.int64)
    return Evaluation(
        step=step, split=split, basis=basis, checkpoint_step=step, nats=loss * counts,
        counts=counts, n_bytes=263, n_documents=1, loss_lo=loss - 0.1, loss_hi=loss + 0.1,
    )  # fmt: skip


def test_numbers_come_back_bit_for_bit(run):
    values = [0.1, 1e-310, 0.0, math.inf, -math.inf, math.nan, 4.174387269895637]
    record = Record.open(run, from_step=0)
    for step, value in enumerate(values):
        record.series(step, {"loss": value})
    record.close("diverged")
    series = read_run(run.path).series("loss")
    # NaN and Inf are what a diverged run has to show
    np.testing.assert_array_equal(series.values, values)
    assert series.steps.tolist() == list(range(7))
    assert (series.steps.dtype, series.values.dtype) == (np.int64, np.float64)


def test_numbers_of_numpy_are_numbers(run):
    with_numpy = Record.open(run, from_step=0)
    with_numpy.series(np.int64(3), {"loss": np.float32(0.5)})
    with_numpy.event("saved", np.int64(3), bytes=np.int64(7), shape=np.arange(2), path=run.path)
    with_numpy.close("finished")
    view = read_run(run.path)
    # an int64 given as it is would be stored as eight opaque bytes
    assert view.series("loss").steps.tolist() == [3]
    assert view.events()[0].facts == {"bytes": 7, "shape": [0, 1], "path": str(run.path)}


def test_numbers_wait_in_memory_until_flushed(run):
    record = Record.open(run, from_step=0)
    record.series(1, {"loss": 2.0})
    # a commit per step would cost more than a small step
    assert not len(read_run(run.path).series("loss").steps)
    record.flush()
    assert read_run(run.path).series("loss").values.tolist() == [2.0]
    record.close("finished")


def test_an_event_brings_the_numbers_before_it(run):
    record = Record.open(run, from_step=0)
    record.series(1, {"loss": math.nan})
    record.event("diverged", 1)
    # a reader who sees the event sees what led to it
    assert len(read_run(run.path).series("loss").steps) == 1
    record.close("diverged")


def test_evaluations_keep_their_blocks(run):
    record = Record.open(run, from_step=0)
    given_one = _evaluation(50, loss=math.pi)
    record.evaluation(given_one)
    record.close("finished")
    (found,) = read_run(run.path).evaluations("val")
    # comparisons are paired, so the blocks must come back bit-equal
    np.testing.assert_array_equal(found.nats, given_one.nats)
    np.testing.assert_array_equal(found.counts, given_one.counts)
    assert (found.step, found.split, found.basis) == (50, "val", "fixed blocks")
    assert (found.loss_lo, found.loss_hi) == (given_one.loss_lo, given_one.loss_hi)
    assert read_run(run.path).evaluations("test") == []


@settings(max_examples=30)
@given(text=st.text(), prompt=st.text(max_size=5))
def test_any_text_a_model_writes_can_be_kept(tmp_path_factory, text, prompt):
    run = RunDir.create(tmp_path_factory.mktemp("runs") / "r")
    record = Record.open(run, from_step=0)
    record.sample(1, prompt, text)
    record.close("finished")
    # character for character, NUL included
    assert read_run(run.path).samples() == [(1, prompt, text)]


def test_half_a_character_is_kept_visibly(run):
    record = Record.open(run, from_step=0)
    record.sample(1, "", "ab\udc80")
    record.close("finished")
    # a lone surrogate is no text; it shows instead of stopping the run
    assert read_run(run.path).samples()[0].text == "ab\\udc80"


def test_the_last_findings_replace_those_before(run):
    record = Record.open(run, from_step=0)
    record.findings(10, [{"code": "spike", "severity": "warn"}])
    # the evidence is kept as given
    assert read_run(run.path).findings() == [{"code": "spike", "severity": "warn"}]
    record.findings(20, [])
    # nothing found any more is also something to say
    assert read_run(run.path).findings() == []
    record.close("finished")


def test_the_last_value_of_a_fact_counts(run):
    record = Record.open(run, from_step=0)
    record.fact("steps_total", 100)
    record.fact("steps_total", 120)
    record.close("finished")
    assert read_run(run.path).facts() == {"steps_total": 120}


def test_what_cannot_be_kept_is_our_bug_and_breaks_nothing(run):
    record = Record.open(run, from_step=0)
    with pytest.raises(TypeError, match="cannot be kept in a record"):
        record.fact("odd", object())
    record.fact("even", 2)
    record.close("finished")
    # the failed one left no transaction behind
    assert read_run(run.path).facts() == {"even": 2}


# --- attempts ------------------------------------------------------------------------------


def _two_attempts(run):
    first = Record.open(run, from_step=0)
    for step in range(1, 11):
        first.series(step, {"loss": 1.0 * step, "old": 0.0})
        first.event("evaluated" if step != 9 else "looked-at-test", step)
    first.evaluation(_evaluation(5, loss=3.0))
    first.evaluation(_evaluation(10, loss=1.0))
    first.sample(10, "", "too far")
    first.findings(10, [{"code": "too far"}])
    first.fact("verdict", {"code": "overfit"})
    first.fact("parameters", 7)
    first.close()
    second = Record.open(run, from_step=6)
    second.event("resumed", 6)
    second.series(7, {"loss": 70.0})
    second.flush()
    return second


def test_rows_beyond_the_resume_are_hidden(run):
    second = _two_attempts(run)
    view = read_run(run.path)
    # up to the step of the checkpoint from the first attempt, then the second
    assert view.series("loss").values.tolist() == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 70.0]
    # the evaluation and the sample of step 10 never happened on this path
    assert [e.step for e in view.evaluations()] == [5]
    assert view.samples() == [] and view.findings() == []
    # nor has the run reached a verdict yet; what holds for all attempts stays
    assert view.facts() == {"parameters": 7}
    second.close("finished")


def test_hidden_rows_stay_in_the_file(run):
    _two_attempts(run).close("finished")
    with sqlite3.connect(run.db) as connection:
        # superseded is not deleted: 10 + 1 losses
        count = connection.execute(
            "SELECT count(*) FROM points JOIN names ON id = name_id WHERE name = 'loss'"
        ).fetchone()
    connection.close()
    assert count == (11,)


def test_history_is_never_hidden(run):
    _two_attempts(run).close("finished")
    kinds = [(e.kind, e.step) for e in read_run(run.path).events()]
    # a look at test counts though the run went back behind it; an evaluation is made again
    assert kinds == [
        *(("evaluated", s) for s in range(1, 7)),
        ("looked-at-test", 9),
        ("resumed", 6),
    ]
    assert [e.kind for e in read_run(run.path).events("resumed")] == ["resumed"]


def test_a_series_that_only_hidden_rows_have_is_not_listed(run):
    first = Record.open(run, from_step=0)
    first.series(5, {"gone": 1.0})
    first.close()
    Record.open(run, from_step=2).close("finished")
    # its name would lead to an empty chart
    assert read_run(run.path).series_names() == []


def test_five_chained_resumes_show_one_path(run):
    for from_step, reached in ((0, 9), (4, 6), (6, 12), (3, 5), (5, 8), (8, 10)):
        record = Record.open(run, from_step=from_step)
        for step in range(from_step + 1, reached + 1):
            record.series(step, {"loss": record.attempt * 100.0 + step})
        record.close("stopped")
    series = read_run(run.path).series("loss")
    # each step once, from the attempt that last made it
    assert series.steps.tolist() == list(range(1, 11))
    assert (series.values // 100).tolist() == [1, 1, 1, 4, 4, 5, 5, 5, 6, 6]


def test_a_later_look_adds_to_the_last_attempt(run):
    Record.open(run, from_step=0).close("finished")
    record = Record.open(run, from_step=None)
    record.event("looked-at-test", 10)
    record.close()
    view = read_run(run.path)
    # nothing began again, nothing changed its status
    assert (len(view.attempts()), view.status) == (1, "finished")
    assert [e.kind for e in view.events()] == ["looked-at-test"]


def test_nothing_can_be_added_before_the_first_attempt(run):
    # there is no run yet to look at
    with pytest.raises(RunError, match="no attempt to add to"):
        Record.open(run, from_step=None)


def test_a_writer_that_was_taken_over_writes_nothing_more(run):
    old = Record.open(run, from_step=0)
    new = Record.open(run, from_step=0)
    old.series(1, {"loss": 1.0})
    # the lock makes this impossible on a good file system; the record does not rely on it
    with pytest.raises(RunError, match="taken over by another process"):
        old.flush()
    new.close("finished")
    assert read_run(run.path).series_names() == []
    with pytest.raises(RunError, match="taken over"):
        old.close("finished")


# --- status --------------------------------------------------------------------------------


def test_running_without_an_owner_is_crashed(run):
    with locked(run):
        record = Record.open(run, from_step=0)
        # somebody holds the lock
        assert read_run(run.path).status == "running"
    # nobody does, and nobody said how it ended
    assert read_run(run.path).status == "crashed"
    record.close("stopped")
    assert read_run(run.path).status == "stopped"


# --- the file ------------------------------------------------------------------------------


def test_a_finished_run_is_one_file(run):
    record = Record.open(run, from_step=0)
    record.series(1, {"loss": 1.0})
    record.flush()
    record.close("finished")
    # no log beside it: run.db alone can be copied
    assert [path.name for path in run.path.iterdir()] == ["run.db"]
    # and it says so in its header (bytes 18 and 19: 1 is a rollback journal, 2 a log)
    assert run.db.read_bytes()[18:20] == b"\x01\x01"


def test_closing_beside_a_reader_loses_nothing(run):
    record = Record.open(run, from_step=0)
    record.series(1, {"loss": 1.0})
    record.flush()
    reader = sqlite3.connect(f"{run.db.as_uri()}?mode=ro", uri=True, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM points").fetchall()
    record.close("finished")
    # the reader keeps the log alive; the record is whole all the same
    assert read_run(run.path).series("loss").values.tolist() == [1.0]
    reader.close()
    Record.open(run, from_step=None).close()
    # and the next writer folds it
    assert [path.name for path in run.path.iterdir()] == ["run.db"]


def test_a_copy_of_a_live_run_can_be_read(run, tmp_path):
    record = Record.open(run, from_step=0)
    record.series(1, {"loss": 1.0})
    record.flush()
    shutil.copytree(run.path, tmp_path / "copy")
    # file and log travel together
    assert read_run(tmp_path / "copy").series("loss").values.tolist() == [1.0]
    record.close("finished")
    shutil.copytree(run.path, tmp_path / "other" / "finished")
    assert read_run(tmp_path / "other" / "finished").status == "finished"


AS_NOBODY = """
# all imports now, as root: the interpreter may lie in root's home, and pathlib loads urllib late
import os, sys, urllib.parse
from pathlib import Path
from wellfit.store import read_run
if os.geteuid() == 0:
    os.setgid(65534); os.setuid(65534)
try:
    open(sys.argv[1] + "/x", "w")
    sys.exit("this place can be written to")
except PermissionError:
    pass
view = read_run(Path(sys.argv[1]))
print(view.status, view.series("loss").values.tolist())
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that any user may look into, which pytest's own folders are not."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)
        (Path(folder) / "copy").chmod(0o755)


@pytest.mark.parametrize("state", ["finished", "log left", "log without index", "folded log"])
def test_a_place_where_nothing_can_be_written_can_be_read(run, open_folder, state):
    record = Record.open(run, from_step=0)
    record.series(1, {"loss": 1.0})
    record.flush()
    left_out = {"log without index": ["*-shm"], "folded log": ["*-shm", "*-wal"]}.get(state, [])
    if state == "finished":
        record.close("finished")
    if state == "folded log":
        record._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    copy = open_folder / "copy"
    shutil.copytree(run.path, copy, ignore=shutil.ignore_patterns(*left_out))
    if state != "finished":
        record.close("finished")
    for path in (copy, *copy.iterdir()):
        path.chmod(0o555 if path.is_dir() else 0o444)
    command = [sys.executable, "-c", AS_NOBODY, str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    # every state in which a run may have been copied to a read-only medium
    expected = "finished" if state == "finished" else "crashed"
    assert done.stdout == f"{expected} [1.0]\n", done.stderr


def test_a_truncated_record_says_what_to_do(run):
    record = Record.open(run, from_step=0)
    for step in range(20_000):
        record.series(step, {"loss": 1.0})
    record.close("finished")
    whole = run.db.read_bytes()
    for kept in (len(whole) // 2, 4096, 5000, 120):
        run.db.write_bytes(whole[:kept])
        # never an SQLite error, never half an answer
        with pytest.raises(RunError, match="is damaged or cut short: .*Copy the run again"):
            read_run(run.path).series("loss")


def test_a_file_that_is_no_database_says_so(run):
    run.db.write_text("not a database at all, but long enough to look at " * 5)
    with pytest.raises(RunError, match="damaged or cut short: file is not a database"):
        read_run(run.path)
    # the writer says the same
    with pytest.raises(RunError, match="damaged or cut short: file is not a database"):
        Record.open(run, from_step=0)


def test_an_empty_record_says_so(run):
    run.db.touch()
    # the process died between making the file and its tables
    with pytest.raises(RunError, match=r"is empty: the run ended before .*wellfit train RECIPE"):
        read_run(run.path)
    # the writer takes it
    Record.open(run, from_step=0).close("finished")
    assert read_run(run.path).status == "finished"


def test_the_database_of_another_program_is_left_alone(run):
    connection = sqlite3.connect(run.db)
    connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    with pytest.raises(RunError, match="not the record of a run"):
        read_run(run.path)
    with pytest.raises(RunError, match="not the record of a run"):
        Record.open(run, from_step=0)


def test_a_later_format_asks_for_a_later_wellfit(run):
    Record.open(run, from_step=0).close("finished")
    connection = sqlite3.connect(run.db)
    connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(RunError, match=r"record format 99.*pip install -U wellfit"):
        read_run(run.path)


def test_a_record_that_disappears_says_so(run):
    Record.open(run, from_step=0).close("finished")
    view = read_run(run.path)
    run.db.unlink()
    with pytest.raises(RunError, match=r"run.db is gone.*wellfit runs ls"):
        view.series("loss")


def test_a_full_disk_is_raised_and_the_numbers_kept(run):
    record = Record.open(run, from_step=0)
    pages = record._connection.execute("PRAGMA page_count").fetchone()[0]
    record._connection.execute(f"PRAGMA max_page_count={pages}")
    for step in range(5_000):
        record.series(step, {"loss": float(step)})
    # a failing store stops the run, and says where and why
    with pytest.raises(WellfitError, match=r"could not write .*full\. Free some space.*resume"):
        record.flush()
    record._connection.execute("PRAGMA max_page_count=100000")
    record.close("stopped")
    # once there is room again, nothing is missing
    assert len(read_run(run.path).series("loss").steps) == 5_000


@pytest.mark.parametrize(
    ("path", "kind", "mode"),
    [
        ("/data/nfs/run", "nfs4", "delete"),
        ("/data/run", "ext4", "wal"),
        ("/data/nfs-not", "ext4", "wal"),
        ("/scratch/x", "lustre", "delete"),
        ("/mnt/with space/x", "cifs", "delete"),
        ("/gdrive/x", "fuse.rclone", "delete"),
        ("/windows/x", "fuseblk", "wal"),
        ("/over/x", "tmpfs", "wal"),
    ],
)
def test_network_file_systems_get_a_rollback_journal(monkeypatch, path, kind, mode):
    mounts = [
        ("/", "ext4"), ("/data/nfs", "nfs4"), ("/scratch", "lustre"), ("/mnt/with space", "cifs"),
        ("/gdrive", "fuse.rclone"), ("/windows", "fuseblk"), ("/over", "nfs"), ("/over", "tmpfs"),
    ]  # fmt: skip
    _mount(monkeypatch, mounts)
    # a log's index is shared memory, which a network does not share; later mounts lie on top
    assert (file_system(Path(path)), journal_mode(Path(path))) == (kind, mode)


def _mount(monkeypatch, mounts):
    table = [SimpleNamespace(mountpoint=point, fstype=kind) for point, kind in mounts]
    monkeypatch.setattr("psutil.disk_partitions", lambda all: table)


def test_an_unknown_place_gets_the_safe_journal(monkeypatch, tmp_path):
    _mount(monkeypatch, [])
    # slower, and right everywhere
    assert journal_mode(tmp_path) == "delete"


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_both_journals_hold_the_same_record(run, monkeypatch, mode):
    monkeypatch.setattr("wellfit.store.database.journal_mode", lambda path: mode)
    record = Record.open(run, from_step=0)
    record.series(1, {"loss": 1.0})
    record.flush()
    # read beside the writer
    assert read_run(run.path).series("loss").values.tolist() == [1.0]
    record.close("finished")
    assert read_run(run.path).status == "finished"
