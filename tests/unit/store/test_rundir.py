"""The directory of a run: made once, found by name, written atomically."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from wellfit.errors import RunError, WellfitError
from wellfit.model.publish import staged
from wellfit.store import Record, RunDir, locked, new_run_path, write_text_atomic


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_a_new_directory_is_made_with_its_parents(run_path):
    run = RunDir.create(run_path)
    # the files are those of the design's picture of a run
    assert [p.name for p in (run.recipe, run.resolved, run.environment, run.data, run.db)] == [
        "recipe.yaml", "resolved.yaml", "environment.json", "data.json", "run.db",
    ]  # fmt: skip
    assert [p.name for p in (run.checkpoints, run.model, run.report)] == [
        "checkpoints", "model", "report.html",
    ]  # fmt: skip
    # and the directory is there
    assert run_path.is_dir() and run.name == "a-run"


def test_a_directory_that_holds_a_run_is_not_taken(run_path):
    Record.open(RunDir.create(run_path), from_step=0).close("finished")
    # a second run must not write over the first; the message says how to go on
    with pytest.raises(RunError, match=r"already holds a run.*wellfit resume .*a-run\n.*--run DIR"):
        RunDir.create(run_path)


def test_a_run_that_died_before_its_record_began_is_taken_again(run_path):
    run = RunDir.create(run_path)
    run.recipe.write_text("data: {}\n")
    # nothing can be lost, so typing the same command again works
    assert RunDir.create(run_path) == run


def _killed_at(monkeypatch, at: tuple[object, str], count: int, work: Callable[[], None]) -> None:
    """Do the work in a process that dies, as by SIGKILL, at the given call of a function."""
    calls, call = itertools.count(1), getattr(*at)

    def dying(*args: object, **more: object) -> object:
        return os._exit(9) if next(calls) == count else call(*args, **more)

    if not (pid := os.fork()):
        try:
            monkeypatch.setattr(*at, dying)
            work()
        finally:  # never back into the tests, which are the parent's
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9


@pytest.mark.parametrize("file", ["recipe", "data", "environment", "resolved"])
def test_a_run_killed_while_it_wrote_a_file_is_taken_again(run_path, monkeypatch, file):
    run = RunDir.create(run_path)
    _killed_at(monkeypatch, (os, "fsync"), 1, lambda: write_text_atomic(getattr(run, file), "half"))
    assert len(_names(run_path)) == 1
    # what was begun is of no use to anyone, and does not lie in the way
    with locked(RunDir.create(run_path)):
        assert _names(run_path) == ["run.lock"]


def test_a_part_of_a_report_is_left(run_path, monkeypatch):
    run = RunDir.create(run_path)
    _killed_at(monkeypatch, (os, "fsync"), 1, lambda: write_text_atomic(run.report, "half"))
    with locked(run):  # a report is written by whoever asks for one, without the lock
        assert len(_names(run_path)) == 2


@pytest.mark.parametrize(
    ("at", "count", "left", "holds"),
    [
        ((Path, "rename"), 1, "model", "old"),
        ((Path, "rename"), 2, ".trash-model", "old"),  # the only one there is
        ((shutil, "rmtree"), 1, "model", "new"),
    ],
)
def test_of_a_model_killed_while_it_was_replaced_one_is_left(
    run_path, monkeypatch, at, count, left, holds
):
    run = RunDir.create(run_path)

    def publish(text: str) -> None:
        with staged(run.model, replace=True) as folder:
            (folder / "config.json").write_text(text)

    publish("old")
    _killed_at(monkeypatch, at, count, lambda: publish("new"))
    with locked(run):
        folder, lock = sorted(run_path.iterdir())
    assert (folder.name.startswith(left), lock.name) == (True, "run.lock")
    assert (folder / "config.json").read_text() == holds


@pytest.mark.parametrize("name", ["thesis.tex", ".thesis.tex.17.tmp", ".data.json.swp"])
def test_a_directory_with_other_files_is_not_taken(run_path, name):
    run_path.mkdir(parents=True)
    (run_path / name).write_text("x")
    # a run is deleted as a directory; nobody else's file may lie in it
    with pytest.raises(RunError, match=rf"such as '{name}'.*--run DIR"):
        RunDir.create(run_path)


@pytest.mark.parametrize(
    ("made", "what"), [(True, "holds no run.db"), (False, "no such directory")]
)
def test_what_is_not_a_run_is_said_so(tmp_path, made, what):
    path = tmp_path / "here"
    if made:
        path.mkdir()
    # what was looked for, and what to type
    with pytest.raises(RunError, match=f"is not a run directory: .*{what}.*wellfit runs ls"):
        RunDir.open(path)


def test_names_of_new_runs_are_counted_up(tmp_path):
    names = [new_run_path(tmp_path / "runs", "tiny Shakespeare!").name for _ in range(3)]
    # each is made at once, so two runs started together never share one
    assert names == ["tiny-Shakespeare", "tiny-Shakespeare-2", "tiny-Shakespeare-3"]


@pytest.mark.parametrize("name", ["../../etc", "...", "", "/absolute", "a/b"])
def test_a_name_stays_inside_its_root(tmp_path, name):
    # a name is a name, never a path
    assert new_run_path(tmp_path, name).parent == tmp_path


def test_text_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "resolved.yaml"
    write_text_atomic(path, "old")
    write_text_atomic(path, "snow \u2603\n")
    # exactly the text, and no temporary file beside it
    assert path.read_bytes() == "snow \u2603\n".encode()
    assert _names(tmp_path) == ["resolved.yaml"]


def test_a_failed_write_leaves_the_old_text(tmp_path, monkeypatch):
    path = tmp_path / "resolved.yaml"
    write_text_atomic(path, "old")

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    # the reason and what to do
    with pytest.raises(WellfitError, match=r"could not write .*No space left.*Free some space"):
        write_text_atomic(path, "new")
    # old file whole, temporary gone
    assert path.read_text() == "old" and _names(tmp_path) == ["resolved.yaml"]


def test_text_is_on_the_disk_before_it_takes_the_name(tmp_path, monkeypatch):
    done: list[str] = []
    sync, rename = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (done.append("sync"), sync(fd))[1])
    monkeypatch.setattr(Path, "replace", lambda a, b: (done.append("rename"), rename(a, b))[1])
    write_text_atomic(tmp_path / "a", "text")
    # file, rename, parent: any other order can show an empty file after a power cut
    assert done == ["sync", "rename", "sync"]
