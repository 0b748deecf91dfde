"""Texts against references: sacrebleu's own figures, and ROUGE by hand."""

from __future__ import annotations

import numpy as np
import pytest

from wellfit.errors import MissingExtra
from wellfit.evaluate.generation import generation_metrics, overlap
from wellfit.probe import resamples

WORDS = "a b c d e f . , the cat sat".split()


def pairs(n: int = 40) -> tuple[list[str], list[str]]:
    rng = np.random.default_rng(3)
    references = [" ".join(rng.choice(WORDS, rng.integers(5, 15))) for _ in range(n)]
    texts = [" ".join(w for w in r.split() if rng.random() < 0.9) for r in references]
    return texts, references


def test_bleu_and_chrf_are_sacrebleus_own() -> None:
    sacrebleu = pytest.importorskip("sacrebleu")
    texts, references = pairs()
    found = generation_metrics(texts, references)
    bleu, chrf = sacrebleu.BLEU(), sacrebleu.CHRF()
    assert found.metrics["bleu"].value == bleu.corpus_score(texts, [references]).score
    assert found.metrics["chrf"].value == chrf.corpus_score(texts, [references]).score
    # what makes a figure comparable is kept
    assert found.signatures == {
        "bleu": str(bleu.get_signature()),
        "chrf": str(chrf.get_signature()),
    }
    assert "tok:13a" in found.signatures["bleu"]
    assert "tok:none" in generation_metrics(texts, references, tokenize="none").signatures["bleu"]


def test_each_draw_is_what_sacrebleu_says_of_the_resample() -> None:
    sacrebleu = pytest.importorskip("sacrebleu")
    texts, references = pairs()
    found = generation_metrics(texts, references)
    weights = next(iter(resamples(40)))[:20]
    ours = found.score(weights)
    for draw, weight in enumerate(weights):
        sample = np.repeat(np.arange(40), weight.astype(int))
        drawn = [[side[i] for i in sample] for side in (texts, references)]
        for name, maker in (("bleu", sacrebleu.BLEU()), ("chrf", sacrebleu.CHRF())):
            # so the interval is that of scoring a thousand resamples anew
            assert ours[name][draw] == maker.corpus_score(drawn[0], [drawn[1]]).score
    bleu = found.metrics["bleu"]
    assert bleu.ci95[0] < bleu.value < bleu.ci95[1]


def test_the_reference_itself_is_perfect() -> None:
    _, references = pairs()
    found = generation_metrics(references, references).metrics
    values = {name: metric.value for name, metric in found.items()}
    one = {"exact_match": 1, "rouge1": 1, "rouge2": 1, "rougeL": 1}
    assert values == pytest.approx({"bleu": 100, "chrf": 100, **one})
    assert all(metric.n == 40 for metric in found.values())


@pytest.mark.parametrize(
    ("text", "reference", "rouge1", "rouge2", "rouge_l"),
    [
        # 5 of 6 words, 3 of 5 pairs, "the cat ... on the mat"
        ("the cat sat on the mat", "the cat lay on the mat", 5 / 6, 3 / 5, 5 / 6),
        # 3 words each, all shared; no pair; one word in order
        ("a b c", "c b a", 1, 0, 1 / 3),
        # a word counts as often as it stands on both sides: 2 of 3 and 2
        ("a a a", "a a", 4 / 5, 2 / 3, 4 / 5),
        # 2 shared of 4 and 3 words, longest common subsequence 2
        ("w x y z", "x q z", 4 / 7, 0, 4 / 7),
        # case and marks are set aside; letters of any script are not
        ("It's GR\u00dcN, isn't it?", "it s gr\u00fcn isn t it", 1, 1, 1),
        ("\u4e2d\u6587 b", "\u4e2d\u6587", 2 / 3, 0, 2 / 3),
        ("", "a", 0, 0, 0),
        ("...", "...", 0, 0, 0),
    ],
)
def test_rouge_by_hand(text, reference, rouge1, rouge2, rouge_l) -> None:
    found = overlap(text, reference)
    assert (found["rouge1"], found["rouge2"]) == pytest.approx((rouge1, rouge2))
    assert found["rougeL"] == pytest.approx(rouge_l)


def test_rouge_is_rouge_score_on_ascii() -> None:
    scorers = pytest.importorskip("rouge_score.rouge_scorer")
    scorer = scorers.RougeScorer(["rouge1", "rouge2", "rougeL"])
    words = ["a", "b", "C", "d-e", "f_g", "h.", "I'm", "10,5"]
    rng = np.random.default_rng(4)
    for _ in range(300):
        text, other = (" ".join(rng.choice(words, rng.integers(0, 14))) for _ in range(2))
        theirs = {name: score.fmeasure for name, score in scorer.score(other, text).items()}
        ours = overlap(text, other)
        assert {name: ours[name] for name in theirs} == pytest.approx(theirs)


@pytest.mark.parametrize("size", [(0, 3), (30, 40), (90, 70)])
def test_the_longest_common_subsequence_is_that_of_the_table(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(5)
    a, b = (rng.choice(list("abcd"), n).tolist() for n in size)
    table = np.zeros((len(a) + 1, len(b) + 1), dtype=int)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            best = max(table[i, j + 1], table[i + 1, j])
            table[i + 1, j + 1] = table[i, j] + 1 if x == y else best
    longest = table[-1, -1]
    # the textbook's quadratic program
    assert overlap(" ".join(a), " ".join(b))["rougeL"] == pytest.approx(2 * longest / sum(size))


def test_exact_match_sets_surrounding_space_aside_and_nothing_else() -> None:
    cases = [(" 42\n", "42", 1), ("42.", "42", 0), ("A", "a", 0)]
    assert [overlap(text, other)["exact_match"] for text, other, _ in cases] == [1, 0, 0]


def test_texts_without_references_are_refused() -> None:
    with pytest.raises(ValueError, match="2 texts and 1 references"):
        generation_metrics(["a", "b"], ["a"])


def test_without_sacrebleu_the_message_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sacrebleu", None)
    with pytest.raises(MissingExtra, match=r"pip install 'wellfit\[eval\]'"):
        generation_metrics(["a"], ["a"])
