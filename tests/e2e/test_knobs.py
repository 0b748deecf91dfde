"""Every setting of training in a whole run: it changes the outcome as its name says."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import torch
from safetensors.torch import load_file

from wellfit.checkpoint import committed
from wellfit.config import Decoder, load_dict
from wellfit.model import build_decoder, explain_shape, read_published, write_published
from wellfit.report import NoScreen
from wellfit.store import RunView, flat_recipe, read_run
from wellfit.tokenizer import char_tokenizer
from wellfit.train import start

OPTIMIZERS = (
    "sgd", "adam", "adamw", "nadam", "radam", "adamax", "adagrad", "adadelta", "rmsprop",
    "adafactor", "lion", "muon", "schedule-free-adamw",
)  # fmt: skip
# a short run in which nothing happens but what a case asks for
PLAIN: dict[str, Any] = {
    "data.document": "paragraph",
    "tokenizer": {"kind": "char"},
    "model": {"depth": 2, "width": 32, "heads": 2, "context": 32},
    "train.batch": 8,
    "train.micro_batch": 8,
    "train.threads": 1,
    "train.compile": False,
    "train.precision": "fp32",
    "train.budget": "10 steps",
    "optim": {"kind": "sgd", "lr": 0.03, "momentum": 0},
    "schedule": {"kind": "constant", "warmup": 0},
    "regularize": {"dropout": 0, "clip": None, "weight_decay": 0},
    "evaluate.every": "10 steps",
    "evaluate.tokens": 640,
    "evaluate.sample": None,
    "checkpoint.every": "1 step",
    "checkpoint.keep": 60,
    "stop": None,
}
Keys: TypeAlias = dict[str, Any]
Run: TypeAlias = Callable[[Keys], RunView]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("".join(f"{i * i} is the square of {i}.\n\n" for i in range(800)))
    return path


@pytest.fixture(scope="module")
def run(text: Path) -> Run:
    """Train with these keys beside the plain ones, once."""
    done: dict[str, RunView] = {}

    def trained(keys: Keys) -> RunView:
        name = repr(sorted(keys.items()))
        if name not in done:
            folder = text.parent / f"run-{len(done)}"
            paths = {"data.path": str(text), "data.cache": str(text.parent)}
            torch.set_num_threads(1)
            start(load_dict({**PLAIN, **paths, **keys}), folder, NoScreen())
            done[name] = read_run(folder)
        return done[name]

    return trained


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_an_optimizer_learns_at_the_rate_that_is_chosen_for_it(kind: str, run: Run) -> None:
    schedule = "constant" if kind == "schedule-free-adamw" else "linear"
    keys = {"optim": {"kind": kind}, "schedule": {"kind": schedule}, "train.budget": "30 steps"}
    view = run({**keys, "evaluate.every": "7 steps"})
    assert flat_recipe(view.resolved())["optim.kind"] == kind
    losses = [e.loss for e in view.evaluations("val") if e.basis == "fixed blocks"]
    assert losses[-1] < losses[0] - 0.02


def _weights(view: RunView) -> list[torch.Tensor]:
    """All weights, one after the other, after each step."""
    return [torch.cat([w.flatten() for w in weights.values()]) for weights in _saved(view)]


def _saved(view: RunView) -> list[dict[str, torch.Tensor]]:
    # the last step is saved before it is measured and after it
    by_step = {one.step: one.path for one in committed(view.run.path / "checkpoints")}
    return [load_file(path / "model.safetensors") for path in by_step.values()]


def _scores(view: RunView) -> torch.Tensor:
    """What the published model gives each next token of a text, before the softmax."""
    model = read_published(view.run.path / "model").eval()
    with torch.no_grad():
        scores: torch.Tensor = model(torch.arange(20).view(1, 20))
    return scores


def moved(view: RunView) -> float:
    """How far the weights went after the first step."""
    weights = _weights(view)
    return (weights[-1] - weights[0]).norm().item()


def moved_inside(view: RunView) -> float:
    """The same of one matrix of a block, which muon turns."""
    saved, name = _saved(view), "blocks.0.attention.q.weight"
    return (saved[-1][name] - saved[0][name]).norm().item()


def unevenness(view: RunView) -> float:
    """Deviation over mean of how far each neuron of a matrix of muon went in the last step."""
    before, after = (saved["blocks.0.mlp.up.weight"] for saved in _saved(view)[-2:])
    lengths = (after - before).norm(dim=1)
    return (lengths.std() / lengths.mean()).item()


def size(view: RunView) -> float:
    """Mean absolute weight at the end."""
    return _weights(view)[-1].abs().mean().item()


def loss(view: RunView) -> float:
    """Mean loss over the last half of training, as the model saw it."""
    values = view.series("loss").values
    return float(values[len(values) // 2 :].mean())


def confidence(view: RunView) -> float:
    """Mean probability of the likeliest token, by the published model."""
    return _scores(view).softmax(-1).amax(-1).mean().item()


def normaliser(view: RunView) -> float:
    """Mean square of the log of the softmax normaliser, by the published model."""
    return _scores(view).logsumexp(-1).square().mean().item()


def steps(view: RunView) -> float:
    """How many steps were taken."""
    return len(view.series("loss").values)


def _by(kind: str, **more: Any) -> Keys:
    return {"optim": {"kind": kind, "lr": 1e-3, **more}}


def _sgd(**more: Any) -> Keys:
    return _by("sgd", lr=0.03, **{"momentum": 0, **more})


def _learning(**more: Any) -> Keys:
    """Enough training for a model that knows something."""
    return {**_by("adam", lr=0.01), "train.budget": "30 steps", **more}


def _cut(z: float) -> Keys:
    """Past the steps in which adaptive clipping only listens; single texts differ most."""
    long = {"train.budget": "60 steps", "train.batch": 1, "train.micro_batch": 1}
    return {**long, **_with(clip={"kind": "adaptive", "z": z})}


def _watched(**stop: Any) -> Keys:
    return _learning(**{"stop": {"patience": 2, **stop}, "evaluate.every": "2 steps"})


def _with(**more: Any) -> Keys:
    return {"regularize": {**PLAIN["regularize"], **more}}


def _dropped(place: str) -> tuple[Keys, Keys, Callable[[RunView], float], float]:
    return _learning(), _learning(**_with(dropout={place: 0.9})), loss, MORE


LESS, MORE = 0.95, 1.05
# (without it, with it, what is compared, at most or at least so many times as much with it)
CASES: dict[str, tuple[Keys, Keys, Callable[[RunView], float], float]] = {
    "optim.lr": (_sgd(), _by("sgd", lr=0.06, momentum=0), moved, 1.5),
    "optim.momentum of sgd": (_sgd(), _sgd(momentum=0.9), moved, 2),
    "optim.dampening": (_sgd(momentum=0.9), _sgd(momentum=0.9, dampening=0.5), moved, 0.7),
    "optim.nesterov": (_sgd(momentum=0.9), _sgd(momentum=0.9, nesterov=True), moved, MORE),
    # what batches disagree on is averaged away
    "optim.betas of adam": (_by("adam", betas=[0, 0.999]), _by("adam"), moved, 0.8),
    # a long memory of small gradients lets a large one through: at most (1-b1)/sqrt(1-b2)
    "optim.betas of adamw": (_by("adamw", betas=[0.9, 0.5]), _by("adamw"), moved, MORE),
    "optim.eps of adam": (_by("adam"), _by("adam", eps=1.0), moved, 0.1),
    "optim.eps of adamw": (_by("adamw"), _by("adamw", eps=1.0), moved, 0.1),
    "optim.eps of nadam": (_by("nadam"), _by("nadam", eps=1.0), moved, 0.1),
    "optim.eps of radam": (_by("radam"), _by("radam", eps=1.0), moved, LESS),
    "optim.eps of adamax": (_by("adamax"), _by("adamax", eps=1.0), moved, 0.1),
    "optim.amsgrad": (
        _by("adam", betas=[0.9, 0.5]),
        _by("adam", betas=[0.9, 0.5], amsgrad=True),
        moved,
        LESS,
    ),
    "optim.momentum_decay": (_by("nadam"), _by("nadam", momentum_decay=1.0), moved, LESS),
    "optim.betas of lion": (
        _by("lion", betas=[0, 0]),
        _by("lion", betas=[0.99, 0.99]),
        moved,
        MORE,
    ),
    "optim.alpha": (_by("rmsprop"), _by("rmsprop", alpha=0.5), moved, 0.5),
    "optim.eps of rmsprop": (_by("rmsprop"), _by("rmsprop", eps=1.0), moved, 0.1),
    "optim.momentum of rmsprop": (_by("rmsprop"), _by("rmsprop", momentum=0.9), moved, 2),
    "optim.centered": (
        _by("rmsprop", alpha=0.5),
        _by("rmsprop", alpha=0.5, centered=True),
        moved,
        MORE,
    ),
    "optim.lr_decay": (_by("adagrad"), _by("adagrad", lr_decay=1.0), moved, 0.5),
    "optim.eps of adagrad": (_by("adagrad"), _by("adagrad", eps=1.0), moved, 0.1),
    # its first step is sqrt(eps / (1 - rho)) of the gradient's sign
    "optim.rho": (_by("adadelta", lr=1), _by("adadelta", lr=1, rho=0.5), moved, 0.8),
    "optim.eps of adadelta": (_by("adadelta", lr=1), _by("adadelta", lr=1, eps=1e-4), moved, 2),
    "optim.beta2_decay": (
        _by("adafactor", clip_threshold=100.0),
        _by("adafactor", clip_threshold=100.0, beta2_decay=-0.1),
        moved,
        LESS,
    ),
    "optim.clip_threshold": (_by("adafactor"), _by("adafactor", clip_threshold=100.0), moved, 2),
    "optim.momentum of muon": (_by("muon", momentum=0), _by("muon"), moved_inside, MORE),
    "optim.normalize": (_by("muon", normalize=False), _by("muon"), unevenness, 0.1),
    "optim.adam_lr": (_by("muon", adam_lr=1e-3), _by("muon", adam_lr=1e-2), moved, 2),
    "optim.groups": (_sgd(), _sgd(groups=[{"match": "head*", "lr_scale": 0.5}]), moved, LESS),
    "stop.min_gain": (_watched(), _watched(min_gain=1000.0), steps, 0.5),
    "regularize.dropout.embedding": _dropped("embedding"),
    "regularize.dropout.attention": _dropped("attention"),
    "regularize.dropout.residual": _dropped("residual"),
    "regularize.dropout.mlp": _dropped("mlp"),
    "regularize.dropout.head": _dropped("head"),
    "regularize.stochastic_depth": (
        _learning(),
        _learning(**_with(stochastic_depth=0.9)),
        loss,
        MORE,
    ),
    "regularize.neftune": (_learning(), _learning(**_with(neftune=100)), loss, MORE),
    "regularize.weight_decay": ({}, _with(weight_decay=1.0), size, LESS),
    "regularize.l2": ({}, _with(l2=1.0), size, LESS),
    "regularize.l1": ({}, _with(l1=0.1), size, LESS),
    "regularize.clip of norm": ({}, _with(clip={"kind": "norm", "max": 0.1}), moved, 0.5),
    "regularize.clip of value": ({}, _with(clip={"kind": "value", "max": 1e-3}), moved, 0.5),
    "regularize.clip.z": (_cut(100.0), _cut(0.01), moved, 0.99),
    "regularize.gradient_noise.eta": ({}, _with(gradient_noise={"eta": 1.0}), moved, 2),
    "regularize.gradient_noise.gamma": (
        _with(gradient_noise={"eta": 1.0, "gamma": 0.0}),
        _with(gradient_noise={"eta": 1.0, "gamma": 2.0}),
        moved,
        0.8,
    ),
    "task.loss.z_loss": (_learning(), _learning(**{"task.loss.z_loss": 1.0}), normaliser, 0.5),
    "task.loss.label_smoothing": (
        _learning(),
        _learning(**{"task.loss.label_smoothing": 0.5}),
        confidence,
        LESS,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_setting_moves_the_outcome_its_way(case: str, run: Run) -> None:
    without, given, measure, factor = CASES[case]
    before, after = measure(run(without)), measure(run(given))
    ratio = after / before
    assert ratio < factor if factor < 1 else ratio > factor, (before, after)


def _half_cosine(of: float) -> float:
    return (1 + math.cos(math.pi * of)) / 2


# shares of the peak at each of ten steps, worked by hand
SCHEDULES: list[tuple[Keys, list[float]]] = [
    ({"kind": "constant", "warmup": "4 steps"}, [0.25, 0.5, 0.75] + [1.0] * 7),
    ({"kind": "linear", "warmup": 0, "floor": 0.5}, [1 - 0.05 * t for t in range(10)]),
    ({"kind": "cosine", "warmup": 0, "floor": 0}, [_half_cosine(t / 10) for t in range(10)]),
    (
        {"kind": "cosine-restarts", "warmup": 0, "cycles": 2},
        [_half_cosine(t / 5) for t in range(5)] * 2,
    ),
    ({"kind": "polynomial", "warmup": 0, "power": 3}, [(1 - t / 10) ** 3 for t in range(10)]),
    (
        {"kind": "exponential", "warmup": 0, "every": "2 steps", "gamma": 0.25},
        [0.5**t for t in range(10)],
    ),
    (
        {"kind": "step", "warmup": 0, "every": "3 steps", "gamma": 0.1},
        [1.0] * 3 + [0.1] * 3 + [0.01] * 3 + [0.001],
    ),
    (
        {"kind": "multi-step", "warmup": 0, "milestones": ["2 steps", "50%"], "gamma": 0.5},
        [1.0] * 2 + [0.5] * 3 + [0.25] * 5,
    ),
    ({"kind": "inverse-sqrt", "warmup": 0}, [1.0] + [1 / math.sqrt(1 + t) for t in range(1, 10)]),
    ({"kind": "wsd", "warmup": 0, "decay": 0.5}, [1.0] * 6 + [0.8, 0.6, 0.4, 0.2]),
    (
        {"kind": "one-cycle", "warmup": "3 steps", "start": 0.1, "floor": 0},
        [0.1, 0.55, 1.0] + [_half_cosine(t / 7) for t in range(1, 8)],
    ),
    (
        {"kind": "cyclic", "warmup": 0, "cycle": "4 steps", "floor": 0, "gamma": 0.5},
        [0, 0.5, 1, 0.5, 0, 0.25, 0.5, 0.25, 0, 0.125],
    ),
]


@pytest.mark.parametrize(("schedule", "shares"), SCHEDULES, ids=[s["kind"] for s, _ in SCHEDULES])
def test_a_schedule_shares_out_the_steps(schedule: Keys, shares: list[float], run: Run) -> None:
    # so low a rate that a step's gradient hangs on its batch alone, not on the steps before
    low = _by("sgd", lr=1e-4, momentum=0)
    whole = _weights(run(low))
    steps = [after - before for before, after in itertools.pairwise(whole)]
    # the first step is what is saved first
    wanted = sum(share * step for share, step in zip(shares[1:], steps, strict=True))
    found = _weights(run({**low, "schedule": schedule}))
    went = found[-1] - found[0]
    assert (went - wanted).norm() < 0.01 * wanted.norm()


@pytest.fixture(scope="module")
def labelled(text: Path) -> Path:
    """Texts that say nothing about their labels: a fifth of the numbers is 10, the rest 0."""
    draw = random.Random(1)
    rows = ["name,label,number"]
    for _ in range(800):
        name, rare = "".join(draw.choices("abcdefgh", k=12)), draw.random() < 0.2
        rows.append(f"{name},{'rare' if rare else 'usual'},{10 * rare}")
    path = text.parent / "labelled.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def _labelled(path: Path, task: str, **loss: Any) -> Keys:
    about = {"kind": task, "loss": loss}
    about["label" if task == "classify" else "targets"] = {
        "classify": "label",
        "regress": "number",
    }[task]
    data = {"data.path": str(path), "data.document": "file", "data.text": "name"}
    return _learning(
        **data,
        task=about,
        **{"train.budget": "60 steps", "stop": {"patience": 99, "restore_best": False}},
    )


def _outputs(view: RunView) -> torch.Tensor:
    """What the published model says of a text, (1, outputs)."""
    model = read_published(view.run.path / "model").eval()
    with torch.no_grad():
        outputs: torch.Tensor = model.outputs_of(torch.arange(8).view(1, 8), torch.tensor([8]))
    return outputs


def test_each_loss_of_regression_predicts_what_it_is_for(labelled: Path, run: Run) -> None:
    losses: list[Keys] = [
        {"kind": "quantile", "quantile": 0.1},
        {"kind": "mae"},
        {"kind": "huber", "delta": 0.3},
        {"kind": "mse"},
        {"kind": "quantile", "quantile": 0.9},
    ]
    said = [_outputs(run(_labelled(labelled, "regress", **loss))).item() for loss in losses]
    # a tenth is 0, the median is 0; the mean is a fifth of the way up; nine tenths is 10
    assert said == sorted(said) and said[0] < said[2] < said[3] - 0.3 < said[4] - 0.6


def test_each_loss_of_classes_weighs_the_rare_one(labelled: Path, run: Run) -> None:
    losses: dict[str, Keys] = {
        "plain": {},
        "focal": {"kind": "focal", "gamma": 5.0},
        "smoothed": {"label_smoothing": 0.5},
        "balanced": {"class_weights": "balanced"},
        "by hand": {"class_weights": [16.0, 1.0]},
    }
    rare = {
        name: _outputs(run(_labelled(labelled, "classify", **loss))).softmax(-1)[0, 0].item()
        for name, loss in losses.items()
    }
    # as rare as it is; all others turn to it, for they turn from what is easily right
    plain = rare.pop("plain")
    assert plain < 0.25 and min(rare.values()) > 1.5 * plain, rare


@pytest.fixture(scope="module")
def base(text: Path) -> Path:
    """A published model of random weights."""
    tokenizer = char_tokenizer(text.read_text(), separate=True)
    sizes = Decoder(family="llama", depth=2, width=32, heads=2, context=32)
    shape = explain_shape(sizes, vocab=tokenizer.vocab_size).shape
    write_published(text.parent / "base", build_decoder(shape, seed=5), tokenizer)
    return text.parent / "base"


def _changed(lora: Keys, base: Path, run: Run) -> dict[str, torch.Tensor]:
    """What a LoRA run added to the weights of the base."""
    both = {"kind": "pretrained", "path": str(base)}
    view = run({"model": {**both, "lora": lora}, "tokenizer": both, **_by("adam")})
    untouched = read_published(base).state_dict()
    published = read_published(view.run.path / "model").state_dict()
    return {name: w - untouched[name] for name, w in published.items()}


# at most or at least so many times as much change in the blocks
LORAS: dict[str, tuple[Keys, float]] = {
    "rslora": ({"rslora": True}, 2),
    "alpha": ({"alpha": 64.0}, 1.5),
    "targets": ({"targets": "attention"}, 0.7),
}


@pytest.mark.parametrize("case", LORAS)
def test_a_setting_of_lora_moves_the_blocks_its_way(case: str, base: Path, run: Run) -> None:
    given, factor = LORAS[case]

    def change(lora: Keys) -> float:
        changed = _changed(lora, base, run)
        return torch.cat([w.flatten() for n, w in changed.items() if "blocks" in n]).norm().item()

    ratio = change(given) / change({})
    assert ratio < factor if factor < 1 else ratio > factor


def test_lora_trains_the_embedding_when_asked(base: Path, run: Run) -> None:
    assert _changed({}, base, run)["embed.weight"].norm() == 0
    assert _changed({"embeddings": True}, base, run)["embed.weight"].norm() > 0.1


def test_the_rank_bounds_what_lora_changes_and_dora_turns_more(base: Path, run: Run) -> None:
    def beyond(lora: Keys, rank: int) -> float:
        """The largest singular value after those, as a share of the first."""
        values = torch.linalg.svdvals(_changed(lora, base, run)["blocks.0.attention.q.weight"])
        return (values[rank] / values[0]).item()

    assert beyond({"rank": 2}, 2) < 1e-5 < 1e-2 < beyond({"rank": 8}, 2)
    # each row is scaled by itself as well
    assert beyond({"rank": 2, "dora": True}, 2) > 1e-3
