"""Examples of real corpora, against what Python's own readers make of the files."""

from __future__ import annotations

import csv
import gzip
import json
from collections import Counter

import numpy as np
import pytest

from tests.corpora import examples, learned, spelled
from wellfit import config
from wellfit.errors import DataError

END = "<|endoftext|>"


def files(folder, val, test=None):
    named = {"val": str(folder / val)} | ({"test": str(folder / test)} if test else {})
    return {"kind": "files", **named}


def latin1(path):
    return path.read_text(encoding="latin-1").splitlines()


def test_trec_by_a_pattern(shared_data, tmp_path):
    folder = shared_data / "trec"
    pattern = r"(?P<label>[A-Z]+):(?P<fine>\S+) (?P<text>.*)"
    fields = {"encoding": "latin-1", "pattern": pattern, "split": files(folder, "test.txt")}
    made = examples(folder / "train.txt", tmp_path, config.Classify(), duplicates="keep", **fields)
    lines = {"train": latin1(folder / "train.txt"), "val": latin1(folder / "test.txt")}
    assert made.labels.names == ("ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM")
    for name, found in lines.items():
        # 5,452 and 500 questions, each with its own label
        texts, labels = spelled(made, name), made.splits[name].labels[:, 0].astype(int)
        again = [
            f"{made.labels.names[label]} {text}" for label, text in zip(labels, texts, strict=True)
        ]
        assert again == [
            line.partition(":")[0] + " " + line.partition(" ")[2] + END for line in found
        ]
        counts = Counter(line.partition(":")[0] for line in found)
        assert made.audit["examples"]["labels"][name] == dict(sorted(counts.items()))


def test_trec_as_utf8_is_refused(shared_data, tmp_path):
    pattern = r"(?P<label>[A-Z]+):(?P<fine>\S+) (?P<text>.*)"
    with pytest.raises(DataError, match=r"train.txt:\d+: byte 0x.. at offset .*latin-1"):
        examples(shared_data / "trec" / "train.txt", tmp_path, config.Classify(), pattern=pattern)


def test_sst2_by_a_pattern(shared_data, tmp_path):
    folder = shared_data / "sst2"
    made = examples(
        folder / "train.txt",
        tmp_path,
        config.Classify(),
        encoding="latin-1",
        pattern=r"(?P<label>\d) (?P<text>.*)",
        split=files(folder, "dev.txt", "test.txt"),
        duplicates="keep",
    )
    # 6,920 / 872 / 1,821
    assert [split.n_documents for split in made.splits.values()] == [6920, 872, 1821]
    for name, file in (("train", "train.txt"), ("val", "dev.txt"), ("test", "test.txt")):
        ones = sum(line[0] == "1" for line in latin1(folder / file))
        assert made.splits[name].labels.sum() == ones


def test_emobank_as_three_numbers(shared_data, tmp_path):
    path = shared_data / "emobank" / "emobank.csv"
    split = {"kind": "column", "column": "split", "val": "dev", "test": "test"}
    task = config.Regress(targets=("V", "A", "D"))
    made = examples(path, tmp_path, task, split=split, duplicates="keep")
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["text"].strip()]
    for name, value in (("train", "train"), ("val", "dev"), ("test", "test")):
        wanted = np.array([[row[t] for t in "VAD"] for row in rows if row["split"] == value])
        assert np.array_equal(made.splits[name].labels, wanted.astype(np.float32))
    wanted = np.array([[float(row[t]) for t in "VAD"] for row in rows if row["split"] == "train"])
    assert np.allclose(made.labels.means, wanted.mean(axis=0))
    assert np.allclose(made.labels.deviations, wanted.std(axis=0))


def test_stsb_pairs_by_number(shared_data, tmp_path):
    folder = shared_data / "stsb"
    made = examples(
        folder / "sts-train.csv",
        tmp_path,
        config.Regress(targets="5"),
        format="tsv",
        text="{6}\n{7}",
        split=files(folder, "sts-dev.csv", "sts-test.csv"),
        duplicates="keep",
    )
    # 5,749 / 1,500 / 1,379
    assert [split.n_documents for split in made.splits.values()] == [5749, 1500, 1379]
    rows = [line.split("\t") for line in (folder / "sts-dev.csv").read_text().splitlines()]
    assert spelled(made, "val") == [f"{row[5]}\n{row[6]}{END}" for row in rows]
    wanted = np.array([[row[4]] for row in rows], dtype=np.float32)
    assert np.array_equal(made.splits["val"].labels, wanted)


def test_gsm8k_as_questions_and_answers(shared_data, tmp_path):
    folder = shared_data / "gsm8k"
    task = config.Complete(prompt="{question}\n", completion="answer")
    made = examples(folder / "train.jsonl", tmp_path, task, split=files(folder, "test.jsonl"))
    records = [json.loads(line) for line in (folder / "test.jsonl").read_text().splitlines()]
    # 7,473 / 1,319
    assert [split.n_documents for split in made.splits.values()] == [7473, 1319]
    assert learned(made, "val") == [
        [(f"{r['question']}\n", False), (f"{r['answer']}{END}", True)] for r in records
    ]
    # so are the bytes that count
    answers = sum(len(r["answer"].encode()) for r in records)
    split = made.splits["val"]
    assert made.tokenizer.token_bytes[split.tokens[split.learned]].sum() == answers


def test_multi30k_line_by_line(shared_data, tmp_path):
    folder = shared_data / "multi30k"

    def sides(name):
        return {side: str(folder / f"{name}.{side}.gz") for side in ("en", "de")}

    task = config.Complete(prompt="{en}\n", completion="de")
    split = {"kind": "files", "val": sides("val"), "test": sides("test_2016_flickr")}
    made = examples(sides("train"), tmp_path, task, split=split, duplicates="keep")
    # 29,000 / 1,014 / 1,000
    assert [split.n_documents for split in made.splits.values()] == [29000, 1014, 1000]
    lines = {
        side: gzip.open(path, "rt", encoding="utf-8").read().splitlines()
        for side, path in sides("test_2016_flickr").items()
    }
    found = learned(made, "test")
    assert found == [
        [(f"{en}\n", False), (f"{de}{END}", True)]
        for en, de in zip(lines["en"], lines["de"], strict=True)
    ]


@pytest.mark.parametrize(
    ("name", "form", "n"),
    [
        ("alpaca_en_demo", "Alpaca", 999),
        ("identity", "Alpaca", 91),
        ("glaive_toolcall_en_demo", "ShareGPT", 300),
    ],
)
def test_published_conversations_are_detected(shared_data, tmp_path, name, form, n):
    path = shared_data / "sft_demo" / f"{name}.json"
    made = examples(path, tmp_path, config.Chat(), duplicates="keep")
    audit = made.audit["examples"]
    assert audit["forms"] == {form: n}
    assert sum(split.n_documents for split in made.splits.values()) == n
    # every answer is learned, and nothing that is asked
    said = Counter(
        text.removesuffix(END).removesuffix("<|im_end|>\n")
        for split in made.splits
        for runs in learned(made, split)
        for text, flag in runs
        if flag
    )
    records = json.loads(path.read_text(encoding="utf-8"))
    if form == "Alpaca":
        assert said == Counter(record["output"] for record in records)
        return
    turns = [turn for record in records for turn in record["conversations"]]
    plain = Counter(turn["value"] for turn in turns if turn["from"] == "gpt")
    calls = sum(turn["from"] == "function_call" for turn in turns)
    # calls of tools among them
    assert said & plain == plain and (said - plain).total() == calls
    assert all(text.startswith("<tool_call>{") for text in said - plain)


@pytest.mark.parametrize("name", ["kto_en_demo", "dpo_en_demo"])
def test_preferences_are_no_conversations_to_learn(shared_data, tmp_path, name):
    path = shared_data / "sft_demo" / f"{name}.json"
    with pytest.raises(DataError, match=r"json: record 1: .* chat learns every answer"):
        examples(path, tmp_path, config.Chat())


def test_gsm8k_as_a_conversation(shared_data, tmp_path):
    folder = shared_data / "gsm8k"
    path = tmp_path / "gsm8k.jsonl"
    records = [json.loads(line) for line in (folder / "test.jsonl").read_text().splitlines()]
    talks = [
        [{"role": "user", "content": r["question"]}, {"role": "assistant", "content": r["answer"]}]
        for r in records
    ]
    path.write_text("".join(json.dumps({"messages": talk}) + "\n" for talk in talks))
    bpe = config.BpeTokenizer(vocab=1000)
    made = examples(path, tmp_path, config.Chat(), bpe, split={"kind": "tail", "val": 0.5})
    found = [runs for name in ("train", "val") for runs in learned(made, name)]
    assert [runs[1][0] for runs in found] == [f"{r['answer']}<|im_end|>" for r in records]
