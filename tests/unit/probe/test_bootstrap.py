import numpy as np
import pytest
from scipy import stats

from wellfit.probe import interval, mean_draws, units_of


def test_the_interval_agrees_with_scipys_bootstrap() -> None:
    rng = np.random.default_rng(1)
    totals, counts = rng.gamma(4.0, 50.0, 200), rng.integers(50, 150, 200)

    def ratio(t: np.ndarray, c: np.ndarray, axis: int = -1) -> np.ndarray:
        return t.sum(axis=axis) / c.sum(axis=axis)

    theirs = stats.bootstrap(
        (totals, counts), ratio, paired=True, vectorized=True, n_resamples=5000,
        method="percentile", random_state=2,
    ).confidence_interval  # fmt: skip
    ours = interval(totals, counts)
    width = theirs.high - theirs.low
    # two bootstraps of 1000 and 5000 draws differ by their own noise, a few percent of the width
    assert ours.lo == pytest.approx(theirs.low, abs=0.1 * width)
    assert ours.hi == pytest.approx(theirs.high, abs=0.1 * width)


def test_a_95_interval_holds_the_truth_about_95_times_in_100() -> None:
    rng = np.random.default_rng(3)
    hits = 0
    for turn in range(200):
        x = rng.normal(1.0, 0.5, 100)
        lo, hi = interval(x, np.ones(100, dtype=np.int64), seed=turn)
        hits += lo <= 1.0 <= hi
    # 190 expected; three standard deviations of the count are 9
    assert 178 <= hits <= 199


def test_the_interval_is_weighted_by_counts_and_not_by_blocks() -> None:
    totals, counts = np.array([100.0, 1.0] * 20), np.array([100, 10] * 20)
    assert mean_draws(totals, counts).mean() == pytest.approx(101 / 110, rel=0.02)


def test_pairing_removes_what_both_runs_share() -> None:
    rng = np.random.default_rng(4)
    shared, counts = rng.normal(500, 80, 64), np.full(64, 256)
    other = shared - 5 + rng.normal(0, 2, 64)
    alone, paired = mean_draws(shared, counts).std(), mean_draws(other - shared, counts).std()
    assert paired < alone / 10


def test_the_same_seed_gives_the_same_interval() -> None:
    x, n = np.arange(30.0), np.ones(30, dtype=np.int64)
    assert interval(x, n, seed=5) == interval(x, n, seed=5)


def test_one_block_has_no_interval() -> None:
    assert all(np.isnan(interval(np.array([3.0]), np.array([2]))))


def test_blocks_of_one_document_move_together() -> None:
    totals, counts = np.arange(60.0), np.full(60, 2)
    units = units_of(totals, counts, np.repeat(np.arange(30), 2))
    assert units.totals.tolist() == [4 * i + 1 for i in range(30)]
    assert units.counts.tolist() == [4] * 30


@pytest.mark.parametrize("documents", [np.repeat(np.arange(3), 20), np.arange(60)])
def test_few_documents_or_one_a_block_leave_the_blocks(documents: np.ndarray) -> None:
    units = units_of(np.arange(60.0), np.full(60, 2), documents)
    assert len(units.totals) == 60
