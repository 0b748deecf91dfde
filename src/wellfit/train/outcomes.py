"""What an evaluation says beyond the loss: the task's metrics, and what there is to see.

Dims: N blocks, O outputs, L labels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from wellfit.config import Chat, Classify, Complete, Quantile, Recipe, Regress
from wellfit.data import Blocks, Prepared, Split
from wellfit.errors import MissingExtra
from wellfit.evaluate import BlockScores
from wellfit.evaluate.classification import class_report, class_score, label_score
from wellfit.evaluate.generation import generation_metrics
from wellfit.evaluate.linear import linear_classifier, linear_labeller, linear_regressor
from wellfit.evaluate.metric import Score, compared, measured
from wellfit.evaluate.regression import regression_score
from wellfit.model import Decoder
from wellfit.model.decode import generate_batch

_SHOWN = 20  # of the worst examples, and of what was written
_POINTS = 500
_COMPARED = ("accuracy", "subset_accuracy", "pearson")  # the first of these that a task has

Found = Mapping[str, Any]


class Judge:
    """The metrics of one task on one set of data, whatever model is asked."""

    def __init__(self, recipe: Recipe, data: Prepared) -> None:
        self.recipe, self.data = recipe, data
        self.missing: str | None = None  # what some metrics would need installed
        self._linear: Callable[[Sequence[str]], np.ndarray] | None = None

    def metrics(self, blocks: Blocks, scores: BlockScores) -> Found:
        """Of what was scored: of labels by their outputs; of plain text there are none."""
        if scores.outputs_NO is None:
            return {}
        score = self._score(scores.outputs_NO, _labels(blocks))
        return {k: m.as_dict() for k, m in measured(score, len(blocks)).items()}

    def outcomes(self, blocks: Blocks, scores: BlockScores) -> dict[str, Any]:
        """What there is to see of a labelled task: where it errs, and how sure it is."""
        if scores.outputs_NO is None:
            return {}
        labels_NL = _labels(blocks)
        found: dict[str, Any] = {"worst": self._worst(blocks, scores, labels_NL)}
        match self.recipe.task:
            case Classify(several=False):
                assert self.data.labels is not None, self.recipe.task
                names = self.data.labels.names
                report = class_report(scores.outputs_NO, labels_NL[:, 0].astype(np.int64), names)
                found["confusion"] = {"labels": names, "counts": report.confusion.tolist()}
                found |= {"per_class": report.classes, "calibration": report.reliability}
            case Regress():
                every = max(1, len(labels_NL) // _POINTS)
                both = np.stack([labels_NL, scores.outputs_NO], axis=2)[::every, 0]
                found["scatter"] = both.round(4).tolist()
            case _:
                pass  # of several labels there is no table of who is taken for whom
        return found

    def against_linear(self, blocks: Blocks, scores: BlockScores) -> dict[str, Any]:
        """The linear baseline's metrics on the same texts, and whether ours are better.

        Nothing where scikit-learn is not installed: ``missing`` then says so.
        """
        if scores.outputs_NO is None:
            return {}
        try:
            self._linear = self._linear or self._fit_linear()
        except MissingExtra as e:
            self.missing = str(e)
            return {}
        labels_NL = _labels(blocks)
        theirs = self._score(self._linear(texts_of(self.data, blocks)), labels_NL)
        ours = self._score(scores.outputs_NO, labels_NL)
        keys = measured(theirs, len(blocks))
        name = next(key for key in keys if key.startswith(_COMPARED))
        against = compared(ours, theirs, len(blocks))[name].as_dict()
        kind = "ridge regression" if self.recipe.task.kind == "regress" else "linear SVM"
        return {
            "name": f"TF-IDF of 1- and 2-grams, {kind}",
            "metrics": {k: m.as_dict() for k, m in keys.items()},
            "against": {"metric": name, **against},
        }

    def _fit_linear(self) -> Callable[[Sequence[str]], np.ndarray]:
        train, labels = self.data.splits["train"], self.data.labels
        assert train.labels is not None and labels is not None, train.name
        texts = decoded(self.data, train, np.arange(train.n_documents))
        found_NL = np.asarray(train.labels)
        match self.recipe.task:
            case Regress():
                return linear_regressor(texts, found_NL)
            case Classify(several=True):
                return linear_labeller(texts, found_NL)
            case _:
                classes = found_NL[:, 0].astype(np.int64)
                return linear_classifier(texts, classes, len(labels.names))

    def _score(self, outputs_NO: np.ndarray, labels_NL: np.ndarray) -> Score:
        assert self.data.labels is not None, self.recipe.task
        names, task = self.data.labels.names, self.recipe.task
        match task:
            case Classify(several=True):
                return label_score(outputs_NO, labels_NL, names)
            case Classify():
                return class_score(outputs_NO, labels_NL[:, 0].astype(np.int64))
            case Regress():
                quantile = task.loss.quantile if isinstance(task.loss, Quantile) else None
                return regression_score(outputs_NO, labels_NL, names, quantile=quantile)
            case _:
                raise AssertionError(f"{task.kind} has no outputs")

    def _worst(
        self, blocks: Blocks, scores: BlockScores, labels_NL: np.ndarray
    ) -> list[dict[str, Any]]:
        """The texts with the largest loss: candidates for wrong labels."""
        assert self.data.labels is not None and scores.outputs_NO is not None, blocks.split.name
        order = np.argsort(-scores.nats_N, kind="stable")[:_SHOWN]
        texts = decoded(self.data, blocks.split, blocks.documents[order])
        task, names = self.recipe.task, self.data.labels.names
        several = isinstance(task, Classify) and task.several
        out = []
        for text, i in zip(texts, order.tolist(), strict=True):
            outputs, labels = scores.outputs_NO[i], labels_NL[i]
            if isinstance(task, Regress):
                label, predicted = (" ".join(f"{x:.4g}" for x in xs) for xs in (labels, outputs))
            elif several:
                label, predicted = (
                    ", ".join(n for n, x in zip(names, xs, strict=True) if x > 0)
                    for xs in (labels, outputs)
                )
            else:
                label, predicted = names[int(labels[0])], names[int(outputs.argmax())]
            place = place_of(blocks.split, int(blocks.documents[i]))
            out.append(
                {
                    "text": text,
                    "label": label,
                    "predicted": predicted,
                    "loss": float(scores.nats_N[i]),
                    "place": place,
                }
            )
        return out


class Written(NamedTuple):
    """Completions, held against their references."""

    metrics: Found
    outcomes: dict[str, Any]


def write_and_compare(judge: Judge, model: Decoder, blocks: Blocks, *, most: int | None) -> Written:
    """Let the model complete prompts of these blocks, and compare with what is written there.

    ``most`` of them, evenly spread.  Nothing where a recipe learns prompts too, for then nobody
    knows where they end.  Raises ``MissingExtra`` where sacrebleu is not installed.
    """
    task, cfg = judge.recipe.task, judge.recipe.evaluate.generate
    if not isinstance(task, Complete | Chat) or task.learn == "all":
        return Written({}, {})
    n = len(blocks) if most is None else min(most, len(blocks))
    chosen = np.sort(blocks.documents)[(2 * np.arange(n) + 1) * len(blocks) // (2 * n)]
    pairs = [taken_apart(blocks.split, int(document)) for document in chosen]
    tokenizer = judge.data.tokenizer
    stop_id = max({p.stop_id for p in pairs}, key=[p.stop_id for p in pairs].count)
    room = max(1, min(cfg.tokens, model.shape.context - 1))
    written = generate_batch(
        model,
        [p.prompt[-(model.shape.context - room) :] for p in pairs],
        n_tokens=room,
        stop_id=stop_id,
        beams=cfg.beams,
    )
    texts = [tokenizer.decode(np.array(ids, dtype=np.int64)).strip() for ids in written]
    references = [tokenizer.decode(p.reference).strip() for p in pairs]
    found = generation_metrics(texts, references)
    prompts = [tokenizer.decode(np.array(p.prompt)).strip() for p in pairs[:_SHOWN]]
    writings = [
        {"prompt": prompt, "reference": reference, "written": text}
        for prompt, reference, text in zip(prompts, references, texts, strict=False)
    ]
    metrics = {k: m.as_dict() for k, m in found.metrics.items()}
    return Written(metrics, {"writings": writings, "signatures": found.signatures})


class Pair(NamedTuple):
    """A prompt and what is written after it."""

    prompt: list[int]
    reference: np.ndarray
    stop_id: int  # the token that ends the reference


def taken_apart(split: Split, document: int) -> Pair:
    """An example at its last learned stretch: what comes before it, and the stretch."""
    assert split.learned is not None, split.name
    ids, learned = _tokens(split, document), _of(split, document, split.learned)
    last = int(np.flatnonzero(learned)[-1])
    before = np.flatnonzero(~learned[: last + 1])
    first = int(before[-1]) + 1 if len(before) else 0
    return Pair(ids[:first].tolist(), ids[first:last], int(ids[last]))


def _of(split: Split, document: int, values: np.ndarray) -> np.ndarray:
    ends = split.doc_starts[document + 1 : document + 2]
    return np.asarray(values[split.doc_starts[document] : ends[0] if len(ends) else None])


def _tokens(split: Split, document: int) -> np.ndarray:
    return _of(split, document, split.tokens).astype(np.int64)


def decoded(data: Prepared, split: Split, documents: np.ndarray) -> list[str]:
    """The texts of some documents, without what ends them."""
    eos_id, out = data.tokenizer.eos_id, []
    for document in documents.tolist():
        ids = _tokens(split, document)
        out.append(data.tokenizer.decode(ids[:-1] if len(ids) and ids[-1] == eos_id else ids))
    return out


def texts_of(data: Prepared, blocks: Blocks) -> list[str]:
    """The text of each block of a labelled split."""
    return decoded(data, blocks.split, blocks.documents)


def place_of(split: Split, document: int) -> str:
    """Where an example stands in the data, for people."""
    if split.places is None:
        return f"{split.name} {document + 1}"
    file, record = split.places[document].tolist()
    return f"{split.name}, file {file + 1}, record {record}"


def _labels(blocks: Blocks) -> np.ndarray:
    assert blocks.split.labels is not None, blocks.split.name
    return np.asarray(blocks.split.labels[blocks.documents], dtype=np.float64)
