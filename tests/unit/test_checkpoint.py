import json
import os
import stat
from pathlib import Path

import pytest
import torch

from wellfit import checkpoint as ck
from wellfit.errors import CheckpointError


def _contents(value: float) -> ck.Contents:
    tensors = {"model": {"w": torch.full((4, 3), value)}, "optimizer": {"w/m": torch.ones(2)}}
    return ck.Contents(tensors, {"step": int(value), "exact": 0.1 + 0.2})


def _newest(root: Path):
    rejected: list[str] = []
    found = ck.newest_verified(root, rejected=lambda c, why: rejected.append(c.path.name))
    return found, rejected


def test_what_is_saved_is_loaded_to_the_bit(tmp_path: Path) -> None:
    at = ck.commit(tmp_path, 7, _contents(7))
    back = ck.load(at)
    assert torch.equal(back.tensors["model"]["w"], torch.full((4, 3), 7.0))
    assert torch.equal(back.tensors["optimizer"]["w/m"], torch.ones(2))
    assert back.state == {"step": 7, "exact": 0.1 + 0.2}


def test_a_view_is_saved_alone_and_not_with_its_storage(tmp_path: Path) -> None:
    big = torch.arange(1000.0)
    at = ck.commit(tmp_path, 1, ck.Contents({"model": {"w": big[:2]}}, {}))
    assert (at.path / "model.safetensors").stat().st_size < 1000


def test_a_committed_path_is_never_written_again(tmp_path: Path) -> None:
    first, second = ck.commit(tmp_path, 5, _contents(1)), ck.commit(tmp_path, 5, _contents(2))
    assert (first.path.name, second.path.name) == ("step-00000005", "step-00000005.g2")
    assert ck.load(first).tensors["model"]["w"][0, 0] == 1
    found, _ = _newest(tmp_path)
    # of one step, the later generation is the newer
    assert found is not None and found[0] == second


def test_order_is_by_step_and_not_by_the_clock(tmp_path: Path) -> None:
    ck.commit(tmp_path, 10, _contents(10))
    older = ck.commit(tmp_path, 9, _contents(9))
    os.utime(older.path, (4e9, 4e9))
    found, _ = _newest(tmp_path)
    assert found is not None and found[0].step == 10


@pytest.mark.parametrize("file", ["model.safetensors", "optimizer.safetensors", "state.json"])
@pytest.mark.parametrize("how", ["flip", "cut", "remove"])
def test_damage_is_found_and_the_older_checkpoint_taken(
    tmp_path: Path, file: str, how: str
) -> None:
    ck.commit(tmp_path, 1, _contents(1))
    path = ck.commit(tmp_path, 2, _contents(2)).path / file
    data = bytearray(path.read_bytes())
    if how == "flip":
        data[len(data) // 2] ^= 1
        path.write_bytes(bytes(data))
    elif how == "cut":
        path.write_bytes(bytes(data[:-1]))
    else:
        path.unlink()
    found, rejected = _newest(tmp_path)
    assert found is not None and found[0].step == 1
    # falling back is never silent
    assert rejected == ["step-00000002"]


def test_every_flipped_bit_of_a_small_checkpoint_is_found(tmp_path: Path) -> None:
    at = ck.commit(tmp_path, 1, _contents(1))
    for path in sorted(at.path.iterdir()):
        if path.name == "manifest.json":
            continue
        whole = path.read_bytes()
        for place in range(0, len(whole), max(1, len(whole) // 40)):
            broken = bytearray(whole)
            broken[place] ^= 1 << (place % 8)
            path.write_bytes(bytes(broken))
            with pytest.raises(CheckpointError, match=path.name):
                ck.verify(at)
        path.write_bytes(whole)
    ck.verify(at)


def test_when_nothing_verifies_the_error_says_what_to_do(tmp_path: Path) -> None:
    at = ck.commit(tmp_path, 1, _contents(1))
    (at.path / "manifest.json").write_text("{")
    with pytest.raises(CheckpointError, match="none of the 1 checkpoints"):
        _newest(tmp_path)


def test_a_checkpoint_renamed_to_another_step_is_refused(tmp_path: Path) -> None:
    ck.commit(tmp_path, 1, _contents(1)).path.rename(tmp_path / "step-00000009")
    with pytest.raises(CheckpointError, match="of step 1, not 9"):
        ck.verify(ck.committed(tmp_path)[0])


def test_another_format_names_both_formats(tmp_path: Path) -> None:
    at = ck.commit(tmp_path, 1, _contents(1))
    manifest = json.loads((at.path / "manifest.json").read_text())
    (at.path / "manifest.json").write_text(json.dumps({**manifest, "format": 99}))
    with pytest.raises(CheckpointError, match="format 99.*reads format 1"):
        ck.verify(at)


def test_pruning_keeps_the_newest_and_the_newest_best(tmp_path: Path) -> None:
    for step in range(1, 6):
        ck.commit(tmp_path, step, _contents(step))
        ck.commit(tmp_path, step, _contents(step), kind="best")
    ck.prune(tmp_path, keep=2)
    assert [c.step for c in ck.committed(tmp_path)] == [4, 5]
    assert [c.step for c in ck.committed(tmp_path, "best")] == [5]


def test_pruning_keeps_the_best_of_the_step_that_is_named(tmp_path: Path) -> None:
    for step in (200, 400, 300, 300):  # 400 is of an attempt that went further
        ck.commit(tmp_path, step, _contents(step), kind="best")
    ck.prune(tmp_path, keep=2, best_step=300)
    assert [c.path.name for c in ck.committed(tmp_path, "best")] == ["best-00000300.g2"]


def test_pruning_never_deletes_the_only_best_there_is(tmp_path: Path) -> None:
    ck.commit(tmp_path, 400, _contents(4), kind="best")
    ck.prune(tmp_path, keep=2, best_step=300)
    assert [c.step for c in ck.committed(tmp_path, "best")] == [400]


def test_what_a_crash_left_is_swept_and_never_taken_for_a_checkpoint(tmp_path: Path) -> None:
    ck.commit(tmp_path, 1, _contents(1))
    (tmp_path / ".tmp-step-00000002-abc").mkdir()
    (tmp_path / ".trash-step-00000001-abc").mkdir()
    assert [c.step for c in ck.committed(tmp_path)] == [1]
    ck.sweep(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["step-00000001"]


def test_files_have_the_mode_that_the_umask_asks_for(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        at = ck.commit(tmp_path, 1, _contents(1))
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in at.path.iterdir()}
    assert modes == {0o640}


def test_a_disk_that_refuses_leaves_the_old_checkpoints_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ck.commit(tmp_path, 1, _contents(1))

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match=r"step 2.*disk is full.*wellfit resume"):
        ck.commit(tmp_path, 2, _contents(2))
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == ["step-00000001"]
    ck.verify(ck.committed(tmp_path)[0])
