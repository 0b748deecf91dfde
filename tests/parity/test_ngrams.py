"""N-grams against scikit-learn's TF-IDF, by hand, resumed, and as files."""

from __future__ import annotations

import copy
import math
from itertools import pairwise
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
import torch

from tests.tiny_models import finished_run, tiny_tokenizer
from wellfit.config import Ngrams as Recipe
from wellfit.config import Regularize, load_dict, recipe_from_dict
from wellfit.errors import CheckpointError, ConfigError
from wellfit.export import export_run
from wellfit.model import (
    Ngrams,
    Outputs,
    build_model,
    noise_source,
    read_model,
    read_outputs,
    resolve_model,
    write_published,
)
from wellfit.optim import build_optimizers
from wellfit.report import NoScreen
from wellfit.store import RunDir, read_run
from wellfit.train import start
from wellfit.train.state import TrainState

VOCAB, ORDERS, BUCKETS = 37, 3, 1 << 18
LABELS = Outputs(("no", "so so", "yes"), "single_label_classification")
CFG = Recipe(orders=ORDERS, words=0, buckets=BUCKETS, context=40)
WORDS = Recipe(orders=ORDERS, words=2, pairs=2, buckets=1 << 21, context=40)
STARTS = np.arange(VOCAB) % 3 != 1


def texts(n: int = 30, seed: int = 1) -> list[list[int]]:
    """No token twice in a text: its two n-grams would count as one twice as long for a length."""
    draw = np.random.default_rng(seed)
    return [draw.permutation(15)[: draw.integers(1, 15)].tolist() for _ in range(n)]


def rows(some: list[list[int]], width: int | None = None) -> SimpleNamespace:
    """Texts padded on the right with token 5, which stands in texts as well."""
    lengths = np.array([len(text) for text in some])
    inputs = np.full((len(some), width or lengths.max()), 5)
    for row, text in zip(inputs, some, strict=True):
        row[: len(text)] = text
    return SimpleNamespace(inputs=inputs, lengths=lengths)


def tensors(some: list[list[int]], width: int | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    made = rows(some, width)
    return torch.from_numpy(made.inputs), torch.from_numpy(made.lengths)


def model(cfg: Recipe = CFG, *, counted: bool = True, seed: int = 2) -> Ngrams:
    made = build_model(cfg, resolve_model(cfg, vocab=VOCAB, outputs=3).shape, seed=1)
    assert not made.rows.weight.any() and not made.bias.any()  # at first every answer is alike
    if counted:
        made.count([rows(texts()[:20]), rows(texts()[20:])], STARTS)
        torch.manual_seed(seed)
        torch.nn.init.normal_(made.rows.weight)
        torch.nn.init.normal_(made.bias)
    return made


class Gram(NamedTuple):
    """An n-gram by name, and where its row is among the features of its text."""

    group: int  # tokens, words, pairs of words
    at: int
    column: int
    name: str


def spelled(text: list[int], cfg: Recipe) -> list[Gram]:
    """Every n-gram of a text, worked out from lists of its tokens and words."""
    tokens = ["start", *map(str, text)]
    found = [
        Gram(0, at, n - 1, " ".join(tokens[at + 2 - n : at + 2]))
        for n in range(1, cfg.orders + 1)
        for at in range(max(0, n - 2), len(text))
    ]
    words, ends = ["start"], [-1]
    for at, token in enumerate(text):
        if at == 0 or STARTS[token]:
            words, ends = [*words, str(token)], [*ends, at]
        else:
            words[-1], ends[-1] = f"{words[-1]}-{token}", at
    for k in range(1, len(words)):
        for n in range(1, min(cfg.words, k + 1) + 1):
            name = " ".join(words[k + 1 - n : k + 1])
            found.append(Gram(1, ends[k], cfg.orders + n - 1, f"run {name}"))
        for first in range(min(k, cfg.pairs + 1) if cfg.pairs else 0):
            name = f"pair {words[first]} {words[k]}, {first}"
            found.append(Gram(2, ends[k], cfg.orders + cfg.words + first, name))
    return found


@pytest.mark.parametrize("cfg", [CFG, WORDS], ids=["tokens", "tokens, words and pairs"])
def test_it_is_scikit_learns_tfidf_of_each_group_below_a_linear_layer(cfg):
    learn = pytest.importorskip("sklearn.feature_extraction.text")
    ours = model(cfg)
    # the row of each n-gram; no two share one
    row_of: dict[str, int] = {}
    for text in texts():
        features, grams = ours.features(*tensors([text])), spelled(text, cfg)
        assert int(features.real_BTN.sum()) == len(grams)
        for gram in grams:
            assert features.real_BTN[0, gram.at, gram.column]
            row = int(features.ids_BTN[0, gram.at, gram.column])
            assert row_of.setdefault(gram.name, row) == row
    assert len(set(row_of.values())) == len(row_of)
    wanted = ours.bias.detach().double().numpy()
    for group in range(3 if cfg.words else 1):
        names = [[g.name for g in spelled(text, cfg) if g.group == group] for text in texts()]
        theirs = learn.TfidfVectorizer(analyzer=lambda x: x, norm="l2", smooth_idf=True)
        weights = theirs.fit_transform(names)
        order = [row_of[gram] for gram in theirs.get_feature_names_out().tolist()]
        assert np.allclose(ours.idf_F[order], theirs.idf_, rtol=1e-6)
        wanted = wanted + weights @ ours.rows.weight.detach().double().numpy()[order]
    found = ours.outputs_of(*tensors(texts(), width=20)).detach().numpy()
    assert np.allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_by_hand():
    cfg = Recipe(orders=2, words=0, buckets=1000, context=8)
    ours = build_model(cfg, resolve_model(cfg, vocab=3, outputs=1).shape, seed=1)
    ours.count([rows([[0, 1], [0, 0]])], np.ones(3, dtype=bool))
    common, rare = 1.0, 1 + math.log(3 / 2)  # in both of two texts, in one
    (a, ab), (b, bb) = ours.features(*tensors([[0, 1]])).ids_BTN[0].tolist()
    assert (a, b) == (0, 1) and len({a, b, ab, bb}) == 4 and min(ab, bb) >= 3
    with torch.no_grad():
        ours.rows.weight[[a, ab, b, bb]] = torch.tensor([[1.0], [10.0], [100.0], [1000.0]])
        ours.bias.fill_(0.5)
    summed = common * (1 + 10) + rare * (100 + 1000)
    length = math.sqrt(2 * common**2 + 2 * rare**2)
    assert float(ours.outputs_of(*tensors([[0, 1]])).detach()) == pytest.approx(
        summed / length + 0.5
    )
    # twice the same token and its row
    again = ours.outputs_of(*tensors([[0, 0]], width=5))
    length = math.sqrt(3 * common**2 + rare**2)
    assert float(again.detach()) == pytest.approx((2 * 1 + 10) / length + 0.5)


def test_dropout_leaves_out_a_share_of_the_ngrams_however_a_batch_is_cut():
    ours, some = model(), texts(8, seed=3)
    cfg, samples_B = Regularize(dropout=0.5), np.arange(40, 48)
    source = noise_source(cfg, ours.shape, seed=1, dtype=torch.float32, device="cpu")
    whole = ours.outputs_of(*tensors(some), drop=source.draw(3, samples_B))
    for cut in (3, 5):
        for a, b in pairwise((0, cut, 8)):
            noise = source.draw(3, samples_B[a:b])
            part = ours.outputs_of(*tensors(some[a:b], width=20), drop=noise)
            assert torch.allclose(part, whole[a:b], atol=1e-5)
    assert not torch.allclose(
        whole, ours.outputs_of(*tensors(some), drop=source.draw(4, samples_B))
    )
    # unbiased, and rows of what was left out are not learned
    draws = [ours.outputs_of(*tensors(some), drop=source.draw(s, samples_B)) for s in range(400)]
    plain = ours.outputs_of(*tensors(some))
    error = torch.stack(draws).std(0) / math.sqrt(len(draws))
    assert ((torch.stack(draws).mean(0) - plain).abs() < 5 * error).all()
    whole.sum().backward()
    ids_BTN, real_BTN = ours.features(*tensors(some))
    learned = ours.rows.weight.grad[ids_BTN[real_BTN].unique(), 0] != 0
    assert 0.3 < learned.float().mean() < 0.8


def test_resumed_it_is_to_the_bit_the_run_without_a_break():
    recipe = recipe_from_dict({"data.path": "x", "train.budget": "9 steps", "model.kind": "ngrams"})
    assert recipe.optim.kind == "sgd"  # unless the recipe says otherwise
    optim = recipe.optim.model_copy(update={"lr": 0.5})
    source = noise_source(
        Regularize(dropout=0.3), model().shape, seed=1, dtype=torch.float32, device="cpu"
    )

    def begun(*, counted: bool) -> TrainState:
        made = model(counted=counted)
        return TrainState(made, build_optimizers(optim, made, weight_decay=0.1))

    def steps(state: TrainState, first: int, last: int) -> None:
        for step in range(first, last):
            some = tensors(texts(6, seed=step))
            noise = source.draw(step, np.arange(6) + 6 * step)
            loss = state.model.outputs_of(*some, drop=noise).square().mean()
            loss.backward()
            state.optimizers.step(1.0, lambda loss=loss: loss)
            state.optimizers.zero_grad()

    whole, broken, resumed = begun(counted=True), begun(counted=True), begun(counted=False)
    steps(whole, 0, 9)
    steps(broken, 0, 4)
    resumed.restore(copy.deepcopy(broken.contents()))
    assert torch.equal(resumed.model.idf_F, whole.model.idf_F)  # counted once, and kept
    assert torch.equal(resumed.model.starts_V, whole.model.starts_V)
    steps(resumed, 4, 9)
    assert torch.equal(resumed.model.rows.weight, whole.model.rows.weight)
    # no pull towards zero on rows that no text touched
    far = whole.model.rows.weight[-50:] == model().rows.weight[-50:]
    assert far.all()


@pytest.mark.parametrize("cfg", [CFG, WORDS], ids=["tokens", "tokens, words and pairs"])
def test_files_read_back_give_the_same_outputs(cfg, tmp_path):
    ours, tokenizer = model(cfg), tiny_tokenizer(separate=True)
    outputs = Outputs(("a", "b", "c"), "regression", (1.0, 2.0, 3.0), (0.5, 1.0, 2.0))
    write_published(tmp_path / "model", ours, tokenizer, outputs=outputs)
    found = read_model(tmp_path / "model")
    assert found.shape == ours.shape and read_outputs(tmp_path / "model") == outputs
    assert torch.equal(found.outputs_of(*tensors(texts())), ours.outputs_of(*tensors(texts())))
    weights = tmp_path / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="do not fit.*download"):
        read_model(tmp_path / "model")


def test_transformers_has_no_class_for_it(tmp_path):
    run = RunDir(finished_run(tmp_path / "run"))
    write_published(run.model, model(), tiny_tokenizer(separate=True), outputs=LABELS, replace=True)
    with pytest.raises(ConfigError, match="no class for n-grams.*model.kind: decoder"):
        export_run(run.path, "hf", tmp_path / "out")
    auto = pytest.importorskip("transformers").AutoModelForSequenceClassification
    with pytest.raises(ValueError, match="wellfit-ngrams"):
        auto.from_pretrained(run.model)


def test_what_it_cannot_do_is_refused():
    with pytest.raises(ConfigError, match="task.kind: classify or regress"):
        resolve_model(CFG, vocab=VOCAB)
    with pytest.raises(ConfigError, match="task.pool"):
        resolve_model(CFG, vocab=VOCAB, outputs=2, pool="last")
    cfg = Regularize(neftune=5.0)
    with pytest.raises(ConfigError, match="regularize.dropout: one number"):
        noise_source(cfg, model().shape, seed=1, dtype=torch.float32, device="cpu")


def test_a_share_and_files_cannot_both_be_the_test_split():
    split = {"kind": "hash", "test_files": "test.txt"}
    asked = {"data": {"path": "x", "split": split}, "train.budget": "1 step"}
    assert recipe_from_dict(asked).data.split.test == 0.0
    with pytest.raises(ConfigError, match="leave data.split.test out"):
        recipe_from_dict(asked | {"data": {"path": "x", "split": split | {"test": 0.1}}})


def test_a_run_learns_whose_test_split_is_a_file_of_its_own(tmp_path):
    """Whether a comes before b is in no word, and in every pair of them."""
    lines = [
        f"{'no yes'.split()[k % 2]} {'x ' * (k % 7)}{('b a', 'a b')[k % 2]}{' y' * (k % 23)}"
        for k in range(322)
    ]
    (tmp_path / "train.txt").write_text("\n".join(lines[:200]))
    (tmp_path / "test.txt").write_text("\n".join(lines[200:]))
    recipe = {
        "task.kind": "classify",
        "data.path": str(tmp_path / "train.txt"),
        "data.pattern": r"(?P<label>\S+) (?P<text>.*)",
        "data.split": {"kind": "hash", "val": 0.3, "test_files": str(tmp_path / "test.txt")},
        "data.cache": str(tmp_path / "cache"),
        "tokenizer.kind": "char",
        "model": {"kind": "ngrams", "buckets": 4096},
        "train": {"budget": "30 epochs", "threads": 1, "micro_batch": 5, "device": "cpu"},
        "regularize.dropout": 0.1,
    }
    assert start(load_dict(recipe), tmp_path / "run", NoScreen()).status == "finished"
    view = read_run(tmp_path / "run")
    looks = [e for e in view.evaluations("test") if e.basis == "full split"]
    accuracy = looks[-1].metrics["accuracy"]
    assert (accuracy["value"], accuracy["n"]) == (1.0, 122)
    idf_F = read_model(tmp_path / "run" / "model").idf_F
    assert idf_F.min() == 1.0 and idf_F.max() > 1.0
