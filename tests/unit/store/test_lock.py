"""One writer per run, kept by the kernel."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from wellfit.errors import RunError
from wellfit.store import RunDir, locked
from wellfit.store.lock import is_locked

HOLD = """
import sys, time
from pathlib import Path
from wellfit.store import RunDir, locked
with locked(RunDir(Path(sys.argv[1]))):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def run(run_path):
    return RunDir.create(run_path)


def _holder(run: RunDir) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run.path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_a_second_writer_is_refused_by_name(run):
    holder = _holder(run)
    try:
        # who has it, where, and how to stop it
        refusal = f"process {holder.pid} on host .*kill {holder.pid}"
        with pytest.raises(RunError, match=refusal), locked(run):
            pass
        # and readers see that it is being written
        assert is_locked(run)
    finally:
        holder.kill()
        holder.communicate()


def test_a_dead_owner_is_followed_at_once(run):
    holder = _holder(run)
    os.kill(holder.pid, signal.SIGKILL)
    holder.communicate()
    # no stale lock: the kernel freed it with the process
    assert not is_locked(run)
    with locked(run):
        # and the file names the new owner
        assert run.lock.read_text().startswith(f"pid {os.getpid()} on host ")
        assert is_locked(run)
    assert not is_locked(run)


def test_a_lock_file_that_was_copied_holds_nothing(run):
    run.lock.write_text("pid 1 on host elsewhere\n")
    # the text is for people; only the kernel's lock counts
    assert not is_locked(run)
    with locked(run):
        assert is_locked(run)


def test_a_run_without_a_lock_file_is_free(run):
    # a run that came from elsewhere without it is complete
    assert not run.lock.exists() and not is_locked(run)


def test_readers_that_look_do_not_keep_a_writer_out(run):
    run.lock.touch()
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            is_locked(run)

    readers = [threading.Thread(target=look) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        for _ in range(50):
            # asking takes the lock for an instant; the writer waits that instant out
            with locked(run):
                assert is_locked(run)
    finally:
        stop.set()
        for reader in readers:
            reader.join()


def test_a_place_where_nobody_may_write_is_said_so(tmp_path):
    run = RunDir(tmp_path / "gone")
    # the reason and what to do
    with pytest.raises(RunError, match="cannot write to .*Check its permissions"), locked(run):
        pass
