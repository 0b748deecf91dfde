"""The folder of prepared data."""

from __future__ import annotations

import threading
import time

from wellfit.data.cache import cache_folder, key_of, locked, read_manifest, write_synced


def test_the_folder_is_the_users_own_unless_one_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    # where the system keeps what can be made again
    assert cache_folder(None) == tmp_path / "wellfit" / "data"
    # ~ is the home folder
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder("~/tokens") == tmp_path / "tokens"


def test_equal_inputs_have_equal_keys_whatever_their_order():
    # the key is of what is said, not of how it is written
    assert key_of({"a": 1, "b": [2]}) == key_of({"b": [2], "a": 1})
    assert key_of({"a": 1}) != key_of({"a": 2})


def test_a_lock_is_waited_for(tmp_path):
    order, waits = [], []

    def second():
        with locked(tmp_path / "x.lock", lambda: waits.append(1)):
            order.append("second")

    with locked(tmp_path / "x.lock", lambda: None):
        thread = threading.Thread(target=second)
        thread.start()
        while not waits:  # it has tried, and told that it waits
            time.sleep(0.01)
        order.append("first")
    thread.join()
    # one after the other
    assert order == ["first", "second"]


def test_a_manifest_is_believed_while_the_sizes_are_right(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    write_synced(tmp_path / "manifest.json", '{"files": {"a": 5}}')
    assert read_manifest(tmp_path) == {"files": {"a": 5}}
    (tmp_path / "a").write_bytes(b"1234")
    # cut off by a full disk, say
    assert read_manifest(tmp_path) is None
    (tmp_path / "a").unlink()
    # or lost
    assert read_manifest(tmp_path) is None


def test_half_a_manifest_is_none(tmp_path):
    # not there at all
    assert read_manifest(tmp_path) is None
    (tmp_path / "manifest.json").write_text('{"files": {')
    # or not to be read
    assert read_manifest(tmp_path) is None
