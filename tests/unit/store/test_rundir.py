"""The directory of a run: made once, found by name, written atomically."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wellfit.errors import RunError, WellfitError
from wellfit.store import Record, RunDir, new_run_path, write_text_atomic


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


def test_a_directory_with_other_files_is_not_taken(run_path):
    run_path.mkdir(parents=True)
    (run_path / "thesis.tex").write_text("x")
    # a run is deleted as a directory; nobody else's file may lie in it
    with pytest.raises(RunError, match=r"such as 'thesis.tex'.*--run DIR"):
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
