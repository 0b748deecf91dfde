"""Every metric of numbers is scipy's or scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from wellfit.evaluate.metric import measured
from wellfit.evaluate.regression import regression_score
from wellfit.probe import resamples

sk = pytest.importorskip("sklearn.metrics")


def numbers(n: int = 90) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    targets = rng.integers(10, 50, (n, 2)) / 10  # with ties, as ratings have
    return targets + rng.normal(0, 1, (n, 2)).round(1), targets


def by_others(predicted: np.ndarray, target: np.ndarray) -> dict[str, float]:
    return {
        "mse": sk.mean_squared_error(target, predicted),
        "mae": sk.mean_absolute_error(target, predicted),
        "r2": sk.r2_score(target, predicted),
        "pearson": stats.pearsonr(target, predicted).statistic,
        "spearman": stats.spearmanr(target, predicted).statistic,
        "pinball": sk.mean_pinball_loss(target, predicted, alpha=0.9),
    }


def test_each_value_and_each_draw_is_theirs() -> None:
    predictions, targets = numbers()
    weights = np.concatenate((np.ones((1, 90)), next(iter(resamples(90)))[:5]))
    ours = regression_score(predictions, targets, "VA", quantile=0.9)(weights)
    for draw, weight in enumerate(weights):
        sample = np.repeat(np.arange(90), weight.astype(int))
        for k, name in enumerate("VA"):
            theirs = by_others(predictions[sample, k], targets[sample, k])
            found = {kind: ours[f"{kind}_{name}"][draw] for kind in theirs}
            assert found == pytest.approx(theirs, abs=1e-12)


def test_one_target_needs_no_name() -> None:
    predictions, targets = (x[:, :1] for x in numbers())
    found = measured(regression_score(predictions, targets, ["score"]), 90)
    # the pinball loss only for a quantile
    assert set(found) == {"mse", "mae", "r2", "pearson", "spearman"}
    for metric in found.values():
        assert metric.ci95[0] < metric.value < metric.ci95[1] and metric.n == 90


def test_the_interval_is_scipys() -> None:
    predictions, targets = (x[:, 0] for x in numbers())
    score = regression_score(predictions[:, None], targets[:, None], ["y"])
    ours = measured(score, 90)["pearson"].ci95
    theirs = stats.bootstrap(
        (predictions, targets), lambda a, b: stats.pearsonr(a, b).statistic, paired=True,
        vectorized=False, n_resamples=2000, method="percentile", random_state=2,
    ).confidence_interval  # fmt: skip
    width = theirs.high - theirs.low
    # up to the noise of 1000 and of 2000 draws, a few percent of the width
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.12 * width)


@pytest.mark.parametrize("constant", [0.1, 3.3, 1e6 + 0.1])
def test_what_is_undefined_is_nan_and_says_nothing(constant: float) -> None:
    predictions, targets = numbers()
    same = np.full((90, 1), constant)
    found = measured(regression_score(same, targets[:, :1], ["y"]), 90)
    # equal predictions are correlated with nothing
    assert np.isnan(found["pearson"].value) and np.isnan(found["spearman"].value)
    assert found["r2"].value == pytest.approx(sk.r2_score(targets[:, 0], same))
    # equal targets leave nothing to explain
    found = measured(regression_score(predictions[:, :1], same, ["y"]), 90)
    assert np.isnan(found["r2"].value)


def test_numbers_far_from_zero_keep_their_digits() -> None:
    predictions, targets = (np.round(4 * x) / 4 for x in numbers())
    near = measured(regression_score(predictions, targets, "VA"), 90)
    far = measured(regression_score(predictions + 1e8, targets + 1e8, "VA"), 90)
    for name in near:
        assert far[name].value == pytest.approx(near[name].value, rel=1e-6)


def test_shapes_that_do_not_fit_are_named() -> None:
    with pytest.raises(ValueError, match=r"\(N, 1\), got \(3, 2\) and \(3, 2\)"):
        regression_score(np.zeros((3, 2)), np.zeros((3, 2)), ["y"])
