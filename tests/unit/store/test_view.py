"""The files beside the record, as a reader meets them."""

from __future__ import annotations

import pytest

from wellfit.errors import RunError
from wellfit.store import Record, RunDir, read_run


@pytest.fixture
def view(run_path):
    run = RunDir.create(run_path)
    Record.open(run, from_step=0).close("finished")
    return read_run(run_path)


def test_files_that_are_not_there_yet_are_empty(view):
    # a run that has only begun can be looked at
    assert (view.environment(), view.data(), view.resolved()) == ({}, {}, {})


def test_files_are_read_as_written(view):
    view.run.environment.write_text('{"machine": {"cores": 2}}')
    view.run.resolved.write_text("recipe:\n  optim: {lr: 3e-4}\n")
    # YAML 1.2: 3e-4 is a number
    assert view.environment() == {"machine": {"cores": 2}}
    assert view.resolved() == {"recipe": {"optim": {"lr": 3e-4}}}


@pytest.mark.parametrize("text", ['{"cut": ', "[1]", "\xff\xfe"])
def test_a_torn_json_file_says_what_to_do(view, text):
    view.run.data.write_bytes(text.encode("latin-1"))
    # which file, and that the rest is not lost
    with pytest.raises(RunError, match=r"data\.json is damaged.*Copy it again"):
        view.data()


@pytest.mark.parametrize("text", ["a: [1", "- 1", "a: b: c"])
def test_a_torn_yaml_file_says_what_to_do(view, text):
    view.run.resolved.write_text(text)
    with pytest.raises(RunError, match=r"resolved\.yaml is damaged.*Copy it again"):
        view.resolved()


def test_a_yaml_bomb_is_not_unfolded(view):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    view.run.resolved.write_text("\n".join(lines))
    # a run from elsewhere is data, and may be hostile
    with pytest.raises(RunError, match="holds an alias"):
        view.resolved()
