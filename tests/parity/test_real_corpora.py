"""Real corpora, against the counts that their README and publishers state."""

from __future__ import annotations

import gzip
import time

import numpy as np
import pytest

from tests.corpora import prepared, spelled
from wellfit import config
from wellfit.errors import DataError


def documents(made):
    return {name: split.n_documents for name, split in made.splits.items()}


def test_latin1_questions_are_refused_to_the_byte(shared_data, tmp_path):
    path = shared_data / "trec" / "train.txt"
    raw = path.read_bytes()
    bad = next(i for i, byte in enumerate(raw) if byte >= 0x80)
    line = raw.count(b"\n", 0, bad) + 1
    # where Python itself meets the first byte above ASCII, and what to write
    with pytest.raises(
        DataError, match=rf"train.txt:{line}: byte 0x{raw[bad]:02x} at offset {bad:,} .*latin-1"
    ):
        prepared(shared_data / "trec", tmp_path, document="line")


def test_latin1_questions_are_read_when_named(shared_data, tmp_path):
    split = {"kind": "files", "val": str(shared_data / "trec" / "test.txt")}
    made = prepared(
        shared_data / "trec",
        tmp_path,
        encoding="latin-1",
        document="line",
        split=split,
        duplicates="keep",
    )
    # 5,452 and 500 questions
    assert documents(made) == {"train": 5452, "val": 500}


def test_emobank_is_split_by_its_column(shared_data, tmp_path):
    split = {"kind": "column", "column": "split", "val": "dev", "test": "test"}
    path = shared_data / "emobank" / "emobank.csv"
    made = prepared(path, tmp_path, split=split, duplicates="keep")
    empty = made.audit["skipped"]["empty"]
    # 8,062, 1,000 and 1,000 sentences
    assert sum(documents(made).values()) + empty == 8062 + 1000 + 1000
    assert documents(made)["val"] <= 1000 and documents(made)["test"] <= 1000


def test_pairs_without_a_header_are_read_by_number(shared_data, tmp_path):
    path = shared_data / "stsb" / "sts-train.csv"
    made = prepared(path, tmp_path, format="tsv", text="6", duplicates="keep")
    rows = path.read_text(encoding="utf-8").splitlines()
    # 5,749 pairs; the sixth column is the first sentence
    assert sum(documents(made).values()) == len(rows) == 5749
    end = made.tokenizer.decode([made.tokenizer.eos_id])
    assert spelled(made, "train")[0].removesuffix(end) in {row.split("\t")[5] for row in rows}


def test_wikitext_has_the_words_that_papers_count(shared_data, tmp_path):
    folder = shared_data / "wikitext2"
    split = {"kind": "files", "val": f"{folder}/valid.txt.gz", "test": f"{folder}/test.txt.gz"}
    made = prepared(folder, tmp_path, split=split)
    text = "".join(spelled(made, "val"))
    # 217,646 words, the end of each line counted as one
    assert len(text.split()) + text.count("\n") == 217_646
    # each split is one stream: no end of text
    assert made.tokenizer.eos_id is None


def test_code_in_json_lines_is_read_whole(shared_data, tmp_path):
    made = prepared(shared_data / "code", tmp_path)
    lines = 0
    for path in (shared_data / "code").iterdir():
        with gzip.open(path) as file:
            lines += sum(1 for _ in file)
    # every record is a document, or empty
    assert sum(documents(made).values()) + made.audit["skipped"]["empty"] == lines


def test_novels_of_windows_read_like_any_others(shared_data, tmp_path):
    path = shared_data / "novels" / "Doyle_Hound_1902.txt.gz"
    made = prepared(path, tmp_path, split={"kind": "tail", "val": 0.1})
    text = "".join(spelled(made, "train"))
    with gzip.open(path, "rt", encoding="utf-8-sig") as file:
        # no byte order mark and no carriage returns, as in Python's own text mode
        assert file.read().startswith(text)


def test_tiny_shakespeare_is_prepared_in_no_time(shared_data, tmp_path):
    path = shared_data / "tinyshakespeare" / "input.txt"
    began_s = time.perf_counter()
    made = prepared(path, tmp_path, config.CharTokenizer(), split={"kind": "tail", "val": 0.1})
    # 0.14 s on two cores; the bound leaves room for busy neighbours
    assert time.perf_counter() - began_s < 2
    assert np.asarray(made.splits["train"].tokens).max() == 64
