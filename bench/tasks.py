"""Every task, from random weights, against what a user would pick instead.

    python -m bench.tasks --data DIR [--only trec,sst2] [--seeds 3] [--minutes 15,30,60] [--write]

``DIR`` holds the folders trec, sst2, emobank, multi30k and gsm8k with their published files.  Each
recipe of examples/ is trained by the real command, once for each seed; the published test split is
measured once by each run; the translation is trained anew for each number of ``--minutes``.
``--write`` puts the table into docs/benchmarks.md, misses included.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.timing import write_table
from wellfit.plan import this_machine

ROOT = Path(__file__).resolve().parent.parent


class Row(NamedTuple):
    """One metric of one task, over seeds, beside its bar."""

    task: str
    metric: str
    values: list[float]
    bar: float
    linear: float | None  # the linear baseline's, on the same texts
    minutes: float  # of training, the longest of the seeds

    def text(self) -> str:
        """As a line of a Markdown table."""
        mean = statistics.fmean(self.values)
        spread = statistics.stdev(self.values) if len(self.values) > 1 else 0.0
        digits = 1 if self.metric in ("bleu", "chrf") else 3
        verdict = "met" if mean >= self.bar else f"missed by {self.bar - mean:.{digits}f}"
        linear = "" if self.linear is None else f"{self.linear:.{digits}f}"
        return (
            f"| {self.task} | {self.metric} | {mean:.{digits}f} | {spread:.{digits + 1}f} | "
            f"{len(self.values)} | {linear} | {self.bar} | {verdict} | {self.minutes:.1f} |"
        )


class Case(NamedTuple):
    """A recipe of examples/, where its data lie, and the bars of its metrics."""

    recipe: str
    keys: Callable[[Path], dict[str, str]]
    bars: dict[str, float]


def _trec(data: Path) -> dict[str, str]:
    return {"data.path": f"{data}/trec/train.txt", "data.split.test_files": f"{data}/trec/test.txt"}


def _sst2(data: Path) -> dict[str, str]:
    names = {"path": "train", "split.val": "dev", "split.test": "test"}
    return {f"data.{key}": f"{data}/sst2/{name}.txt" for key, name in names.items()}


def _multi30k(data: Path) -> dict[str, str]:
    names = {"path": "train", "split.val": "val", "split.test": "test_2016_flickr"}
    return {
        f"data.{key}.{language}": f"{data}/multi30k/{name}.{language}.gz"
        for key, name in names.items()
        for language in ("en", "de")
    }


CASES = {
    "trec": Case("trec.yaml", _trec, {"accuracy": 0.908, "f1_macro": 0.903}),
    "sst2": Case("sst2.yaml", _sst2, {"accuracy": 0.813}),
    "emobank": Case(
        "emobank.yaml",
        lambda data: {"data.path": f"{data}/emobank/emobank.csv"},
        {"pearson": 0.508},
    ),
    "multi30k en-de": Case("translate.yaml", _multi30k, {"bleu": 30.0}),
}


def train(recipe: Path, keys: dict[str, str], run: Path) -> dict[str, Any]:
    """Train by the real command; the run's summary.  Raises ``SystemExit`` when it fails."""
    words = [f"{key}={value}" for key, value in keys.items()]
    command = [sys.executable, "-m", "wellfit", "train", str(recipe), *words]
    done = subprocess.run(
        [*command, "--run", str(run), "--json"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def measure(case: Case, name: str, out: Path, keys: dict[str, str], *, seeds: int) -> list[Row]:
    """One task over its seeds."""
    found = []
    for seed in range(1, seeds + 1):
        run = out / f"{name.replace(' ', '-')}-{seed}"
        summary = train(ROOT / "examples" / case.recipe, {**keys, "train.seed": str(seed)}, run)
        found.append(summary)
        metrics = summary["test"]["metrics"]
        print(name, seed, {m: round(metrics[m]["value"], 4) for m in case.bars}, flush=True)
    rows = []
    for metric, bar in case.bars.items():
        linear = found[0]["outcomes"]["test"].get("linear", {}).get("metrics", {}).get(metric)
        rows.append(
            Row(
                name,
                metric,
                [summary["test"]["metrics"][metric]["value"] for summary in found],
                bar,
                linear and linear["value"],
                max(summary["elapsed_s"] for summary in found) / 60,
            )
        )
    return rows


def tuned(data: Path, out: Path) -> list[str]:
    """Fine-tuning on gsm8k as chat: 200 steps of all weights, and of LoRA, on our own model."""
    for name in ("train", "test"):
        lines = (data / "gsm8k" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        with (out / f"{name}.jsonl").open("w", encoding="utf-8") as file:
            for line in lines:
                turn = json.loads(line)
                said = [("user", turn["question"]), ("assistant", turn["answer"])]
                messages = [{"role": role, "content": content} for role, content in said]
                file.write(json.dumps({"messages": messages}) + "\n")
    chat = {"task.kind": "chat", "data.path": str(out / "train.jsonl")}
    base = {
        **chat,
        "task.learn": "all",
        "tokenizer.vocab": "4096",
        "model.family": "llama",
        "model.depth": "4",
        "model.width": "192",
        "model.context": "512",
        "train.budget": "400 steps",
        "data.long": "cut",
    }
    recipe = out / "gsm8k.yaml"
    recipe.write_text("data: {path: train.jsonl}\ntrain: {budget: 200 steps}\n", encoding="utf-8")
    train(recipe, base, out / "base")
    rows = []
    for name, more in {
        "all weights": {"optim": "{kind: adamw, lr: 3e-4}"},
        "LoRA": {"model.lora": "{rank: 16, alpha: 32}", "optim": "{kind: adamw, lr: 2e-3}"},
    }.items():
        model = {"model": f"{{kind: pretrained, path: {out / 'base' / 'model'}, context: 512}}"}
        keys = {**chat, **model, **more, "train.budget": "200 steps", "data.long": "cut"}
        run = out / name.replace(" ", "-")
        summary = train(recipe, {**keys, "evaluate.every": "50 steps"}, run)
        before, after = _losses(run)
        verdict = "met" if after < before else "missed"
        peft = "" if name != "LoRA" else f", adapter read by peft: {_read_by_peft(run)}"
        rows.append(
            f"| gsm8k chat, {name} | val loss before, after 200 steps | {before:.3f}, {after:.3f} "
            f"| {summary['elapsed_s'] / 60:.1f} minutes | {verdict}{peft} |"
        )
        print(rows[-1], flush=True)
    return rows


def _losses(run: Path) -> tuple[float, float]:
    from wellfit.store import read_run

    looks = [e for e in read_run(run).evaluations("val") if e.basis == "fixed blocks"]
    return looks[0].loss, looks[-1].loss


def _read_by_peft(run: Path) -> bool:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = json.loads((run / "adapter" / "adapter_config.json").read_text())
    model = AutoModelForCausalLM.from_pretrained(base["base_model_name_or_path"])
    return any(
        "lora_A" in name for name in PeftModel.from_pretrained(model, run / "adapter").state_dict()
    )


def report(rows: Sequence[Row], more: Sequence[str]) -> str:
    """The table, with where and when it was made."""
    commit = subprocess.run(
        ["git", "-C", str(ROOT), "describe", "--always", "--dirty"],
        capture_output=True, text=True, check=False,
    ).stdout.strip()  # fmt: skip
    lines = [
        f"{this_machine().summary()}, {time.strftime('%Y-%m-%d')}, commit {commit}",
        "",
        "| task | metric on test | mean | spread | seeds | linear | bar | | minutes |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        *(row.text() for row in rows),
    ]
    if more:
        lines += ["", "| task | | | time | |", "| --- | --- | --- | --- | --- |", *more]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run what was asked for, print the table, and write it down if told to."""
    parser = argparse.ArgumentParser(prog="python -m bench.tasks", description=__doc__)
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--only", default=",".join([*CASES, "gsm8k"]))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", default="15,30,60", help="budgets of the translation")
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    if asked.data is None:
        print("bench.tasks skipped: name the folder of the data sets with --data DIR")
        return
    rows: list[Row] = []
    more: list[str] = []
    with tempfile.TemporaryDirectory(prefix="wellfit-tasks-") as folder:
        for name in asked.only.split(","):
            if name == "gsm8k":
                more += tuned(asked.data.resolve(), Path(folder))
                continue
            full = next(case for case in CASES if case.startswith(name))
            case = CASES[full]
            keys, budgets = case.keys(asked.data.resolve()), {full: {}}
            if case.recipe == "translate.yaml":
                each = [f"{minutes} minutes" for minutes in asked.minutes.split(",")]
                budgets = {f"{full}, {budget}": {"train.budget": budget} for budget in each}
            for label, budget in budgets.items():
                rows += measure(case, label, Path(folder), {**keys, **budget}, seeds=asked.seeds)
    table = report(rows, more)
    print(table)
    if asked.write:
        write_table("bench.tasks", table)


if __name__ == "__main__":
    main()
