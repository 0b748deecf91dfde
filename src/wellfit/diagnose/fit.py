"""The verdict on fit: is this run over-, under- or well fit, or can nobody tell?

Every rule asks for two things: that the effect is larger than chance (a bootstrap over the
same evaluation blocks at two moments, which is paired and so an order of magnitude tighter
than two separate intervals), and that it is large enough to matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from wellfit.diagnose.finding import Finding
from wellfit.diagnose.linear import beside_linear
from wellfit.probe import DRAWS, mean_draws

MATTERS_FRAC = 0.005  # of the loss: below this no user would act on a difference
FLAT_FRAC = 0.01  # of the loss: a gain surely below this counts as no longer improving
SURE_FRAC = 0.975  # share of bootstrap draws on one side
LAST_FRAC = 0.1  # the last tenth of the budget
HALF_FRAC = 0.5
MOST_SURE_FRAC = 1 - 1 / DRAWS  # all draws on one side say no more than this
ENOUGH_BLOCKS = 8
ENOUGH_EVALUATIONS = 4
MARKS = {
    "bigram": "counts of pairs of tokens",
    "prior": "the share of each label",
    "mean": "the best constant",
}


@dataclass(frozen=True, slots=True)
class Trajectory:
    """What the verdict rests on: the same blocks of each split, measured again and again.

    Shapes: steps (E,), train_nats (E, blocks of the train subset), val_nats (E, blocks of val),
    counts (blocks,) of each.  mark_losses (blocks of val) is the baseline to pass on val's blocks.
    """

    steps: np.ndarray
    train_nats: np.ndarray
    train_counts: np.ndarray
    val_nats: np.ndarray
    val_counts: np.ndarray
    mark_losses: np.ndarray
    steps_total: int
    early_stopped: bool
    diverged_at: int | None
    epochs: float  # passes over the train split by the last evaluation
    recipe: Mapping[str, Any]  # as dotted keys, so that advice can name values to type
    mark: str = "bigram"  # the baseline to pass
    unit: str = "nats"  # of the losses
    chosen_step: int | None = None  # of the weights that were measured whole, and are published
    linear: Mapping[str, Any] | None = None  # the linear baseline on all of val, if there is one

    def times(self, key: str, factor: float) -> dict[str, Any]:
        """A number of the recipe changed by a factor, as advice; nothing where it is not set."""
        value = self.recipe.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return {}
        return {key: float(f"{value * factor:.3g}")}

    def longer(self, factor: int) -> dict[str, Any]:
        """A budget so many times the present one, as advice."""
        return {"train.budget": f"{factor * self.steps_total} steps"}

    def val_loss(self, i: int) -> float:
        """Mean nats per target on val at the i-th evaluation."""
        return float(self.val_nats[i].sum() / self.val_counts.sum())

    def train_loss(self, i: int) -> float:
        """Mean nats per target on the train subset at the i-th evaluation."""
        return float(self.train_nats[i].sum() / self.train_counts.sum())

    def val_change(self, i: int, j: int) -> np.ndarray:
        """Bootstrap draws of the change of val loss from the i-th evaluation to the j-th."""
        return mean_draws(self.val_nats[j] - self.val_nats[i], self.val_counts)

    def train_change(self, i: int, j: int) -> np.ndarray:
        """Bootstrap draws of the change of train loss from the i-th evaluation to the j-th."""
        return mean_draws(self.train_nats[j] - self.train_nats[i], self.train_counts)


def verdict(t: Trajectory) -> Finding:
    """The finding about fit.  Its code is one of ``VerdictCode``."""
    if t.diverged_at is not None:
        return _diverged(t, t.diverged_at)
    found = _of_curves(t)
    return found if t.linear is None else beside_linear(found, t.linear, t.recipe)


def _of_curves(t: Trajectory) -> Finding:
    if len(t.steps) < ENOUGH_EVALUATIONS or len(t.val_counts) < ENOUGH_BLOCKS:
        return _too_little(t)
    for rule in (_no_signal, _overfit, _stopped_short, _undertrained, _well_fit):
        if (finding := rule(t)) is not None:
            return finding
    return _undecided(t)


def _measured(t: Trajectory) -> dict[str, Any]:
    """The numbers that every verdict shows."""
    best = int(np.argmin([t.val_loss(i) for i in range(len(t.steps))]))
    return {
        "train_loss": t.train_loss(-1),
        "val_loss": t.val_loss(-1),
        "best_val_loss": t.val_loss(best),
        "best_step": int(t.steps[best]),
        "last_step": int(t.steps[-1]),
        "steps_total": t.steps_total,
        "epochs": t.epochs,
        "n_evaluations": len(t.steps),
        "n_val_blocks": len(t.val_counts),
        "mark_loss": float(t.mark_losses.sum() / t.val_counts.sum()),
    }


def _drawn(name: str, draws: np.ndarray) -> dict[str, Any]:
    """The mean of bootstrap draws and their 95% interval, as evidence under a name."""
    spread = [float(x) for x in np.quantile(draws, (0.025, 0.975))]
    return {name: float(draws.mean()), f"{name}_ci95": spread}


def _confidence(share: float) -> float:
    """The share of bootstrap draws that agree, never more than so many draws can show."""
    return min(share, MOST_SURE_FRAC)


def _diverged(t: Trajectory, step: int) -> Finding:
    evidence = {"diverged_at": step, "steps_total": t.steps_total}
    return Finding(
        "diverged",
        "stop",
        f"Training diverged: the loss or its gradient became non-finite at step {step}.",
        {**evidence, **(_measured(t) if len(t.steps) else {})},
        "Halve the peak learning rate; if it diverges again at the same batch, look at that batch.",
        t.times("optim.lr", 0.5),
        1.0,
        "Google tuning playbook, learning rate instability",
    )


def _too_little(t: Trajectory) -> Finding:
    n, n_blocks = len(t.steps), len(t.val_counts)
    few = n < ENOUGH_EVALUATIONS
    asked = ((n, "evaluations", ENOUGH_EVALUATIONS), (n_blocks, "blocks of val", ENOUGH_BLOCKS))
    short = [f"{k} {of}, too few (at least {need} are needed)" for k, of, need in asked if k < need]
    return Finding(
        "undecided",
        "info",
        f"Cannot tell from {' and '.join(short)}.",
        _measured(t) if n else {"n_evaluations": 0},
        "Evaluate more often." if few else "Keep more text for validation: raise data.split.val.",
        {"evaluate.every": f"{max(1, t.steps_total // 20)} steps"} if few else {},
    )


def _no_signal(t: Trajectory) -> Finding | None:
    """The best evaluation is not surely better than the baseline to pass."""
    best = int(np.argmin([t.val_loss(i) for i in range(len(t.steps))]))
    draws = mean_draws(t.val_nats[best] - t.mark_losses, t.val_counts)
    sure = float((draws < 0).mean())
    if sure >= SURE_FRAC:
        return None
    _, gain = _gain_per_tenth(t, HALF_FRAC)
    matters = gain.mean() > MATTERS_FRAC * t.val_loss(-1)
    falling = float((gain > 0).mean()) >= SURE_FRAC and bool(matters)
    gained = {"gain_per_tenth": float(gain.mean())}
    evidence = {**_measured(t), **_drawn("below_mark", -draws), **gained}
    claim = (
        f"Surely no better than {MARKS[t.mark]}: val {t.val_loss(best):.3f} against "
        f"{evidence['mark_loss']:.3f} {t.unit}"
    )
    if (draws < 0).any() and (draws > 0).any():
        claim = claim.replace("Surely no better", "Not surely better")
    return Finding(
        "no-signal",
        "warn",
        f"{claim}; it was still falling by {gain.mean():.3f} per 10% of the budget."
        if falling
        else f"{claim}, and it has stopped falling.",
        evidence,
        "Train longer before you change anything else."
        if falling
        else "Look at the text (wellfit check tells its size and repeats), then raise the rate.",
        t.longer(4) if falling else t.times("optim.lr", 3),
        _confidence(1 - sure),
    )


def _overfit(t: Trajectory) -> Finding | None:
    """Val has surely risen since its minimum while train went on falling."""
    best = int(np.argmin([t.val_loss(i) for i in range(len(t.steps))]))
    if best == len(t.steps) - 1:
        return None
    rise, train = t.val_change(best, -1), t.train_change(best, -1)
    rising, falling = float((rise > 0).mean()), float((train < 0).mean())
    matters = rise.mean() > MATTERS_FRAC * t.val_loss(best)
    if not (rising >= SURE_FRAC and falling >= SURE_FRAC and matters):
        return None
    since = int(t.steps[best])
    evidence = {**_measured(t), **_drawn("val_rise", rise), **_drawn("train_fall", -train)}
    return Finding(
        "overfit",
        "warn",
        f"Overfit since step {since}: from there val rose by {rise.mean():.3f} {t.unit} while "
        f"train fell by {-train.mean():.3f}.",
        evidence,
        f"The chosen model is the one of step {t.chosen_step}. More text helps most; else add "
        "dropout, a smaller model or fewer steps.",
        {"regularize.dropout": 0.1, "train.budget": f"{since} steps"},
        _confidence(min(rising, falling)),
        "Goodfellow et al., Deep Learning, 5.2",
    )


def _stopped_short(t: Trajectory) -> Finding | None:
    """A run that a person stopped says nothing about the budget it did not use."""
    share = t.steps[-1] / t.steps_total
    if t.early_stopped or share > 1 - LAST_FRAC:
        return None
    return Finding(
        "undecided",
        "info",
        f"Cannot tell yet: the run stopped at {share:.0%} of its budget, "
        "before its learning rate had come down.",
        _measured(t),
        "Continue it with: wellfit resume RUN",
        {},
    )


def _undertrained(t: Trajectory) -> Finding | None:
    """Val still fell at the end, or came to rest only because the learning rate did.

    A rate that falls to zero flattens every curve, so the last tenth alone cannot acquit a run:
    the second half must have been nearly flat too, and the train text have been read once.
    """
    before, last = _gain_per_tenth(t, LAST_FRAC)
    _, half = _gain_per_tenth(t, HALF_FRAC)
    loss = t.val_loss(-1)
    if loss == 0:
        return None  # there is nothing left to gain
    last_frac, half_frac = float(last.mean()) / loss, float(half.mean()) / loss
    if float((last > 0).mean()) >= SURE_FRAC and last_frac > MATTERS_FRAC:
        claim = (
            f"Undertrained: val still improved by {last.mean():.3f} {t.unit} ({last_frac:.1%}) "
            "per 10% of the budget when it ended."
        )
        sure = float((last > 0).mean())
    elif float((half > 0).mean()) >= SURE_FRAC and half_frac > FLAT_FRAC:
        claim = (
            f"Undertrained: val improved by {half.mean():.3f} {t.unit} ({half_frac:.1%}) per 10% "
            "of the budget over its second half, and came to rest only as the learning rate fell."
        )
        sure = float((half > 0).mean())
    elif t.epochs < 1 and not t.early_stopped:
        claim = (
            f"Undertrained: it has seen {t.epochs:.0%} of the train text once, and the rest never."
        )
        sure = MOST_SURE_FRAC
    else:
        return None
    evidence = {
        **_measured(t),
        **_drawn("gain_per_tenth", last),
        "gain_per_tenth_second_half": float(half.mean()),
        "gain_from_step": int(t.steps[before]),
    }
    return Finding(
        "undertrained",
        "info",
        claim,
        evidence,
        "Train longer; nothing in the curves speaks against it.",
        t.longer(2),
        _confidence(sure),
    )


def _well_fit(t: Trajectory) -> Finding | None:
    """Val has surely stopped improving by more than a trifle, and has not risen by one."""
    _, gain = _gain_per_tenth(t, LAST_FRAC)
    best = int(np.argmin([t.val_loss(i) for i in range(len(t.steps))]))
    rise = t.val_change(best, -1)
    limit = FLAT_FRAC * t.val_loss(-1)
    flat = float((np.abs(gain) <= limit).mean())
    level = float((rise <= limit).mean())
    if not (flat >= SURE_FRAC and level >= SURE_FRAC):
        return None
    gap = t.val_loss(-1) - t.train_loss(-1)
    evidence = {**_measured(t), **_drawn("gain_per_tenth", gain), "gap": gap}
    return Finding(
        "well-fit",
        "info",
        f"Well fit: val changed by {abs(gain.mean()):.3f} {t.unit} over the last 10% of the budget "
        f"and stands {gap:.3f} above train.",
        evidence,
        "To go lower, change the model or the data: more of the same training will not do it.",
        {"model.depth": int(t.recipe["model.depth"]) + 2} if "model.depth" in t.recipe else {},
        _confidence(min(flat, level)),
    )


def _undecided(t: Trajectory) -> Finding:
    _, gain = _gain_per_tenth(t, LAST_FRAC)
    evidence = {**_measured(t), **_drawn("gain_per_tenth", gain)}
    lo, hi = evidence["gain_per_tenth_ci95"]
    return Finding(
        "undecided",
        "info",
        f"Cannot tell: the change over the last 10% of the budget lies between {-hi:+.3f} and "
        f"{-lo:+.3f} {t.unit}, too wide to call.",
        evidence,
        "Evaluate on more text.",
        {"evaluate.tokens": 4 * int(t.val_counts.sum())},
    )


def _gain_per_tenth(t: Trajectory, share: float) -> tuple[int, np.ndarray]:
    """How much val fell per tenth of the budget over its last ``share``: where from, and draws."""
    tenth = LAST_FRAC * t.steps_total
    earlier = np.flatnonzero(t.steps <= t.steps[-1] - share * t.steps_total)
    before = int(earlier[-1]) if len(earlier) else 0
    span = max(1.0, float(t.steps[-1] - t.steps[before]))
    return before, -t.val_change(before, -1) * tenth / span
