"""The measurements of data, at a size of seconds."""

from __future__ import annotations

import pytest

from bench import data

pytest.importorskip("rensa")


@pytest.mark.slow
def test_every_part_of_the_measurements_of_data_still_runs():
    rows = data.main(["--smoke"])
    # each part of the table has its rows, with figures
    assert {row.name.partition(",")[0].partition(":")[0] for row in rows} >= {
        "texts of 500 kB", "records of 2 kB", "jsonl", "csv", "byte", "bpe",
        "near copies planted and found",
    }  # fmt: skip
    assert all(row.ours.mid > 0 and row.ratio > 0 for row in rows)
    # near copies are found at any size; of the rest, only speed hangs on it
    assert next(row for row in rows if "F1" in row.name).met


def test_a_part_of_the_text_is_changed_each_time_it_comes_again():
    text = data.some_text(None, 3_000_000)
    half = len(text) // 2
    first, second = set(text[:half].split()), set(text[half:].split())
    # so that no cache of words sees only what it knows
    assert 0.05 < len(second - first) / len(second) < 0.6
    # and the size is the one asked for
    assert len(text.encode()) == 3_000_000


def test_planted_copies_are_judged_by_what_stays():
    texts = [" ".join(f"{c}{i}" for i in range(50)) for c in "abcd"]
    near = texts[0] + " end"
    # all right; one missed; one too many
    assert data.found_f1([*texts, near], texts) == 1.0
    assert data.found_f1([*texts, near], [*texts, near]) == 0.0
    assert data.found_f1([*texts, near], texts[:3]) == pytest.approx(2 / 3)
