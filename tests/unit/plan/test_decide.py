"""Automatic values: each explained, and none left."""

from dataclasses import replace
from pathlib import Path

import pytest

from wellfit.config import Loaded, Recipe, load_dict, to_dict
from wellfit.config.structure import kinds_of
from wellfit.data import Feed, Prepared, prepare, train_feed
from wellfit.errors import ConfigError
from wellfit.model import Shape
from wellfit.plan import Decision, Machine, Rehearsal, decide_horizon, decide_parts
from wellfit.plan import decide as module

MACHINE = Machine(
    cpu="a processor", cores=3, cpu_flags=(), memory_bytes=8 * 10**9, gpu=None,
    gpu_memory_bytes=0, system="Linux", python="3.12", torch="2.13",
)  # fmt: skip
SEEN = Rehearsal(step_s=0.1, evaluation_s=0.5, spent_s=2.0, compiled=False)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("".join(f"{i * i} squared is {i**4}.\n" for i in range(3000)))
    return path


def _loaded(text: Path, **keys: object) -> Loaded:
    base = {
        "data.path": str(text),
        "data.split": {"kind": "tail", "val": "10%"},
        "tokenizer": {"kind": "char"},
        "model": {"depth": 2, "context": 64},
        "train.budget": "100 steps",
    }
    return load_dict({**base, **{key.replace("__", "."): value for key, value in keys.items()}})


def _decided(loaded: Loaded, seen: Rehearsal = SEEN) -> tuple[Decision, Prepared]:
    data = prepare(loaded.recipe.data, loaded.recipe.tokenizer)
    decision, shape = decide_parts(loaded.recipe, data, MACHINE)
    return decide_horizon(decision, _feed(data, shape), seen), data


def _feed(data: Prepared, shape: Shape) -> Feed:
    return train_feed(data.splits["train"], context=shape.context, long="error", packed=True)


def _autos(value: object) -> int:
    if isinstance(value, dict):
        return sum(map(_autos, value.values()))
    return int(value == "auto")


BUDGETS = {
    "100 steps": 100,
    "100k tokens": 98,  # 16 sequences of 64 a step, rounded up
    "2 epochs": 0,  # worked out below, from the data
    "1 minute": 520,  # (60 - 2 - 12 * 0.5) s at 0.1 s a step
}


@pytest.mark.parametrize("budget", BUDGETS)
def test_every_auto_is_decided_and_explained(text: Path, budget: str) -> None:
    decision, data = _decided(_loaded(text, train__budget=budget, train__batch=16))
    plain = to_dict(decision.recipe)
    # data and tokenizer answer from the files themselves, the same each time
    assert sum(_autos(plain[name]) for name in plain if name not in ("data", "tokenizer")) == 0
    assert decision.recipe.train.budget.unit == "steps"
    wanted = BUDGETS[budget]
    if budget == "2 epochs":
        wanted = -(-2 * ((data.splits["train"].n_tokens - 64) // 64) // 16)
    assert decision.recipe.train.budget.amount == wanted
    # nothing is chosen without a reason
    assert all(line.reason for line in decision.explained)


def test_a_decided_recipe_decides_nothing_again(text: Path) -> None:
    decision, data = _decided(_loaded(text, train__budget="1 minute"))
    again, shape = decide_parts(decision.recipe, data, MACHINE)
    slower = Rehearsal(step_s=9.0, evaluation_s=9.0, spent_s=9.0, compiled=True)
    again = decide_horizon(again, _feed(data, shape), slower)
    # a resumed run on a slower machine is still the same run
    assert to_dict(again.recipe) == to_dict(decision.recipe)


def test_what_the_user_set_is_never_changed(text: Path) -> None:
    keys = {"optim.lr": 0.123, "optim.adam_lr": 0.01, "train.batch": 5, "evaluate.tokens": 640}
    decision, _ = _decided(_loaded(text, **keys))
    recipe = decision.recipe
    assert (recipe.optim.lr, recipe.train.batch, recipe.evaluate.tokens) == (0.123, 5, 640)
    assert not set(keys) & {line.key for line in decision.explained}


def test_intervals_in_other_units_become_steps(text: Path) -> None:
    keys = {
        "train.batch": 16,
        "evaluate.every": "3 seconds",
        "checkpoint.every": "10k tokens",
        "schedule.warmup": "2 seconds",
    }
    recipe = _decided(_loaded(text, **keys))[0].recipe
    assert str(recipe.evaluate.every) == "30 steps"
    assert str(recipe.checkpoint.every) == "10 steps"
    assert str(recipe.schedule.warmup) == "20 steps"


def test_spans_of_schedules_and_averages_become_steps(text: Path) -> None:
    schedule = {"kind": "multi-step", "warmup": "1 second", "milestones": ["50%", "4 seconds"]}
    average = {"kind": "mean", "every": "1 second"}
    keys = {"train.batch": 16, "schedule": schedule, "regularize.average": average}
    recipe = _decided(_loaded(text, **keys))[0].recipe
    # at a tenth of a second a step; a share stays one
    assert to_dict(recipe)["schedule"]["milestones"] == [0.5, "40 steps"]
    assert str(recipe.schedule.warmup) == "10 steps"
    assert str(recipe.regularize.average.every) == "10 steps"
    cyclic = {"kind": "cyclic", "cycle": "2 seconds"}
    assert str(_decided(_loaded(text, schedule=cyclic))[0].recipe.schedule.cycle) == "20 steps"


KINDS = kinds_of(Recipe.model_fields["optim"])
NEEDS = {
    "schedule-free-adamw": {"schedule.kind": "constant"},
    "lbfgs": {"schedule": {"kind": "constant", "warmup": 0}, "regularize.clip": None},
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_optimizer_has_a_rate_and_a_decay_with_a_reason(text: Path, kind: str) -> None:
    decision, _ = _decided(_loaded(text, **{"optim.kind": kind, **NEEDS.get(kind, {})}))
    optim, lines = decision.recipe.optim, {line.key: line for line in decision.explained}
    assert 0 < optim.lr <= 3 and lines["optim.lr"].reason and lines["optim.lr"].source
    assert decision.recipe.regularize.weight_decay != "auto"
    # set by hand, neither is touched
    keys = {"optim.kind": kind, "optim.lr": 0.5, **NEEDS.get(kind, {})}
    assert _decided(_loaded(text, **keys))[0].recipe.optim.lr == 0.5


def test_lbfgs_has_the_whole_train_split_for_a_batch(text: Path) -> None:
    keys = {"optim.kind": "lbfgs", **NEEDS["lbfgs"]}
    decision, data = _decided(_loaded(text, **keys))
    n_rows = (data.splits["train"].n_tokens - 64) // 64
    assert decision.recipe.train.batch == n_rows
    # a resumed run decides the same, and any other batch is refused
    assert _decided(_loaded(text, train__batch=n_rows, **keys))[0].recipe.train.batch == n_rows
    with pytest.raises(ConfigError, match=rf"whole train split at each step, {n_rows} rows"):
        _decided(_loaded(text, train__batch=8, **keys))


def test_cuda_without_a_gpu_is_refused(text: Path) -> None:
    with pytest.raises(ConfigError, match=r"train\.device"):
        _decided(_loaded(text, train__device="cuda"))


# products per second of float32 and bfloat16, the flags of the processor, and what follows
PRECISIONS = [
    ((1.0, 4.0), ("avx512_bf16",), "bf16"),
    ((1.0, 4.0), ("amx_bf16",), "bf16"),
    ((1.0, 1.1), ("avx512_bf16",), "fp32"),  # it has it, but it does not pay
    ((1.0, 9.0), ("avx2",), "fp32"),  # emulated: never asked
]


@pytest.mark.parametrize(("rates", "flags", "wanted"), PRECISIONS)
def test_precision_follows_from_the_processor_and_a_measurement(
    text: Path, monkeypatch: pytest.MonkeyPatch, rates, flags, wanted: str
) -> None:
    def measured(dtype, *, device: str, size: int) -> float:
        return rates[1] if "bfloat16" in str(dtype) else rates[0]

    monkeypatch.setattr(module, "matmul_flops_per_s", measured)
    monkeypatch.setattr(__name__ + ".MACHINE", replace(MACHINE, cpu_flags=flags))
    decision, _ = _decided(_loaded(text))
    assert decision.recipe.train.precision == wanted


def test_a_batch_that_does_not_fit_is_cut_evenly(text: Path) -> None:
    from wellfit.model import explain_shape
    from wellfit.plan import laws

    shape = explain_shape(_loaded(text).recipe.model, vocab=65).shape
    each = laws.activation_bytes(shape, checkpointed=False)

    def cut(memory_bytes: int) -> int:
        return laws.micro_batch(shape, 12, memory_bytes=memory_bytes, checkpointed=False).value

    # room for 5 of 12 sequences: three parts of four, not 5 + 5 + 2
    assert cut(11 * each) == 4
    assert cut(10**15) == 12
    assert cut(1) == 1


def test_a_model_that_cannot_fit_is_refused_with_its_size(text: Path) -> None:
    huge = {"model": {"depth": 400, "width": 8192, "context": 64}}
    # 400 blocks of 12 * 8192 ** 2 weights are 322 billion, at 16 bytes each
    with pytest.raises(ConfigError, match=r"322B parameters.*5\.15 TB.*8 GB.*Lower model\.depth"):
        _decided(_loaded(text, **huge))
