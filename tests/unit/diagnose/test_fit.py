"""Trajectories whose verdict a person would give at a glance."""

from dataclasses import replace

import numpy as np
import pytest

from wellfit.diagnose import Trajectory, verdict
from wellfit.evaluate.metric import compared, mean_score, measured

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
    found = verdict(_trajectory(FALLING, RISING, chosen_step=1000))
    assert found.code == "overfit"
    # what was chosen may have been chosen by something else than the loss
    assert "The chosen model is the one of step 1000." in found.advice
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


def _linear(ours: float, theirs: float, n: int) -> dict:
    """A model and the linear one that are each right on a share of n texts, by themselves."""
    rng = np.random.default_rng(3)
    found = [mean_score(accuracy=rng.random(n) < share) for share in (ours, theirs)]
    against = compared(*found, n)["accuracy"].as_dict()
    metrics = {"accuracy": measured(found[1], n)["accuracy"].as_dict()}
    name = "TF-IDF of 1- and 2-grams, linear SVM"
    return {"name": name, "metrics": metrics, "against": {"metric": "accuracy", **against}}


LOSES, WINS = _linear(0.75, 0.9, 800), _linear(0.9, 0.75, 800)
TIES, TOO_FEW = _linear(0.85, 0.85, 800), _linear(0.75, 0.85, 40)


@pytest.mark.parametrize(
    ("val", "linear", "code", "says"),
    [
        (RISING, LOSES, "overfit", "Worse than a linear model that trains in seconds"),
        # what rests below a linear model has not learned what there is to learn
        (FLAT, LOSES, "underfit", "Worse than a linear model"),
        (FALLING, LOSES, "undertrained", "Worse than a linear model"),
        (FLAT, TIES, "well-fit", "Not surely better than a linear model that trains in seconds"),
        (FLAT, TOO_FEW, "well-fit", "Not surely better than a linear model"),
        (RISING, WINS, "overfit", "Better than a linear model"),
        (FLAT, WINS, "well-fit", "Better than a linear model"),
    ],
)
def test_a_verdict_says_how_the_model_stands_to_a_linear_one(
    val: list[float], linear: dict, code: str, says: str
) -> None:
    found, plain = (verdict(_trajectory(FALLING, val, linear=x)) for x in (linear, None))
    lo, hi = found.evidence["above_linear_ci95"]
    loses = linear is LOSES
    assert (found.code, hi < 0) == (code, loses)
    # with the numbers it rests on, and nothing else of the verdict lost
    against = linear["against"]
    assert says in found.claim and f"on {against['n']} texts of val" in found.claim
    assert lo < found.evidence["above_linear"] == against["difference"] < hi
    assert plain.evidence.items() <= found.evidence.items() and plain.advice in found.advice
    # and what to do is said where it loses, and only there
    assert ("model.kind: ngrams" in found.advice) == loses
    assert (found.severity == "warn") == (loses or plain.severity == "warn")


def test_a_model_that_loses_at_rest_is_told_to_be_another() -> None:
    at_rest = _trajectory(FALLING, RISING, linear=LOSES)
    assert verdict(at_rest).change == {"model.kind": "ngrams"}
    falling = verdict(_trajectory(FALLING, FALLING, linear=LOSES))
    # one that still improves is to go on first
    assert "train.budget" in falling.change and falling.advice.startswith("Train longer")
    ngrams = verdict(_trajectory(FALLING, RISING, linear=LOSES, recipe={"model.kind": "ngrams"}))
    # and n-grams are not told to be n-grams
    assert ngrams.change == {} and "ngrams" not in ngrams.advice
    assert "model.kind: pretrained" in ngrams.advice


def test_what_cannot_be_compared_is_not_judged() -> None:
    nothing = {"difference": None, "ci95": [None, None], "n": 9, "verdict": "no difference seen"}
    undefined = {**LOSES, "against": {"metric": "pearson", **nothing}}
    # such as the correlation of a model that says the same number for every text
    found, plain = (verdict(_trajectory(FLAT, FLAT, linear=x)) for x in (undefined, None))
    assert found == plain


def test_a_loss_of_nothing_at_all_is_well_fit() -> None:
    solved = _trajectory(FALLING, FALLING)
    losses = np.linspace(1, 0, len(FALLING))[:, None].clip(min=0.3)
    losses[-6:] = 0.0
    nothing_left = losses * np.full((1, BLOCKS), COUNT)
    found = verdict(replace(solved, val_nats=nothing_left, train_nats=nothing_left))
    assert found.code == "well-fit"
