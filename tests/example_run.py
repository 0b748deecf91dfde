"""A whole run directory, made in a moment: what a small model's record looks like, of any task.

The curves are drawn, not trained, but every number in it is consistent with the others, so
that a page made from it can be judged by eye.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wellfit.diagnose import Finding
from wellfit.diagnose.linear import beside_linear
from wellfit.store import Evaluation, Record, RunDir, locked

STEPS, BATCH, CONTEXT, VOCAB = 720, 32, 128, 65
TOKENS_PER_STEP = BATCH * CONTEXT
BASELINES = {"uniform": math.log(VOCAB), "unigram": 3.3089, "bigram": 2.4519}
EVALUATED_EVERY, CRASHED_AT, RESUMED_FROM = 40, 431, 400
TRAIN_TOKENS, VAL_TOKENS, TEST_TOKENS = 1_003_854, 55_770, 55_770

SAMPLES = {
    0: "kQ;ZbjW3eJ$mXhv&fY'NdlOgCu\nrPIaxTtEqs,M!RzDVSwp.B:nU?KH-yoAFLGi cqWZJx3m$;vbN&fhQ",
    40: "Bt he stor wind, thes ar hathe mou be the ans\nThe f an sthe to ther, ond fou wit me",
    120: "MORENCE:\nWhat shen the me tord of the lord so wither,\nAnd be thour fathe hart me.",
    320: "DUKE OF HEREN:\nI have the morning of the world to stand,\nAnd so the prince that "
    "were mine enemy\nIs come to part the father of my hand.",
    720: "MARGERY:\nThe winter, sir, is kinder than your word;\nIt only takes the leaf and "
    "leaves the tree.\n\nCAPTAIN:\nThen let it snow, and let the gates be barred,\nFor I have "
    "neither word nor leaf to thee.",
}

FINDINGS = [
    {
        "code": "train-val-gap",
        "severity": "info",
        "claim": "val loss is 0.06 nats above train loss, and the gap has stopped growing.",
        "evidence": {"gap": 0.0612, "gap_at_half": 0.0588, "n_blocks": 64},
        "advice": "Nothing to do; a gap of this size is what unseen text costs.",
        "change": {},
        "confidence": 0.93,
        "source": "",
    },
    {
        "code": "throughput-fell",
        "severity": "warn",
        "claim": "Steps took 1.4 times as long between steps 300 and 340 as before and after.",
        "evidence": {"from_step": 300, "to_step": 340, "tokens_per_s": 17100, "usual": 24200},
        "advice": "Another program used the cores; run on a quiet machine or set train.threads.",
        "change": {"train.threads": 2},
        "confidence": None,
        "source": "docs/diagnose.md#throughput",
    },
]


def build_example_run(path: Path, *, kind: str = "well-fit", seed: int = 1) -> RunDir:
    """Make a run of ``kind`` at ``path``.

    Of text: well-fit, overfit, diverged, running.  Of other tasks: classify, regress, complete.
    """
    rng = np.random.default_rng(seed)
    if kind in TASKS:
        return _build_task_run(path, kind, rng)
    run = RunDir.create(path)
    _write_files(run)
    run.profile.write_text(json.dumps(PROFILE))
    run.trace.touch()
    with locked(run):
        first = Record.open(run, from_step=0)
        _write_facts(first)
        first.event("started", 0, seed=1)
        first.event("rehearsed", 0, choice="train.compile", value=True, reason="1.31 times faster")
        if kind in ("diverged", "running"):
            last = {"diverged": 83, "running": 275}[kind]
            _write_steps(first, rng, 0, last, kind=kind)
            if kind == "diverged":
                first.series(last + 1, {"loss": math.nan, "grad_norm": math.inf})
                first.event("diverged", last + 1, loss=math.nan, batch="bad/84")
            first.close("diverged" if kind == "diverged" else None)
            return run
        _write_steps(first, rng, 0, CRASHED_AT, kind=kind)
        first.close()  # as a crash leaves it: with the status it had
        second = Record.open(run, from_step=RESUMED_FROM)
        second.event("resumed", RESUMED_FROM, checkpoint="step-00000400")
        _write_steps(second, rng, RESUMED_FROM, STEPS, kind=kind)
        _write_end(second, kind)
        second.close("finished")
    return run


def _write_files(run: RunDir) -> None:
    run.recipe.write_text("data: {path: input.txt}\ntrain: {budget: 2 minutes}\n")
    run.resolved.write_text(json.dumps({"recipe": RECIPE, "explained": EXPLAINED}, indent=1))
    run.environment.write_text(json.dumps(ENVIRONMENT))
    run.data.write_text(json.dumps(DATA))
    run.model.mkdir()
    run.report.write_text("made by the test that reads it")


def _write_facts(record: Record) -> None:
    facts = {
        "steps_total": STEPS, "parameters": 1_837_056, "tokens_per_step": TOKENS_PER_STEP,
        "epoch_tokens": TRAIN_TOKENS, "budget": "2 minutes", "seed": 1, "baselines": BASELINES,
        "data": "input.txt", "precision": "bf16 with fp32 masters (the processor has AMX)",
    }  # fmt: skip
    for key, value in facts.items():
        record.fact(key, value)


def _mean_loss(step: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Nats per character on unseen-by-chance text: falls to bigram fast, then slowly."""
    s = np.asarray(step, dtype=np.float64)
    early = (BASELINES["uniform"] - 2.38) * np.exp(-s / 14)
    slow = 2.38 - 0.86 * (1 - np.exp(-s / 185)) - 0.03 * (s / STEPS) ** 2
    return early + slow


def _write_steps(record: Record, rng: np.random.Generator, start: int, end: int, *, kind: str):
    before_s = start / STEPS * 118.0
    for step in range(start, end + 1):
        if step > start:
            slow = 1.42 if 300 <= step < 340 else 1.0
            rate = 24_200 / slow * (1 + 0.03 * rng.standard_normal())
            before_s += TOKENS_PER_STEP / rate
            loss = float(_mean_loss(step)) + 0.035 * rng.standard_normal()
            if kind == "diverged" and step > 70:
                loss += 0.02 * 1.45 ** (step - 70)
            warmup = min(1.0, step / 15)
            record.series(step, {
                "loss": loss,
                "lr": 0.02 * warmup * (1 - (step - 15) / (STEPS - 15) if step > 15 else 1),
                "grad_norm": 0.35 + 2.2 * math.exp(-step / 30) + 0.05 * abs(rng.standard_normal()),
                "tokens_per_s": rate,
                "tokens": step * TOKENS_PER_STEP,
                "elapsed_s": before_s,
            })  # fmt: skip
        if step % EVALUATED_EVERY == 0 and (step > start or not start):
            _write_evaluation(record, step, kind)
    record.flush()


def _write_evaluation(record: Record, step: int, kind: str) -> None:
    for split in ("train", "val"):
        record.evaluation(example_evaluation(step, split, "fixed blocks", kind=kind))
    record.event("evaluated", step)
    if step and step % 120 == 0:
        record.event("saved", step, checkpoint=f"step-{step:08d}", bytes=22_040_064, seconds=0.41)
    if step in SAMPLES:
        record.sample(step, "", SAMPLES[step])


def example_evaluation(step: int, split: str, basis: str, *, kind: str = "well-fit") -> Evaluation:
    """What a look at a split gives: the blocks differ in how hard they are, always the same way."""
    total = {"train": TRAIN_TOKENS, "val": VAL_TOKENS, "test": TEST_TOKENS}[split]
    n_blocks = 64 if basis == "fixed blocks" else math.ceil(total / CONTEXT)
    counts = np.full(n_blocks, CONTEXT, dtype=np.int64)
    if basis == "full split":
        counts[-1] = total - CONTEXT * (n_blocks - 1)
    hardness = 0.15 * np.random.default_rng(len(split) + n_blocks).standard_normal(n_blocks)
    progress = min(1.0, step / STEPS)
    gap = {"train": -0.012, "val": 0.05, "test": 0.062}[split] * (1 - math.exp(-step / 150))
    if kind == "overfit" and step > 320:
        rise = (step - 320) / (STEPS - 320)
        gap += {"train": -0.24, "val": 0.26, "test": 0.25}[split] * rise
    spread = hardness - hardness.mean()
    nats = (float(_mean_loss(step)) + gap + spread * (0.4 + 0.6 * progress)) * counts
    loss = float(nats.sum() / counts.sum())
    half = 1.96 * float(np.std(nats / counts)) / math.sqrt(n_blocks)
    return Evaluation(
        step=step, split=split, basis=basis, checkpoint_step=step, nats=nats, counts=counts,
        n_bytes=int(counts.sum()), n_documents=1, loss_lo=loss - half, loss_hi=loss + half,
    )  # fmt: skip


def _write_end(record: Record, kind: str) -> None:
    fixed = {
        (split, step): example_evaluation(step, split, "fixed blocks", kind=kind).loss
        for split in ("train", "val")
        for step in range(0, STEPS + 1, EVALUATED_EVERY)
    }
    best = min(range(0, STEPS + 1, EVALUATED_EVERY), key=lambda step: fixed["val", step])
    record.event("looked-at-test", best, checkpoint_step=best)
    for split in ("train", "val", "test"):
        record.evaluation(example_evaluation(best, split, "full split", kind=kind))
    verdict = _verdict(kind, fixed, best)
    record.findings(STEPS, [verdict, *FINDINGS])
    record.fact("verdict", verdict)
    record.event("finished", STEPS, chosen_step=best)


def _verdict(kind: str, fixed: dict[tuple[str, int], float], best: int) -> dict:
    """A verdict in the shape of every finding, with the numbers of the drawn curves."""
    train, val = fixed["train", STEPS], fixed["val", STEPS]
    before = fixed["val", STEPS - 80]
    claims = {
        "well-fit": f"val loss has stopped falling (it changed by {val - before:+.3f} nats in the "
        f"last tenth of the run) and stays within {val - train:.2f} nats of train loss",
        "overfit": f"val loss has risen by {val - fixed['val', best]:.2f} nats since step {best}, "
        "while train loss kept falling",
    }
    return {
        "code": kind,
        "severity": "info" if kind == "well-fit" else "warn",
        "claim": claims[kind],
        "evidence": {
            "val_loss": val, "train_loss": train, "gap": val - train, "change": val - before,
            "mark_loss": BASELINES["bigram"], "n_blocks": 64,
        },
        "advice": "" if kind == "well-fit" else "Stop earlier, or add dropout and run again.",
        "change": {} if kind == "well-fit" else {"regularize.dropout": 0.2},
        "confidence": 0.94,
        "source": "",
    }  # fmt: skip


QUESTIONS = ["abbreviation", "description", "entity", "human", "location", "number"]
_ASKED = {"val": [7, 125, 132, 123, 66, 92], "test": [9, 138, 94, 65, 81, 113]}
_WORST = [
    ("What is the name of the river that no map of the old kingdom shows?", 3, 4, 5.912),
    ("How do you say morning in the language of the islands?", 2, 1, 4.871),
    ("Who was the first? " + "It is asked in every book, and answered in none. " * 12, 3, 1, 4.102),
    ("What does <b>NATO</b> stand for?", 0, 1, 3.377),
    ("When is a door not a door?", 1, 5, 3.018),
    ("Name a fruit.", 2, 3, 2.744), ("What is 4 & 4?", 5, 2, 2.51), ("Where to?", 4, 2, 2.2),
    ("What time is it there?", 4, 5, 2.103), ("Why is the sea salt?", 1, 2, 1.96),
]  # fmt: skip
_PAIRS = [
    ("Two men are talking in front of a shop.", "Zwei Leute reden vor einem Laden.",
     "Zwei Leute reden vor einem Laden."),
    ("A dog runs through the snow with a red ball.", "Ein Hund rennt mit einem roten Ball durch "
     "den Schnee.", "Ein Hund rennt durch den Schnee mit einem Ball."),
    ("The girl in the yellow dress is waiting for the train, and " + "her mother waits, and " * 20
     + "so do I.", "Sie warten auf den Zug.", "Das Kind im gelben Kleid wartet auf den Zug."),
    ("A man sleeps.", "Ein Mann ruht.", "Ein Mann schl\u00e4ft."),
]  # fmt: skip


def _metric(value: float, n: int, spread: float = 0.45) -> dict:
    half = 1.96 * spread / math.sqrt(n)
    return {"value": value, "ci95": [value - half, value + half], "n": n}


def _confusion(split: str) -> NDArray[np.int64]:
    """Mostly right, and wrong in the way that is usual: what is rare or vague is mistaken."""
    rng = np.random.default_rng(len(split))
    right = np.array([0.62, 0.9, 0.83, 0.93, 0.9, 0.95])
    off = np.array([0.2, 2.0, 3.0, 0.6, 0.8, 0.5])
    rows = []
    for i, n in enumerate(_ASKED[split]):
        share = off * (np.arange(6) != i)
        rows.append(
            rng.multinomial(n, (1 - right[i]) * share / share.sum() + right[i] * np.eye(6)[i])
        )
    return np.array(rows)


def _classify(split: str) -> tuple[dict, dict]:
    counts = _confusion(split)
    n, held, guessed, right = counts.sum(), counts.sum(1), counts.sum(0), counts.diagonal()
    precision, recall, f1 = right / guessed, right / held, 2 * right / (held + guessed)
    shares = {
        "accuracy": right.sum() / n, "f1_macro": f1.mean(), "precision_macro": precision.mean(),
        "recall_macro": recall.mean(), "f1_weighted": (f1 * held).sum() / n, "mcc": 0.866,
        "roc_auc": 0.981, "calibration_error": 0.041,
    }  # fmt: skip
    metrics = {name: _metric(float(v), int(n), 0.3) for name, v in shares.items()}
    sizes = [0, 0, 0, 1, 3, 5, 9, 11, 14, 18, 22, 28, 41, 67, int(n) - 219]
    bins = [
        {"lo": i / 15, "hi": (i + 1) / 15, "n": k, "confidence": (i + 0.55) / 15 if k else None,
         "accuracy": min(1.0, max(0.0, round(k * ((i + 0.5) / 15 - 0.06)) / k)) if k else None}
        for i, k in enumerate(sizes)
    ]  # fmt: skip
    linear = {
        **metrics,
        "accuracy": _metric(0.926, int(n), 0.26),
        "f1_macro": _metric(0.919, int(n)),
    }
    lost = metrics["accuracy"]["value"] - 0.926
    return metrics, {
        "confusion": {"labels": QUESTIONS, "counts": counts.tolist()},
        "calibration": bins,
        "per_class": [
            {"label": q, "precision": precision[i], "recall": recall[i], "f1": f1[i],
             "n": int(held[i])}
            for i, q in enumerate(QUESTIONS)
        ],
        "worst": [
            {"text": text, "label": QUESTIONS[a], "predicted": QUESTIONS[b], "loss": loss,
             "place": f"{split}, file 1, record {17 * i + 4}"}
            for i, (text, a, b, loss) in enumerate(_WORST)
        ],
        "linear": {
            "name": "TF-IDF of 1- and 2-grams, linear SVM", "metrics": linear,
            "against": {"metric": "accuracy", "difference": lost,
                        "ci95": [lost - 0.021, lost + 0.022], "n": int(n), "verdict": "worse"},
        },
    }  # fmt: skip


def _regress(split: str) -> tuple[dict, dict]:
    rng, n = np.random.default_rng(len(split)), 1000
    target = 3.0 + 0.42 * rng.standard_normal(n)
    guess = 3.0 + 0.35 * (target - 3.0) + 0.2 * rng.standard_normal(n)
    error, r = target - guess, float(np.corrcoef(target, guess)[0, 1])
    shares = {"mse": (error**2).mean(), "mae": np.abs(error).mean(),
              "r2": 1 - (error**2).mean() / target.var(), "pearson": r,
              "spearman": r - 0.02}  # fmt: skip
    metrics = {name: _metric(float(v), n, 0.6) for name, v in shares.items()}
    linear = {"pearson": _metric(r - 0.071, n, 0.7), "mae": _metric(0.3127, n)}
    return metrics, {
        "scatter": np.stack([target, guess], 1)[::2].round(4).tolist(),
        "targets": ["valence"],
        "worst": [
            {"text": text, "label": f"{4 + loss / 10:.3g}", "predicted": f"{2 + loss / 9:.3g}",
             "loss": loss, "place": f"{split} {i + 1}"}
            for i, (text, _, _, loss) in enumerate(_WORST)
        ],
        "linear": {
            "name": "TF-IDF of 1- and 2-grams, ridge regression", "metrics": linear,
            "against": {"metric": "pearson", "difference": 0.071, "ci95": [0.031, 0.112], "n": n,
                        "verdict": "better"},
        },
    }  # fmt: skip


def _complete(split: str) -> tuple[dict, dict]:
    points = {"bleu": 33.18, "chrf": 57.42, "exact_match": 0.094, "rouge1": 0.631,
              "rouge2": 0.402, "rougeL": 0.598}  # fmt: skip
    spread = {"bleu": 22.0, "chrf": 17.0}
    keys = ("prompt", "reference", "written")
    seen = {
        "writings": [dict(zip(keys, pair, strict=True)) for pair in _PAIRS] * 3,
        "signatures": {"bleu": "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0",
                       "chrf": "nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:2.6.0"},
    }  # fmt: skip
    return {k: _metric(v, 1000, spread.get(k, 0.4)) for k, v in points.items()}, seen


# by task: what is to be seen, where the loss starts and ends, and what simple baselines reach
TASKS = {
    "classify": (_classify, 1.79, 0.36, {"uniform": math.log(6), "prior": 1.6512}),
    "regress": (_regress, 1.02, 0.68, {"mean": 1.0031}),
    "complete": (_complete, 8.99, 1.71, {"uniform": 8.9872, "unigram": 6.102, "bigram": 4.377}),
}


def _build_task_run(path: Path, kind: str, rng: np.random.Generator) -> RunDir:
    found, start, end, baselines = TASKS[kind]
    run, unit = RunDir.create(path), "deviations" if kind == "regress" else "nats"
    _write_files(run)
    loss = {"loss": {"kind": "mse"}} if kind == "regress" else {}
    recipe = {**RECIPE, "task": {"kind": kind, **loss}}
    run.resolved.write_text(json.dumps({"recipe": recipe, "explained": _explained(recipe)}))
    record = Record.open(run, from_step=0)
    _write_facts(record)
    record.fact("task", kind)
    record.fact("unit", unit)
    record.fact("baselines", baselines)
    record.event("started", 0, seed=1)

    def look(step: int, split: str, basis: str, metrics: dict) -> Evaluation:
        gap = {"train": -0.08, "val": 0.0, "test": 0.01}[split] * (1 - math.exp(-step / 150))
        n = next((metric["n"] for metric in metrics.values()), 400)
        each = 13 if kind == "complete" else 1
        hard = 1 + 0.3 * np.random.default_rng(3).standard_normal(n)
        mean = end + (start - end) * math.exp(-step / 90) + gap * (start - end)
        nats, counts = mean * each * hard / hard.mean(), np.full(n, each, dtype=np.int64)
        half = 1.96 * float(np.std(nats)) / each / math.sqrt(n)
        return Evaluation(step, split, basis, step, nats, counts, 0, n, mean - half, mean + half,
                          unit, metrics)  # fmt: skip

    for step in range(STEPS + 1):
        far = 1 - math.exp(-step / 90)
        noise = 1 + 0.12 * rng.standard_normal()
        record.series(step, {
            "loss": (end + (start - end) * (1 - far)) * noise,
            "lr": 0.02 * (1 - step / STEPS), "grad_norm": 0.4 + 2 * (1 - far), "tokens_per_s": 9100,
            "tokens": 5 * step * BATCH, "elapsed_s": step / 6,
        })  # fmt: skip
        if step % EVALUATED_EVERY == 0:
            metrics = found("val")[0]
            for name, metric in metrics.items():
                record.series(step, {f"val/{name}": metric["value"] * (0.3 + 0.7 * far)})
            record.evaluation(look(step, "train", "fixed blocks", {}))
            record.evaluation(look(step, "val", "fixed blocks", metrics))
    record.event("looked-at-test", STEPS, checkpoint_step=STEPS)
    for split in ("train", "val", "test"):
        record.evaluation(
            look(STEPS, split, "full split", {} if split == "train" else found(split)[0])
        )
    record.fact("outcomes", {split: found(split)[1] for split in ("val", "test")})
    if kind == "complete":
        record.sample(STEPS, "A man sleeps.\n", "Ein Mann schl\u00e4ft.")
    train, val = (look(STEPS, split, "full split", {}).loss for split in ("train", "val"))
    verdict = Finding("well-fit", "info", "Well fit: val loss has stopped falling.",
                      {"val_loss": val, "train_loss": train}, "", {}, 0.97)  # fmt: skip
    if linear := found("val")[1].get("linear"):
        verdict = beside_linear(verdict, linear, {"model.kind": "decoder"})
    record.findings(STEPS, [verdict.as_dict()])
    record.fact("verdict", verdict.as_dict())
    record.event("finished", STEPS, chosen_step=STEPS)
    record.close("finished")
    return run


RECIPE = {
    "task": {"kind": "language-model"},
    "data": {"path": "input.txt", "format": "text",
             "split": {"kind": "tail", "val": 0.05, "test": 0.05}},
    "tokenizer": {"kind": "char"},
    "model": {"kind": "decoder", "family": "nanochat", "depth": 4, "width": 192, "heads": 3,
              "context": 128},
    "train": {"budget": "2 minutes", "batch": 32, "seed": 1, "precision": "bf16", "compile": True},
    "optim": {"kind": "muon", "lr": 0.02, "momentum": 0.95},
    "schedule": {"kind": "linear", "warmup": 0.02, "floor": 0.0},
    "regularize": {"dropout": 0.0, "weight_decay": 0.0, "clip": {"kind": "norm", "max": 1.0}},
    "stop": {"patience": 5},
    "evaluate": {"every": "40 steps"},
    "checkpoint": {"every": "5 minutes", "keep": 3},
}  # fmt: skip

_WHY = {
    "data.path": ("recipe.yaml:1:8", "", ""),
    "train.budget": ("recipe.yaml:2:9", "", ""),
    "data.split.kind": ("command line", "", ""),
    "model.width": ("auto", "48 per layer of depth, rounded to whole heads of 64", "docs/laws.md"),
    "model.context": ("auto", "the longest that keeps 8 sequences per core", "docs/laws.md"),
    "train.batch": ("auto", "4,096 tokens a step: 700 steps fit the budget", "arXiv:1812.06162"),
    "train.compile": ("auto", "measured: 1.31 times faster, pays back in 14 s", "rehearsal"),
    "optim.lr": ("auto", "0.02 for matrices of any width under Muon", "arXiv:2502.16982"),
    "evaluate.every": ("auto", "18 looks at val in the run, 2% of its time", "docs/laws.md"),
}


def _explained(section: dict, prefix: str = "") -> list[dict]:
    rows = []
    for key, value in section.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            rows += _explained(value, f"{name}.")
            continue
        origin, reason, source = _WHY.get(name, ("default", "", ""))
        rows.append({"key": name, "value": value, "origin": origin, "reason": reason,
                     "source": source})  # fmt: skip
    return rows


EXPLAINED = _explained(RECIPE)


def _profile(parts: dict[str, dict[str, float]], operations: list[tuple[str, str, str]]) -> dict:
    """A profile whose parts take these milliseconds for each kind; its operations a tenth each."""
    spent = [(part, kind, ms) for part, kinds in parts.items() for kind, ms in kinds.items()]
    total = sum(ms for _, _, ms in spent)

    def row(ms: float, **named: str) -> dict:
        return {**named, "s": ms / 1000, "frac": ms / total, "calls": float(round(ms))}

    def rows(place: int, field: str) -> list[dict]:
        sums: dict[str, float] = {}
        for found in spent:
            sums[found[place]] = sums.get(found[place], 0.0) + found[2]
        return [row(sums[key], **{field: key}) for key in sorted(sums, key=lambda key: -sums[key])]

    kinds = rows(1, "kind")
    return {
        "steps": [6, 7, 8, 9, 10], "device": "cpu", "unprofiled_step_s": 0.97 * total / 1000,
        "step_s": total / 1000, "parts": rows(0, "part"), "kinds": kinds,
        "matrix_products_frac": next(k["frac"] for k in kinds if k["kind"] == "matrix products"),
        "kinds_by_part": [row(ms, part=part, kind=kind) for part, kind, ms in spent],
        "operations": [
            row(total / 10, operation=name, shapes=shapes, kind=kind)
            for name, shapes, kind in operations
        ],
        "peak_memory_bytes": 1_204_224_000,
    }  # fmt: skip


PROFILE = _profile(
    {
        "data": {"data": 0.7},
        "forward": {
            "matrix products": 28.1, "attention": 4.3, "norms": 3.9, "activation": 2.2,
            "dropout": 1.4, "embedding": 0.3, "loss": 1.7, "elementwise": 4.1, "copies": 2.6,
            "dispatch": 2.9, "other": 0.008,
        },
        "backward": {
            "matrix products": 55.4, "attention": 6.8, "norms": 5.0, "activation": 3.1,
            "dropout": 1.1, "embedding": 0.6, "loss": 1.2, "elementwise": 6.2, "copies": 3.4,
            "fused": 4.4, "dispatch": 3.8,
        },
        "gradients": {"gradients": 2.5},
        "optimizer": {"optimizer": 17.6},
        "step": {"dispatch": 0.4},
    },
    [
        ("aten::mm", "4096x256, 256x1024", "matrix products"),
        ("aten::bmm", "64x128x128, 64x128x64", "matrix products"),
        ("graph_0_cpp_fused__softmax__softmax_backward_data_add_expand_ge_gelu_mul_0", "", "fused"),
        ("Optimizer.step#Muon.step", "", "optimizer"),
        ("CausalAttention", "32x4x128x64, 32x4x128x64, 32x4x128x64", "attention"),
    ],
)  # fmt: skip

ENVIRONMENT = {
    "machine": {
        "cpu": "Intel Xeon Processor (SapphireRapids)", "cores": 2, "cpu_flags": ["amx_bf16"],
        "memory_bytes": 25_282_281_472, "gpu": None, "gpu_memory_bytes": 0,
        "system": "Linux 6.1", "python": "3.11.7", "torch": "2.13.0+cpu",
        "summary": "2 cores of Intel Xeon Processor (SapphireRapids), torch 2.13.0+cpu",
    },
    "versions": {"wellfit": "0.1.0", "torch": "2.13.0+cpu", "numpy": "2.4.6"},
    "git_commit": "4d92f1c", "threads": 2, "precision": "bf16",
}  # fmt: skip

DATA = {
    "fingerprint": "9f2b7c4e1d3a5b6c7d8e9f00112233445566778899aabbccddeeff0011223344",
    "audit": {
        "files": {"read": 1, "bytes": 1_115_394, "ignored": {}},
        "splits": {
            "train": {"documents": 1, "tokens": TRAIN_TOKENS, "bytes": TRAIN_TOKENS},
            "val": {"documents": 1, "tokens": VAL_TOKENS, "bytes": VAL_TOKENS},
            "test": {"documents": 1, "tokens": TEST_TOKENS, "bytes": TEST_TOKENS},
        },
        "skipped": {"records": 0, "kinds": {}, "at": []},
        "duplicates": {"across": {"val": 0, "test": 0}, "dropped": True, "counted_frac": 1.0},
        "overlap": {
            "val": {"share": 0.0021, "windows": 55_696},
            "test": {"share": 0.0018, "windows": 55_696},
        },
        "tokenizer": {"kind": "char", "vocab_size": VOCAB, "eos_id": None},
    },
}
