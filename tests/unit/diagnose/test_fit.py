"""Trajectories whose verdict a person would give at a glance."""

import numpy as np
import pytest

from wellfit.diagnose import Trajectory, verdict

BLOCKS, COUNT = 64, 256


def _trajectory(
    train: list[float],
    val: list[float],
    *,
    bigram: float = 2.5,
    noise: float = 0.2,
    **changes: object,
) -> Trajectory:
    """Mean losses over time, laid over blocks that differ from one another but not in time."""
    rng = np.random.default_rng(1)
    offsets = rng.normal(0, noise, BLOCKS)
    wobble = 0.002  # what is left of the noise in a paired comparison (research: 12 times tighter)
    counts = np.full(BLOCKS, COUNT)

    def nats(losses: list[float]) -> np.ndarray:
        rows = [loss + offsets + rng.normal(0, wobble, BLOCKS) for loss in losses]
        return np.stack(rows) * COUNT if rows else np.empty((0, BLOCKS))

    values = {
        "steps": np.arange(len(val)) * 100,
        "train_nats": nats(train),
        "train_counts": counts,
        "val_nats": nats(val),
        "val_counts": counts,
        "mark_losses": (bigram + offsets) * COUNT,
        "steps_total": (len(val) - 1) * 100,
        "early_stopped": False,
        "diverged_at": None,
        "epochs": 2.0,
        "recipe": {"optim.lr": 0.02, "model.depth": 4},
    }
    return Trajectory(**{**values, **changes})


FALLING = [4.2, 3.0, 2.4, 2.1, 1.9, 1.8, 1.7, 1.62, 1.55, 1.5, 1.45]
FLAT = [4.2, 2.5, 2.0, 1.8, 1.65, 1.62, 1.61, 1.605, 1.602, 1.601, 1.6]
RESTED = [4.2, 3.4, 3.0, 2.7, 2.5, 2.3, 2.15, 2.05, 2.01, 2.001, 2.0]
RISING = [4.2, 2.5, 2.0, 1.8, 1.7, 1.65, 1.68, 1.72, 1.78, 1.85, 1.95]


def test_val_that_rises_while_train_falls_is_overfit_since_its_minimum() -> None:
    found = verdict(_trajectory(FALLING, RISING))
    assert found.code == "overfit"
    assert found.evidence["best_step"] == 500
    assert found.evidence["val_rise"] == pytest.approx(0.3, abs=0.01)
    assert "step 500" in found.claim


def test_val_that_falls_at_the_end_is_undertrained_by_its_gain() -> None:
    found = verdict(_trajectory(FALLING, FALLING))
    assert found.code == "undertrained"
    # the last tenth is the last 100 steps
    assert found.evidence["gain_per_tenth"] == pytest.approx(0.05, abs=0.005)


def test_a_curve_that_rests_only_as_the_rate_falls_is_undertrained() -> None:
    found = verdict(_trajectory(RESTED, RESTED))
    assert found.code == "undertrained"
    assert "second half" in found.claim


def test_a_flat_curve_that_has_not_read_the_text_once_is_undertrained() -> None:
    found = verdict(_trajectory(FLAT, FLAT, epochs=0.06))
    assert found.code == "undertrained"
    assert "6% of the train text" in found.claim


def test_no_signal_that_still_falls_is_told_to_go_on() -> None:
    falling = verdict(_trajectory(FALLING, FALLING, bigram=1.2))
    resting = verdict(_trajectory(FLAT, FLAT, bigram=1.2))
    assert (falling.code, resting.code) == ("no-signal", "no-signal")
    assert "still falling" in falling.claim and "train.budget" in falling.change
    assert "stopped falling" in resting.claim and "optim.lr" in resting.change


def test_val_that_has_come_to_rest_is_well_fit() -> None:
    assert verdict(_trajectory(FLAT, FLAT)).code == "well-fit"


def test_a_rise_too_small_to_matter_is_not_overfitting() -> None:
    val = [*FLAT[:-1], FLAT[-2] + 0.004]
    assert verdict(_trajectory(FALLING, val)).code == "well-fit"


def test_val_that_rises_with_train_is_not_overfitting() -> None:
    assert verdict(_trajectory(RISING, RISING)).code != "overfit"


def test_no_better_than_bigram_is_no_signal() -> None:
    assert verdict(_trajectory(FLAT, FLAT, bigram=1.59)).code == "no-signal"


def test_a_run_stopped_half_way_is_not_judged() -> None:
    found = verdict(_trajectory(FALLING, FALLING, steps_total=2000))
    assert found.code == "undecided"
    assert "50%" in found.claim


def test_an_early_stop_half_way_is_judged() -> None:
    found = verdict(_trajectory(FALLING, RISING, steps_total=2000, early_stopped=True))
    assert found.code == "overfit"


def test_divergence_comes_before_everything() -> None:
    found = verdict(_trajectory([], [], diverged_at=7))
    assert (found.code, found.severity) == ("diverged", "stop")
    assert found.evidence["diverged_at"] == 7


def test_three_evaluations_are_too_few_to_tell() -> None:
    found = verdict(_trajectory(FALLING[:3], FALLING[:3]))
    assert found.code == "undecided"
    assert "too few" in found.claim


def test_noise_wider_than_the_question_is_undecided() -> None:
    t = _trajectory(FLAT, FLAT)
    rng = np.random.default_rng(2)
    noisy = t.val_nats + rng.normal(0, 0.4 * COUNT, t.val_nats.shape)
    noisy[-1] = noisy[-2] = t.val_nats[-1] + rng.normal(0, 0.2 * COUNT, BLOCKS)
    noisy[-1] += rng.normal(0, 0.2 * COUNT, BLOCKS)
    found = verdict(_trajectory(FLAT, FLAT, val_nats=noisy, val_counts=t.val_counts, bigram=5.0))
    assert found.code == "undecided"


@pytest.mark.parametrize("val", [FALLING, FLAT, RISING])
def test_every_verdict_says_what_to_do_and_what_it_rests_on(val: list[float]) -> None:
    found = verdict(_trajectory(FALLING, val))
    assert found.advice and found.evidence["n_val_blocks"] == BLOCKS
    assert found.confidence is None or 0 <= found.confidence <= 1
