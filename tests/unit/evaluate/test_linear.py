"""The linear baseline is scikit-learn's own pipeline, and answers whatever it is given."""

from __future__ import annotations

import numpy as np
import pytest

from wellfit.errors import MissingExtra
from wellfit.evaluate.linear import (
    linear_classifier,
    linear_labeller,
    linear_regressor,
)

WORDS = "good bad fine poor well ill so very not a b c d".split()


def texts(n: int = 80) -> list[str]:
    rng = np.random.default_rng(1)
    return [" ".join(rng.choice(WORDS, rng.integers(3, 9))) for _ in range(n)]


@pytest.fixture(autouse=True)
def _needs_sklearn() -> None:
    pytest.importorskip("sklearn")


@pytest.mark.parametrize("n_classes", [2, 3])
def test_scores_are_those_of_the_pipeline_that_the_data_page_names(n_classes: int) -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    train, val = texts()[:60], texts()[60:]
    labels = np.array([len(text) % n_classes for text in train])
    ours = linear_classifier(train, labels, n_classes)(val)
    tfidf = TfidfVectorizer(
        tokenizer=str.split, token_pattern=None, ngram_range=(1, 2), sublinear_tf=True
    )
    theirs = make_pipeline(tfidf, LinearSVC(C=1, random_state=0)).fit(train, labels)
    assert ours.argmax(axis=1).tolist() == theirs.predict(val).tolist()
    decided = theirs.decision_function(val)
    np.testing.assert_allclose(ours if n_classes > 2 else ours[:, 1], decided)


def test_numbers_are_those_of_the_pipeline_that_the_data_page_names() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline

    train, val = texts()[:60], texts()[60:]
    targets = np.array([[text.count("good"), len(text)] for text in train], dtype=float)
    tfidf = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2)
    theirs = make_pipeline(tfidf, Ridge(alpha=2)).fit(train, targets).predict(val)
    np.testing.assert_allclose(linear_regressor(train, targets)(val), theirs)
    alone = linear_regressor(train, targets[:, :1])(val)
    # targets do not hear of each other, and one alone keeps its column
    np.testing.assert_allclose(alone, theirs[:, :1])


def test_each_of_several_labels_has_its_own_classifier() -> None:
    train = texts()
    targets = np.array([["good" in text.split(), "bad" in text.split()] for text in train])
    found = linear_labeller(train, targets)(train) > 0
    assert (found == targets).mean() > 0.95


@pytest.mark.parametrize("found", [(0, 2), (0, 2, 3)])
def test_a_class_that_train_lacks_is_never_predicted(found: tuple[int, ...]) -> None:
    train = texts()
    labels = np.array([found[len(text) % len(found)] for text in train])
    # what no class claims is still given to one that was seen
    scores = linear_classifier(train, labels, 5)([*train, "of unknown words"])
    assert scores.shape == (81, 5)
    assert set(scores.argmax(axis=1)) == set(found)


def test_texts_that_teach_nothing_get_the_same_answer_and_no_error() -> None:
    assert linear_classifier(["a b", "c"], np.array([1, 1]), 3)(["x"]).argmax() == 1
    blank = linear_classifier(["", " ", ""], np.array([0, 1, 1]), 2)(["", "good"])
    assert blank.argmax(axis=1).tolist() == [1, 1]
    # no word stands twice, so only the mean is left
    assert linear_regressor(["aa bb", "cc"], np.array([[1.0], [2.0]]))(["aa"]) == [[1.5]]


def test_without_scikit_learn_the_message_says_what_to_install(monkeypatch) -> None:
    for name in ("sklearn", "sklearn.feature_extraction.text"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    with pytest.raises(MissingExtra, match=r"pip install 'wellfit\[eval\]'"):
        linear_classifier(["a"], np.array([0]), 2)
