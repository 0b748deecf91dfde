"""Corpora much larger than the memory that preparing them may take."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Argument: corpus, cache, recipe, bytes allowed beyond what importing takes.  RLIMIT_DATA counts
# all memory of the process's own, and not the files it maps, which the system takes back at will.
CHILD = """
import json, resource, sys
from pathlib import Path
from wellfit import config
from wellfit.data import StreamFeed, prepare

corpus, cache, recipe, allowed = sys.argv[1:]
recipe = json.loads(recipe)
tokenizer = {"char": config.CharTokenizer(), "byte": config.ByteTokenizer()}[recipe.pop("kind")]
data = config.Data(path=corpus, **recipe)
status = Path("/proc/self/status").read_text()
now = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmData"))
limit = now * 1024 + int(allowed)
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
made = prepare(data, tokenizer, cache=Path(cache))
StreamFeed(made.splits["train"], context=256).step(10**6, batch=64, seed=1)
print(sum(split.n_bytes for split in made.splits.values()))
"""
WORDS = "It was the best of times, it was the worst of times; number {} of them. "


def run(path, cache, recipe, allowed_bytes):
    command = [sys.executable, "-c", CHILD, str(path), str(cache), recipe, str(allowed_bytes)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def write_large(path, n_bytes, line):
    """Numbered copies of a line; the size."""
    block, size = "".join(line.replace("{}", str(i)) for i in range(2000)), 0
    with path.open("w") as file:
        while size < n_bytes:
            size += file.write(block.replace("It was", f"It {size} was"))
    return size


def check_prepared(path, recipe, n_bytes, allowed_bytes):
    done = run(path, path.parent / "cache", recipe, allowed_bytes)
    # it neither ran out of memory nor left anything out
    assert (done.returncode, done.stdout.strip()) == (0, str(n_bytes)), done.stderr[-1000:]


@pytest.mark.parametrize("size", [80_000_000, pytest.param(1_000_000_000, marks=pytest.mark.slow)])
def test_a_single_line_larger_than_memory_is_prepared(tmp_path, size):
    n_bytes = write_large(tmp_path / "a.txt", size, WORDS)
    # the whole corpus is one line of one document
    recipe = '{"kind": "char", "split": {"kind": "tail", "val": 0.1}}'
    check_prepared(tmp_path / "a.txt", recipe, n_bytes, 50_000_000)


@pytest.mark.parametrize("size", [60_000_000, pytest.param(400_000_000, marks=pytest.mark.slow)])
def test_many_documents_larger_than_memory_are_prepared(tmp_path, size):
    n_bytes = write_large(tmp_path / "a.txt", size, WORDS * 3 + "\n\n")
    with (tmp_path / "a.txt").open("rb") as file:
        n_newlines = sum(chunk.count(b"\n") for chunk in file)
    recipe = '{"kind": "byte", "document": "paragraph", "duplicates": "keep"}'
    check_prepared(tmp_path / "a.txt", recipe, n_bytes - n_newlines, 50_000_000)


def test_a_record_larger_than_memory_is_an_error_and_not_the_end(tmp_path):
    write_large(tmp_path / "a.jsonl", 80_000_000, WORDS)
    recipe = '{"kind": "byte", "max_line": "1 MB"}'
    done = run(tmp_path / "a.jsonl", tmp_path / "cache", recipe, 20_000_000)
    # it is told as what it is, from far less memory than it would take
    assert "a.jsonl:1: the record is longer than data.max_line=1 MB" in done.stderr
