"""Token files that survive a kill."""

from __future__ import annotations

import numpy as np

from wellfit.data.shards import Shards, Totals, plain_files, split_file

DTYPE = np.dtype(np.uint16)
FILES = plain_files(DTYPE)


def append(shards, ids, starts, text):
    arrays = {"tokens": np.array(ids, dtype=DTYPE), "starts": np.array(starts, dtype=np.int64)}
    shards.append("train", text, arrays)


def on_disk(folder):
    tokens = np.fromfile(split_file(folder, "train", "tokens"), dtype=DTYPE).tolist()
    return tokens, np.fromfile(split_file(folder, "train", "starts"), dtype="<i8").tolist()


def test_what_is_committed_is_gone_on_from(tmp_path):
    with Shards(tmp_path, ["train"], FILES) as shards:
        append(shards, [1, 2, 3], [0, 2], "ab\u00e9")
        shards.commit(3)
    with Shards(tmp_path, ["train"], FILES) as shards:
        # the place in the text, the counts and the characters are those of before
        assert (shards.position, shards.totals()) == (3, {"train": Totals(3, 2, 4)})
        assert shards.characters() == {"train": "ab\u00e9"}
        append(shards, [4, 5], [1], "cd")
        shards.commit(5)
    # document starts count from the beginning of the stream
    assert on_disk(tmp_path) == ([1, 2, 3, 4, 5], [0, 2, 4])


def test_what_is_not_committed_is_cut_off(tmp_path):
    with Shards(tmp_path, ["train"], FILES) as shards:
        append(shards, [1, 2, 3], [0], "abc")
        shards.commit(3)
        append(shards, [9, 9], [0], "z")  # as far as a killed process came
    with Shards(tmp_path, ["train"], FILES) as shards:
        # nobody vouches for the rest
        assert shards.characters() == {"train": "abc"}
        append(shards, [4], [], "d")
        shards.commit(4)
    assert on_disk(tmp_path) == ([1, 2, 3, 4], [0])


def test_a_line_of_the_journal_that_was_cut_off_does_not_count(tmp_path):
    with Shards(tmp_path, ["train"], FILES) as shards:
        append(shards, [1], [0], "a")
        shards.commit(1)
        append(shards, [2], [], "b")
        shards.commit(2)
    journal = tmp_path / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-5])
    with Shards(tmp_path, ["train"], FILES) as shards:
        # the line before it does
        assert shards.position == 1
        shards.commit(1)
    assert on_disk(tmp_path) == ([1], [0])
    # and the torn one is not in the way of those that follow
    with Shards(tmp_path, ["train"], FILES) as shards:
        assert shards.position == 1
