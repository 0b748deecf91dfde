"""Preparing data is killed, at any moment and by the dozen, and nothing is lost or changed."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.corpora import write_jsonl

# Arguments: corpus, cache, at which fsync to die (0: never), how large a file may grow (-1: any
# size), whether near copies are sought.  Stretches are short so that there are many lines in the
# journal to resume from, and notes.
CHILD = """
import os, resource, signal, sys
from pathlib import Path
from wellfit import config
from wellfit.data import documents, encode, near, prepare

corpus, cache, dies_at = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
encode._STRETCH_CHARS = 1 << 15
encode._BATCH_CHARS = 1 << 13
documents._NOTED_EVERY_S, near._BATCH_CHARS, near._BATCHES = 0.0, 1 << 12, 4
real, calls = os.fsync, 0

def fsync(handle):
    global calls
    calls += 1
    if calls == dies_at:
        os.kill(os.getpid(), signal.SIGKILL)
    real(handle)

os.fsync = fsync
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]), resource.RLIM_INFINITY))
split = {"kind": "hash", "val": 0.2, "test": 0.1}
sought = {"words": 2} if int(sys.argv[5]) else None
data = config.Data(path=corpus, split=split, near_duplicates=sought)
print("begin", flush=True)
made = prepare(data, config.BpeTokenizer(vocab=600), cache=cache)
print(made.fingerprint, calls, flush=True)
"""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """About 600 kB in 3000 documents, some of them long, some copies of others."""
    chance = random.Random(1)
    words = [
        "".join(chance.choices("abcdefghij\u00e9\n", k=chance.randint(2, 9))) for _ in range(900)
    ]
    texts = [" ".join(chance.choices(words, k=chance.randint(1, 60))) for _ in range(2900)]
    texts += [" ".join(chance.choices(words, k=20_000)), *texts[:99]]
    return write_jsonl(tmp_path_factory.mktemp("corpus") / "a.jsonl", *({"text": t} for t in texts))


def start(corpus, cache, *, dies_at=0, limit_bytes=-1, seeks=False):
    """A child that has come as far as preparing."""
    arguments = [str(corpus), str(cache), str(dies_at), str(limit_bytes), str(int(seeks))]
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if limit_bytes > 0 else None,
        text=True,
        env=os.environ | {"RAYON_NUM_THREADS": "2"},
    )
    assert child.stdout.readline() == "begin\n"
    return child


def finish(corpus, cache, *, seeks=False):
    """Prepare to the end: the fingerprint, and how often the disk was waited for."""
    child = start(corpus, cache, seeks=seeks)
    out, _ = child.communicate()
    assert child.returncode == 0
    fingerprint, calls = out.split()
    return fingerprint, int(calls)


def contents(cache):
    """The fingerprint of every file of every finished folder, and whatever lies about."""
    return {
        path.relative_to(cache).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in Path(cache).rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def undisturbed(corpus, tmp_path_factory):
    cache = tmp_path_factory.mktemp("undisturbed")
    began_s = time.monotonic()
    fingerprint, calls = finish(corpus, cache)
    return {
        "files": contents(cache),
        "fingerprint": fingerprint,
        "fsyncs": calls,
        "span_s": time.monotonic() - began_s,
    }


def check_same(cache, undisturbed):
    # every file is there, byte for byte, and nothing else is
    assert contents(cache) == undisturbed["files"]


def test_a_kill_at_any_wait_for_the_disk_changes_nothing(corpus, tmp_path, undisturbed):
    total = undisturbed["fsyncs"]
    # the tokenizer, a good many commits, and the manifest
    assert total > 100
    for dies_at in (1, 2, total // 4, total // 2, total * 3 // 4, total - 2, total - 1, total):
        cache = tmp_path / str(dies_at)
        child = start(corpus, cache, dies_at=dies_at)
        # it died as planned
        assert child.wait() == -9
        child.stdout.close()
        # whoever comes next gets the same data
        assert finish(corpus, cache)[0] == undisturbed["fingerprint"]
        check_same(cache, undisturbed)


def test_what_was_done_before_a_kill_is_not_done_again(corpus, tmp_path, undisturbed):
    child = start(corpus, tmp_path, dies_at=undisturbed["fsyncs"] * 3 // 4)
    assert child.wait() == -9
    child.stdout.close()
    journal = next(tmp_path.glob("*.partial/journal.jsonl")).read_text().splitlines()
    vouched = [json.loads(line)["position"] for line in journal]
    # it had come far
    assert len(vouched) > 5 and vouched == sorted(vouched)
    # and the second process waited for the disk only for what was left
    assert finish(corpus, tmp_path)[1] < undisturbed["fsyncs"] / 2
    check_same(tmp_path, undisturbed)


@pytest.mark.parametrize("seed", range(3))
def test_kills_at_random_moments_one_after_the_other_change_nothing(
    corpus, tmp_path, undisturbed, seed
):
    chance = random.Random(seed)
    for _ in range(4):
        child = start(corpus, tmp_path)
        time.sleep(chance.uniform(0, undisturbed["span_s"]))
        child.kill()
        child.wait()
        child.stdout.close()
    # five processes, one result
    assert finish(corpus, tmp_path)[0] == undisturbed["fingerprint"]
    check_same(tmp_path, undisturbed)


def test_a_full_disk_is_told_and_gone_on_from(corpus, tmp_path, undisturbed):
    # no file may grow beyond 200 kB: the tokens of train are cut short in the middle of a write
    child = start(corpus, tmp_path, limit_bytes=200_000)
    _, said = child.communicate()
    assert child.returncode == 1
    # what happened, and where there may be room
    assert "DataError: prepared data cannot be written" in said and "data.cache=FOLDER" in said
    # with room, what was done is gone on from
    assert finish(corpus, tmp_path)[1] < undisturbed["fsyncs"]
    check_same(tmp_path, undisturbed)


def test_two_at_once_make_one_result(corpus, tmp_path, undisturbed):
    children = [start(corpus, tmp_path) for _ in range(2)]
    prints = [child.communicate()[0].split() for child in children]
    # both get the same data
    assert [p[0] for p in prints] == [undisturbed["fingerprint"]] * 2
    # one has done the work and the other has waited for it
    assert sorted(int(p[1]) for p in prints) == [0, undisturbed["fsyncs"]]
    check_same(tmp_path, undisturbed)


def test_one_takes_over_when_the_one_it_waits_for_is_killed(corpus, tmp_path, undisturbed):
    first = start(corpus, tmp_path, dies_at=undisturbed["fsyncs"] // 2)
    second = start(corpus, tmp_path)
    out, _ = second.communicate()
    # the lock died with its holder
    assert first.wait() == -9
    first.stdout.close()
    assert out.split()[0] == undisturbed["fingerprint"]
    check_same(tmp_path, undisturbed)


def test_kills_while_reading_and_comparing_change_nothing(corpus, tmp_path):
    lines = corpus.read_text().splitlines(keepends=True)
    for number in range(12):
        part = tmp_path / f"parts/{number:02d}.jsonl"
        part.parent.mkdir(exist_ok=True)
        part.write_text("".join(lines[number * 250 : (number + 1) * 250]))
    fingerprint, total = finish(tmp_path / "parts", tmp_path / "whole", seeks=True)
    expected = contents(tmp_path / "whole")
    # a note for each file, another for each four batches of sketches, then what comes after
    assert total > 150
    for dies_at in (2, 20, 37, 44, 60, 90, 120):
        cache = tmp_path / str(dies_at)
        child = start(tmp_path / "parts", cache, dies_at=dies_at, seeks=True)
        assert child.wait() == -9
        child.stdout.close()
        again, calls = finish(tmp_path / "parts", cache, seeks=True)
        # the same files, and what was done is not done again: less the note it died at, three waits
        assert (again, contents(cache)) == (fingerprint, expected)
        assert calls <= total - dies_at + 8, dies_at
