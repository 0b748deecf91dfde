"""Every kind of task by the real command line: draft, check, train, measure, answer, report."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.corpora import write, write_jsonl
from tests.meta.source_tree import ROOT
from tests.typed import typed
from wellfit.store import read_run

SMALL = [
    "model.depth=1", "model.width=32", "model.context=160", "train.batch=16", "train.threads=1",
    "train.budget=40 steps", "train.compile=false", "evaluate.every=10 steps", "optim.lr=0.02",
    "evaluate.tokens=1000", "tokenizer.kind=byte", "train.precision=fp32",
]  # fmt: skip
COLOURS = "red blue green black white".split()
THINGS = "cat dog bird tree house boat car hat".split()


def pairs(n: int) -> list[tuple[str, str]]:
    """Different short phrases, each with its colour."""
    made = []
    for i in range(n):
        colour = COLOURS[i * 7 % 5]
        made.append((f"{colour} {THINGS[i % 8]} {THINGS[i // 8 % 8]} {i}", colour))
    return made


def complete_file(folder: Path) -> Path:
    rows = ({"question": text, "answer": f"it is {c}"} for text, c in pairs(400))
    return write_jsonl(folder / "asked.jsonl", *rows)


def chat_file(folder: Path) -> Path:
    rows = [{"instruction": text, "input": "", "output": f"it is {c}"} for text, c in pairs(400)]
    return write(folder / "talk.json", json.dumps(rows))


def classify_file(folder: Path) -> Path:
    lines = [f"{colour} {text}\n" for text, colour in pairs(600)]
    write(folder / "dev.txt", "".join(lines[500:550]))
    write(folder / "test.txt", "".join(lines[550:]))
    return write(folder / "train.txt", "".join(lines[:500]))


def regress_file(folder: Path) -> Path:
    lines = ["id,split,score,text"]
    for i, (text, colour) in enumerate(pairs(600)):
        split = "train" if i < 450 else "dev" if i < 525 else "test"
        lines.append(f"{i},{split},{COLOURS.index(colour)}.5,{text}")
    return write(folder / "scores.csv", "\n".join(lines) + "\n")


def several_file(folder: Path) -> Path:
    given = enumerate(itertools.product(THINGS * 3, THINGS * 3))
    wanted = {"cat", "boat", "tree"}
    rows = ({"text": f"{a} {b} {i}", "label": sorted({a, b} & wanted)} for i, (a, b) in given)
    return write_jsonl(folder / "several.jsonl", *rows)


FILES: dict[str, Callable[[Path], Path]] = {
    "complete": complete_file, "chat": chat_file, "classify": classify_file,
    "regress": regress_file,
}  # fmt: skip
LOSS_UNITS = {
    "complete": "nats per learned token", "chat": "nats per learned token",
    "classify": "nats per text", "regress": "squared deviations per text",
}  # fmt: skip
METRICS = {
    "complete": "exact_match", "chat": "chrf", "classify": "accuracy", "regress": "pearson",
}  # fmt: skip


@pytest.mark.parametrize("task", FILES)
def test_a_task_goes_from_a_file_to_a_report(task: str, tmp_path: Path) -> None:
    recipe, run, small = tmp_path / "r.yaml", tmp_path / "run", [*SMALL]
    small.append(f"data.cache={tmp_path / 'cache'}")
    drafted = typed("init", recipe, "--data", FILES[task](tmp_path), "--task", task)
    # what was found in the file is enough for a recipe
    assert drafted.code == 0, drafted.err
    found = typed("check", recipe, *small, "--json")
    # that trains, with nothing to complain of but the size
    assert found.code == 0, found.err
    assert [p for p in found.json["problems"] if "too few for an interval" not in p] == []
    assert len(found.json["preview"]) == 3
    # and tells nothing that is not documented
    rows = (ROOT / "docs" / "data.md").read_text().splitlines()
    row = next(row for row in rows if row.startswith("| `examples` |"))
    assert [key for key in found.json["audit"]["examples"] if f"`{key}`" not in row] == []
    done = typed("train", recipe, *small, "--run", run, "--profile")
    # it learns
    assert done.code == 0, done.err
    # its speed counts what its loss is of
    per = LOSS_UNITS[task].partition(" per ")[2]
    assert f"{per.split()[-1]}s_per_s" in found.json and f"{per}s/s" in done.err
    assert f"loss, {LOSS_UNITS[task]}" in done.out
    looks = [e.loss for e in read_run(run).evaluations("val") if e.basis == "fixed blocks"]
    assert looks[-1] < 0.9 * looks[0]
    scored, told = typed("eval", run, "--json").json, typed("eval", run).out
    metric = scored["metrics"][METRICS[task]]
    # its own metric is measured, with interval and count
    low, high = metric["ci95"]
    assert LOSS_UNITS[task] == scored["loss_unit"] and f"loss ({LOSS_UNITS[task]}) " in told
    assert low <= metric["value"] <= high and metric["n"] > 10
    said = typed("sample", run, "red cat dog 1", "--tokens", "8", "--temperature", "0")
    # and it answers
    assert said.code == 0 and said.out.strip(), said.err
    if task in ("classify", "regress"):
        # as its published model does, without the run
        assert typed("sample", run / "model", "red cat dog 1").out == said.out
    report = (run / "report.html").read_text()
    assert task in report
    # what its steps spend their time on is known by name
    calls = {row["kind"]: row["calls"] for row in read_run(run).profile()["kinds"]}
    assert calls["loss"] > 0 and calls.get("other", 0) < 0.005 * sum(calls.values())
    assert "a profiled step takes" in done.err and "Where a step's time goes" in report


@pytest.mark.parametrize(
    ("file", "more"),
    [(classify_file, []), (several_file, ["task.several=true", "data.split.val=30%"])],
)
def test_a_model_that_loses_against_a_linear_one_is_told_so(
    file: Callable[[Path], Path], more: list[str], tmp_path: Path
) -> None:
    pytest.importorskip("sklearn")
    recipe, run = tmp_path / "r.yaml", tmp_path / "run"
    typed("init", recipe, "--data", file(tmp_path), "--task", "classify")
    words = [*SMALL, *more, f"data.cache={tmp_path / 'cache'}", "train.budget=8 steps"]
    done = typed("train", recipe, *words, "evaluate.every=2 steps", "--run", run)
    assert done.code == 0, done.err
    summary = typed("runs", "show", run, "--json").json
    verdict, against = summary["verdict"], summary["outcomes"]["val"]["linear"]["against"]
    # words tell the labels, so that eight steps cannot keep up; by texts of val, in pairs
    assert "Worse than a linear model that trains in seconds" in verdict["claim"]
    assert verdict["evidence"]["above_linear_ci95"] == against["ci95"] and against["ci95"][1] < 0
    assert f"on {summary['val']['n_tokens']} texts of val" in verdict["claim"]
    assert "model.kind: ngrams" in verdict["advice"]
    # said once by card and report
    shown = (" ".join(typed("runs", "show", run).out.split()), (run / "report.html").read_text())
    assert [text.count("Worse than a linear model") for text in shown] == [1, 1]
    # speed is of what it is called
    assert summary["texts_seen"] == 8 * 16 and summary["tokens_seen"] is None
    assert summary["texts_per_s"] > 0 and summary["tokens_per_s"] is None
    assert " texts/s" in shown[0] and "Texts seen" in shown[1] and "texts per second" in shown[1]
    assert not [text for text in (*shown, done.err) if "tokens/s" in text or "okens seen" in text]


def test_metrics_are_measured_at_the_end_also_where_training_goes_without(tmp_path: Path) -> None:
    recipe, run = tmp_path / "r.yaml", tmp_path / "run"
    typed("init", recipe, "--data", classify_file(tmp_path), "--task", "classify")
    words = [*SMALL, f"data.cache={tmp_path / 'cache'}", "evaluate.metrics=false"]
    done = typed("train", recipe, *words, "--run", run)
    assert done.code == 0, done.err
    looks = read_run(run).evaluations("val")
    slid = typed("eval", run, "--split", "test", "--stride", 4)
    # what reads examples has no text to slide over; and a look that was refused is none
    assert (slid.code, "--stride is for plain text" in slid.err) == (2, True)
    assert len(read_run(run).events("looked-at-test")) == 1
    # none on the way, all of them on the whole split
    assert {bool(e.metrics) for e in looks if e.basis == "fixed blocks"} == {False}
    assert [e.metrics["accuracy"]["n"] > 10 for e in looks if e.basis == "full split"] == [True]


def test_several_labels_a_text_are_held_against_the_linear_baseline(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    rows = ({"text": t, "label": [c, "long"] if len(t) > 15 else [c]} for t, c in pairs(300))
    recipe, run = tmp_path / "r.yaml", tmp_path / "run"
    typed("init", recipe, "--data", write_jsonl(tmp_path / "a.jsonl", *rows), "--task", "classify")
    words = [*SMALL, f"data.cache={tmp_path / 'cache'}", "task.several=true"]
    done = typed("train", recipe, *words, "train.budget=4 steps", "--run", run)
    assert done.code == 0, done.err
    seen = read_run(run).facts()["outcomes"]["test"]
    # every label right is what counts, and there is no table of who is taken for whom
    assert seen["linear"]["against"]["metric"] == "subset_accuracy"
    assert "confusion" not in seen and len(seen["worst"]) > 10


def test_what_a_context_loses_is_said_before_and_while_training(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", *({"text": t, "label": c} for t, c in pairs(300)))
    write_jsonl(tmp_path / "long.jsonl", {"text": "red " * 20, "label": "red"})
    recipe, run, where = tmp_path / "r.yaml", tmp_path / "run", f"data.cache={tmp_path / 'cache'}"
    typed("init", recipe, "--data", f"{tmp_path}/*.jsonl", "--task", "classify")
    small = [*SMALL, where, "model.context=30", "train.budget=5 steps"]
    refused = typed("check", recipe, *small, "data.long=error")
    # by the message of the one who would have to stop, naming the ways out
    assert refused.code == 2
    assert "longer than the context of 30" in refused.err and "data.long=drop" in refused.err
    told = typed("check", recipe, *small, "data.long=cut")
    # the one that is too long, by its place
    assert "cut 1 of" in told.out and "long.jsonl:1" in told.out
    done = typed("train", recipe, *small, "data.long=cut", "--run", run)
    # a context that no row length is a multiple of is no hindrance
    assert done.code == 0, done.err
    assert "cut to the context of 30 tokens" in done.err
    (event,) = read_run(run).events("fitted")
    # once, with the numbers
    assert sum(n["cut"] for name, n in event.facts.items() if name != "context") == 1


def test_what_is_not_learned_is_told_apart_without_colour(tmp_path: Path) -> None:
    recipe, where = tmp_path / "r.yaml", f"data.cache={tmp_path / 'cache'}"
    typed("init", recipe, "--data", complete_file(tmp_path), "--task", "complete")
    told = typed("check", recipe, *SMALL, where).out
    # brackets round the prompt, none round the answer and its end
    assert "[[red cat cat 0\n]]it is red<|endoftext|>" in told


def test_classes_that_cannot_be_learned_or_measured_are_problems(tmp_path: Path) -> None:
    rows = [{"text": text, "label": "common"} for text, _ in pairs(300)]
    rows += [{"text": f"rare {i}", "label": "rare"} for i in range(2)]
    write_jsonl(tmp_path / "train.jsonl", *rows)
    write_jsonl(tmp_path / "val.jsonl", *({"text": f"v{i}", "label": "common"} for i in range(20)))
    recipe, where = tmp_path / "r.yaml", f"data.cache={tmp_path / 'cache'}"
    typed("init", recipe, "--data", tmp_path / "train.jsonl", "--task", "classify")
    problems = "\n".join(typed("check", recipe, *SMALL, where, "--json").json["problems"])
    # with the name of the class
    assert "fewer than 5 texts in train ('rare' 2)" in problems
    assert "val has no text of 'rare'" in problems


@pytest.mark.parametrize(
    ("task", "path", "more"),
    [
        ("complete", "gsm8k/train.jsonl", ()),
        ("regress", "emobank/emobank.csv", ()),
        ("chat", "sft_demo/alpaca_en_demo.json", ()),
        ("classify", "sst2/train.txt", ("--encoding", "latin-1")),
        ("classify", "trec", ("--encoding", "latin-1")),
    ],
)
def test_published_data_needs_no_hand_to_be_checked(
    task: str, path: str, more: tuple[str, ...], shared_data: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "r.yaml"
    drafted = typed("init", recipe, "--data", shared_data / path, "--task", task, *more)
    assert drafted.code == 0, drafted.err
    drafted_or_auto = ("model.context", "tokenizer", "evaluate.tokens")
    small = [word for word in SMALL if not word.startswith(drafted_or_auto)]
    found = typed("check", recipe, *small, f"data.cache={tmp_path / 'cache'}", "--json")
    # and nothing is wrong with it
    assert found.code == 0, found.err
    assert found.json["problems"] == []
