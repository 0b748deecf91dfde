"""Files of questions that a language model answers by what it finds likely.

Dims: N questions, M endings of all of them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias, assert_never

import numpy as np

from wellfit.config import Data
from wellfit.data import find_sources
from wellfit.data.formats import whole_records
from wellfit.data.reading import LEAVE_OUT
from wellfit.errors import DataError
from wellfit.evaluate.likelihood import Likelihood, Reader, continuations
from wellfit.evaluate.metric import Metric, mean_score, measured, share

BenchmarkName: TypeAlias = Literal["lambada", "blimp", "multiple-choice"]

_EXAMPLES: dict[BenchmarkName, dict[str, Any]] = {
    "lambada": {"text": "He knocked, and she opened the door"},
    "blimp": {"sentence_good": "Cats sleep.", "sentence_bad": "Cats sleeps."},
    "multiple-choice": {"ctx": "She opened the", "endings": ["door.", "sky."], "label": 0},
}
_ALSO = {
    "ctx": ("context", "query", "question"),
    "endings": ("choices",),
    "label": ("answer", "gold"),
}
_GROUPS = ("linguistics_term", "UID", "file")  # the coarsest first
_LEAD = " "  # between a context and its ending, and before a sentence that stands alone


class Question(NamedTuple):
    """A context, the endings to choose from, each with what leads to it, and the right one."""

    context: str
    endings: tuple[str, ...]
    answer: int = 0


class Benchmark(NamedTuple):
    """Questions of one kind, and which group each is in, by what groups them."""

    name: BenchmarkName
    questions: list[Question]
    groups: dict[str, np.ndarray]


def read_benchmark(path: Path, name: BenchmarkName) -> Benchmark:
    """The questions in a file, or in the files of a folder or pattern.

    Raises ``DataError`` for the first record that is no such question.
    """
    data = Data(path=str(path))
    questions: list[Question] = []
    groups: dict[str, list[str]] = {of: [] for of in _GROUPS}
    for file in find_sources(data).files:
        if file.format == "text":
            raise DataError(f"{file.path} is plain text, not records. {_wanted(name)}")
        before = len(questions)
        try:
            for record in whole_records(file, data, lambda _: None):
                questions.append(_question(name, record))
                known = {**record, "file": file.path.name}
                for of, kept in groups.items():
                    kept.append(str(known.get(of, "")))
        except DataError as e:  # there is no recipe here that could say so
            raise DataError(str(e).replace(LEAVE_OUT, _wanted(name))) from None
        except ValueError as e:
            place = f"{file.path}, record {len(questions) - before + 1}"
            raise DataError(f"{place}: {e}. {_wanted(name)}") from None
    if not questions:
        raise DataError(f"{path} holds no records. {_wanted(name)}")
    several = {of: np.array(kept) for of, kept in groups.items() if len(set(kept)) > 1}
    return Benchmark(name, questions, several)


def answered(reader: Reader, benchmark: Benchmark) -> dict[str, Any]:
    """What a model makes of a benchmark: its metrics, all in all and by group, as plain JSON.

    lambada          ``accuracy``: the last word is what the model would write; its ``perplexity``
    blimp            ``accuracy``: the good sentence is at least as likely as the bad one
    multiple-choice  ``accuracy``: the right ending is the likeliest; ``accuracy_norm``: it is by
                     log-probability per character
    """
    questions, name = benchmark.questions, benchmark.name
    found = continuations(reader, [(q.context, text) for q in questions for text in q.endings])
    values = _values(benchmark, found)
    starts_N = np.cumsum([0] + [len(q.endings) for q in questions[:-1]])
    everything = np.ones(len(questions), bool)
    return {
        "benchmark": name,
        "context": reader.context,
        "n": len(questions),
        "n_cut": int(np.logical_or.reduceat(found.cut, starts_N).sum()),
        "n_partial": int(np.logical_or.reduceat(found.partial, starts_N).sum()),
        "metrics": _metrics(values, everything),
        "groups": {
            by: {str(group): _metrics(values, of_N == group) for group in np.unique(of_N)}
            for by, of_N in benchmark.groups.items()
        },
    }


def _values(benchmark: Benchmark, found: Likelihood) -> dict[str, np.ndarray]:
    """Of each question whether the answer is right (bool), or the nats of its word."""
    if benchmark.name == "lambada":
        return {"accuracy": found.greedy, "perplexity": found.nats}
    questions = benchmark.questions
    chars_M = np.array([len(text) - len(_LEAD) for q in questions for text in q.endings])
    answers_N = np.array([q.answer for q in questions])
    borders = np.cumsum([len(q.endings) for q in questions])[:-1]

    def right(nats_M: np.ndarray) -> np.ndarray:
        return np.array([nats.argmin() for nats in np.split(nats_M, borders)]) == answers_N

    if benchmark.name == "blimp":
        return {"accuracy": right(found.nats)}
    return {"accuracy": right(found.nats), "accuracy_norm": right(found.nats / chars_M)}


def _metrics(values: dict[str, np.ndarray], chosen_N: np.ndarray) -> dict[str, Any]:
    out = {}
    for name, values_N in values.items():
        some_N = values_N[chosen_N]
        if some_N.dtype == bool:
            found = share(some_N)
        else:
            mean = measured(mean_score(nats=some_N), len(some_N))["nats"]
            with np.errstate(over="ignore"):
                value, lo, hi = np.exp((mean.value, *mean.ci95)).tolist()
            found = Metric(value, (lo, hi), mean.n)
        out[name] = found.as_dict()
    return out


def _question(name: BenchmarkName, record: dict[str, Any]) -> Question:
    """The question in a record.  Raises ``ValueError`` with what is wrong with it."""
    match name:
        case "lambada":
            context, _, word = _text(record, "text").rpartition(" ")
            return Question(context, (_LEAD + word,))
        case "blimp":
            pair = (_text(record, "sentence_good"), _text(record, "sentence_bad"))
            return Question("", (_LEAD + pair[0], _LEAD + pair[1]))
        case "multiple-choice":
            endings, label = _value(record, "endings"), str(_value(record, "label"))
            if not isinstance(endings, list) or not all(isinstance(e, str) and e for e in endings):
                raise ValueError(f"the endings are not a list of texts but {str(endings)[:60]!r}")
            if label not in map(str, range(len(endings))):
                raise ValueError(
                    f"the label is {label[:60]!r}, and the {len(endings)} endings count from 0"
                )
            return Question(_text(record, "ctx"), tuple(_LEAD + e for e in endings), int(label))
        case never:
            assert_never(never)


def _text(record: dict[str, Any], key: str) -> str:
    value = _value(record, key)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{key!r} is not a text but {str(value)[:60]!r}")
    return value


def _value(record: dict[str, Any], key: str) -> Any:
    for name in (key, *_ALSO.get(key, ())):
        if name in record:
            return record[name]
    keys = ", ".join(map(repr, list(record)[:20])) or "none"
    fits = [name for name, example in _EXAMPLES.items() if example.keys() <= record.keys()]
    also = f", as for --benchmark {fits[0]}" if fits else ""
    raise ValueError(f"no key {key!r}; the keys are {keys}{also}")


def _wanted(name: BenchmarkName) -> str:
    return f"--benchmark {name} wants records such as {json.dumps(_EXAMPLES[name])}"
