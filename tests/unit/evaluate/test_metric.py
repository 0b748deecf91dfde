"""Intervals and comparisons of metrics."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy import stats

from wellfit.evaluate.metric import Comparison, Metric, compared, mean_score, measured, share
from wellfit.evaluate.ranks import ALL, auc, ranks_of
from wellfit.probe import DRAWS, interval, resamples


def test_the_interval_of_a_mean_is_that_of_the_losses() -> None:
    values = np.random.default_rng(1).gamma(2.0, 1.0, 80)
    metric = measured(mean_score(x=values), 80, seed=7)["x"]
    assert metric.value == pytest.approx(values.mean())
    # one bootstrap for all of the package
    assert metric.ci95 == pytest.approx(interval(values, np.ones(80), seed=7))
    assert metric.n == 80


def test_each_resample_draws_as_many_as_there_are() -> None:
    weights = np.concatenate(list(resamples(50, seed=3)))
    assert weights.shape == (DRAWS, 50)
    assert (weights.sum(axis=1) == 50).all()
    # each unit once on average, with the variance 1 - 1/n of the multinomial
    assert weights.mean() == 1.0
    assert weights.var() == pytest.approx(1 - 1 / 50, rel=0.02)


def test_a_share_has_the_interval_of_its_zeros_and_ones() -> None:
    right = np.random.default_rng(2).random(400) < 0.8
    quick, slow = share(right), measured(mean_score(x=right), 400)["x"]
    assert quick.value == slow.value
    # the same distribution by other draws, on a grid of 1/400
    assert quick.ci95 == pytest.approx(slow.ci95, abs=0.006)


def test_a_weighted_sample_ranks_as_the_sample_itself() -> None:
    rng = np.random.default_rng(4)
    values, truth = rng.integers(0, 12, 60) / 4, rng.integers(0, 2, 60)  # with ties
    for weights in next(iter(resamples(60))):
        sample = np.repeat(np.arange(60), weights.astype(int))
        ours = ranks_of(values)(weights[None], ALL)[0][sample]
        assert ours.tolist() == stats.rankdata(values[sample]).tolist()
        positive, negative = (values[sample][truth[sample] == k] for k in (1, 0))
        theirs = stats.mannwhitneyu(positive, negative).statistic / len(positive) / len(negative)
        assert auc(ranks_of(values), truth, weights[None])[0] == pytest.approx(theirs)


def test_one_example_has_a_value_and_no_interval() -> None:
    for metric in (measured(mean_score(x=np.array([2.0])), 1)["x"], share(np.array([1]))):
        assert all(math.isnan(end) for end in metric.ci95)
        # and JSON has no NaN
        assert json.loads(json.dumps(metric.as_dict(), allow_nan=False))["ci95"] == [None, None]


def test_no_example_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing to measure"):
        measured(mean_score(x=np.empty(0)), 0)


@pytest.mark.parametrize(("gain", "verdict"), [(0.1, "better"), (-0.1, "worse")])
def test_better_is_said_only_when_the_pairs_say_so(gain: float, verdict: str) -> None:
    rng = np.random.default_rng(5)
    hard = rng.normal(0, 3, 300)
    ours, theirs = hard + gain + rng.normal(0, 0.1, 300), hard
    found = compared(mean_score(accuracy=ours), mean_score(accuracy=theirs), 300)["accuracy"]
    # a gain of a thirtieth of the spread is seen, for it is the same examples
    assert found.verdict == verdict
    assert found.ci95[0] < found.difference < found.ci95[1]
    error = compared(mean_score(mse_a=ours), mean_score(mse_a=theirs), 300)["mse_a"]
    # more of an error is worse
    assert {error.verdict, verdict} == {"better", "worse"}
    shuffled = mean_score(accuracy=rng.permutation(theirs))
    assert (
        compared(mean_score(accuracy=ours), shuffled, 300)["accuracy"].verdict
        == "no difference seen"
    )


def test_a_model_is_no_better_than_itself() -> None:
    score = mean_score(accuracy=np.array([1, 0, 1, 1]))
    found = compared(score, score, 4)["accuracy"]
    assert found == Comparison(0.0, (0.0, 0.0), 4, "no difference seen")
    assert found.as_dict()["unseen"] == 0.0


def test_the_verdict_of_no_difference_is_wrong_about_5_times_in_100() -> None:
    rng = np.random.default_rng(6)
    said = 0
    for turn in range(200):
        a, b = rng.normal(0, 1, (2, 80))
        found = compared(mean_score(accuracy=a), mean_score(accuracy=b), 80, seed=turn)
        said += found["accuracy"].verdict != "no difference seen"
    # 10 expected; three standard deviations are 9
    assert 2 <= said <= 20


def test_a_metric_as_json_is_its_value_interval_and_count() -> None:
    assert Metric(0.5, (0.25, 0.75), 4).as_dict() == {"value": 0.5, "ci95": [0.25, 0.75], "n": 4}
