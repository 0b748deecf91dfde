"""What an evaluation says: the loss with its interval, the task's metrics, and what to see.

Dims: N blocks, O outputs, L labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, NamedTuple, assert_never, cast

import numpy as np

from wellfit.config import Chat, Classify, Complete, LanguageModel, Recipe, Regress
from wellfit.config.task import Quantile
from wellfit.data import Blocks, Labels, Prepared, Split
from wellfit.errors import MissingExtra
from wellfit.evaluate import losses
from wellfit.evaluate.baselines import Baseline, baseline_of
from wellfit.evaluate.classification import class_report, class_score, label_score
from wellfit.evaluate.generation import generation_metrics
from wellfit.evaluate.linear import FromTexts, linear_classifier, linear_labeller, linear_regressor
from wellfit.evaluate.losses import BlockScores, Scorer, labels_of
from wellfit.evaluate.metric import Score, compared, measured
from wellfit.evaluate.regression import regression_score
from wellfit.model import Decoder
from wellfit.model.decode import generate_batch
from wellfit.probe import interval, units_of
from wellfit.store import Basis, Evaluation
from wellfit.store import Split as SplitName
from wellfit.train.learn import regression_options, unit_of

_SHOWN = 20  # of the worst examples, and of what was written
_POINTS = 500
_COMPARED = ("accuracy", "subset_accuracy", "pearson")  # the first of them that a task has

Found = Mapping[str, Any]


class Judge:
    """What scores mean for one task on one set of data, whatever model was asked."""

    def __init__(self, recipe: Recipe, data: Prepared) -> None:
        self.recipe, self.data = recipe, data
        self.missing: str | None = None  # what some metrics would need installed

    @property
    def labels(self) -> Labels:
        """What the labels mean; of a labelled task alone."""
        assert self.data.labels is not None, self.recipe.task
        return self.data.labels

    @cached_property
    def baseline(self) -> Baseline:
        """The task's baselines, learned from the train split."""
        task, data = self.recipe.task, self.data
        options = regression_options(task) if isinstance(task, Regress) else {}
        vocab = data.tokenizer.vocab_size
        return baseline_of(data.splits["train"], vocab=vocab, labels=data.labels, options=options)

    def scorer(self, model: Any) -> Scorer:
        """How the task scores rows with a model."""
        task = self.recipe.task
        match task:
            case Classify(several=several):
                return losses.class_scorer(model, several=several)
            case Regress():
                return losses.number_scorer(model, self.labels, regression_options(task))
            case LanguageModel() | Complete() | Chat():
                return losses.token_scorer(model)
            case never:
                assert_never(never)

    def evaluation(
        self, blocks: Blocks, scores: BlockScores, *, basis: Basis, step: int, metrics: Found
    ) -> Evaluation:
        """What the scores say of the split, beside metrics that were made of them."""
        units = units_of(scores.nats_N, blocks.counts, blocks.documents)
        lo, hi = interval(units.totals, units.counts)
        return Evaluation(
            step=step,
            split=cast(SplitName, blocks.split.name),
            basis=basis,
            checkpoint_step=step,
            nats=scores.nats_N,
            counts=blocks.counts,
            n_bytes=blocks.n_bytes(self.data.tokenizer.token_bytes),
            n_documents=blocks.n_documents,
            loss_lo=lo,
            loss_hi=hi,
            unit=unit_of(self.recipe.task),
            metrics=metrics,
        )

    def metrics(self, blocks: Blocks, scores: BlockScores) -> Found:
        """Of what was scored: of labels by their outputs; of plain text there are none."""
        if scores.outputs_NO is None:
            return {}
        score = self._score(scores.outputs_NO, labels_of(blocks))
        return {k: m.as_dict() for k, m in measured(score, len(blocks)).items()}

    def outcomes(self, blocks: Blocks, scores: BlockScores) -> dict[str, Any]:
        """What there is to see of a labelled task: where it errs, how sure it is, what beats it.

        Without the linear baseline where scikit-learn is not installed: ``missing`` then says so.
        """
        outputs_NO = scores.outputs_NO
        if outputs_NO is None:
            return {}
        labels_NL = labels_of(blocks)
        found: dict[str, Any] = {"worst": self._worst(blocks, scores.nats_N, outputs_NO)}
        if self.labels.means:
            every = max(1, len(labels_NL) // _POINTS)
            both = np.stack([labels_NL, outputs_NO], axis=2)[::every, 0]
            found["scatter"] = both.round(4).tolist()
        elif not self.labels.several:  # of several there is no table of who is taken for whom
            found |= class_report(outputs_NO, labels_NL[:, 0].astype(np.int64), self.labels.names)
        try:
            found["linear"] = self._against_linear(blocks, outputs_NO)
        except MissingExtra as e:
            self.missing = str(e)
        return found

    def _against_linear(self, blocks: Blocks, outputs_NO: np.ndarray) -> dict[str, Any]:
        """The linear baseline's metrics on the same texts, and whether ours are better."""
        labels_NL = labels_of(blocks)
        texts = decoded(self.data, blocks.split, blocks.documents)
        theirs = self._score(self._linear(texts), labels_NL)
        against = compared(self._score(outputs_NO, labels_NL), theirs, len(blocks))
        name = next(key for key in against if key.startswith(_COMPARED))
        kind = "ridge regression" if self.labels.means else "linear SVM"
        return {
            "name": f"TF-IDF of 1- and 2-grams, {kind}",
            "metrics": {k: m.as_dict() for k, m in measured(theirs, len(blocks)).items()},
            "against": {"metric": name, **against[name].as_dict()},
        }

    @cached_property
    def _linear(self) -> FromTexts:
        """The linear baseline, fitted to the train split."""
        train, labels = self.data.splits["train"], self.labels
        assert train.labels is not None, train.name
        texts = decoded(self.data, train, np.arange(train.n_documents))
        if labels.means:
            return linear_regressor(texts, train.labels)
        if labels.several:
            return linear_labeller(texts, train.labels)
        return linear_classifier(texts, train.labels[:, 0].astype(np.int64), len(labels.names))

    def _score(self, outputs_NO: np.ndarray, labels_NL: np.ndarray) -> Score:
        labels, task = self.labels, self.recipe.task
        if isinstance(task, Regress):
            quantile = task.loss.quantile if isinstance(task.loss, Quantile) else None
            return regression_score(outputs_NO, labels_NL, labels.names, quantile=quantile)
        if labels.several:
            return label_score(outputs_NO, labels_NL, labels.names)
        return class_score(outputs_NO, labels_NL[:, 0].astype(np.int64))

    def _worst(
        self, blocks: Blocks, nats_N: np.ndarray, outputs_NO: np.ndarray
    ) -> list[dict[str, Any]]:
        """The texts with the largest loss: candidates for wrong labels."""
        order = np.argsort(-nats_N, kind="stable")[:_SHOWN]
        documents, outputs = blocks.documents[order], outputs_NO[order]
        if not (self.labels.means or self.labels.several):
            outputs = outputs.argmax(axis=1, keepdims=True)  # the index of a class, as labels are
        columns = {
            "text": decoded(self.data, blocks.split, documents),
            "label": [self._named(row) for row in labels_of(blocks)[order]],
            "predicted": [self._named(row) for row in outputs],
            "loss": nats_N[order].tolist(),
            "place": [place_of(blocks.split, document) for document in documents.tolist()],
        }
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def _named(self, values_L: np.ndarray) -> str:
        """What is said of one text, by its labels or by the model."""
        names = self.labels.names
        if self.labels.means:
            return " ".join(f"{x:.4g}" for x in values_L)
        if self.labels.several:
            return ", ".join(name for name, x in zip(names, values_L, strict=True) if x > 0)
        return names[int(values_L[0])]


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
    begun = [p.prompt[-(model.shape.context - room) :] for p in pairs]
    written = generate_batch(model, begun, n_tokens=room, stop_id=stop_id, beams=cfg.beams)
    texts = [tokenizer.decode(np.array(ids, dtype=np.int64)).strip() for ids in written]
    references = [tokenizer.decode(p.reference).strip() for p in pairs]
    found = generation_metrics(texts, references)
    prompts = [tokenizer.decode(np.array(p.prompt)).strip() for p in pairs[:_SHOWN]]
    writings = [
        {"prompt": prompt, "reference": references[i], "written": texts[i]}
        for i, prompt in enumerate(prompts)
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
    span = _span(split, document)
    ids, learned = split.tokens[span].astype(np.int64), split.learned[span]
    last = int(np.flatnonzero(learned)[-1])
    before = np.flatnonzero(~learned[: last + 1])
    first = int(before[-1]) + 1 if len(before) else 0
    return Pair(ids[:first].tolist(), ids[first:last], int(ids[last]))


def _span(split: Split, document: int) -> slice:
    """Where the tokens of a document lie in the stream."""
    starts, following = split.doc_starts, document + 1
    end = split.n_tokens if following == len(starts) else int(starts[following])
    return slice(int(starts[document]), end)


def decoded(data: Prepared, split: Split, documents: np.ndarray) -> list[str]:
    """The texts of some documents, without what ends them."""
    eos_id, out = data.tokenizer.eos_id, []
    for document in documents.tolist():
        ids = split.tokens[_span(split, document)].astype(np.int64)
        out.append(data.tokenizer.decode(ids[:-1] if len(ids) and ids[-1] == eos_id else ids))
    return out


def place_of(split: Split, document: int) -> str:
    """Where an example stands in the data, for people."""
    if split.places is None:
        return f"{split.name} {document + 1}"
    file, record = split.places[document].tolist()
    return f"{split.name}, file {file + 1}, record {record}"
