"""A run in numbers, many runs, and two runs apart."""

from __future__ import annotations

import json
import math

import pytest

from tests.example_run import BASELINES, STEPS, build_example_run, example_evaluation
from wellfit.store import Record, RunDir, diff_runs, flat_recipe, list_runs, locked, read_run

CONTRACT = {
    "run", "status", "step", "tokens_seen", "epochs", "elapsed_s", "tokens_per_s", "best",
    "final", "test", "verdict", "machine",
}  # fmt: skip


@pytest.fixture(scope="module")
def views(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    return {k: read_run(build_example_run(root / k, kind=k).path) for k in ("well-fit", "overfit")}


def test_the_summary_has_the_keys_of_the_contract(views):
    summary = views["well-fit"].summary()
    # scripts depend on these
    assert summary.keys() >= CONTRACT
    assert summary["best"].keys() == {"step", "val_loss"}
    assert summary["final"].keys() == {"train_loss", "val_loss"}
    assert summary["baselines"] == BASELINES


def test_the_numbers_follow_from_the_record(views):
    summary = views["well-fit"].summary()
    # 32 sequences of 128 tokens, 720 times
    assert summary["tokens_seen"] == STEPS * 4096 and summary["step"] == STEPS
    assert summary["epochs"] == pytest.approx(summary["tokens_seen"] / 1_003_854)
    assert summary["tokens_per_s"] == pytest.approx(summary["tokens_seen"] / summary["elapsed_s"])


def test_utilisation_needs_a_peak_and_a_count(run_path):
    record = Record.open(RunDir.create(run_path), from_step=0)
    for step, rate in enumerate([10.0, 500e3, 520e3, 560e3], start=1):  # the first one compiles
        record.series(step, {"tokens_per_s": rate, "tokens": 1.0, "elapsed_s": 1.0})
    record.fact("flops_per_token", 0.855e9)
    record.flush()
    # a GPU that nobody knows the peak of gets no number
    assert read_run(run_path).summary()["mfu"] is None
    record.fact("peak_flops_per_s", 989.4e12)
    record.close("finished")
    # the usual speed, 510k tokens/s, times FLOPs over the peak
    assert read_run(run_path).summary()["mfu"] == pytest.approx(0.4407, abs=1e-4)


def test_best_and_final_are_different_things(views):
    summary = views["overfit"].summary()
    on_full = example_evaluation(360, "val", "full split", kind="overfit").loss
    # best: the fixed blocks that chose the checkpoint; final: its loss on the whole split
    assert summary["best"]["step"] == 360
    assert summary["final"]["val_loss"] == pytest.approx(on_full)
    # test is measured with those weights, and once
    assert summary["test"]["checkpoint_step"] == 360 and summary["looks_at_test"] == 1


def test_the_sample_is_of_the_weights_that_count(run_path):
    run = RunDir.create(run_path)
    record = Record.open(run, from_step=0)
    record.sample(320, "", "before")
    record.sample(720, "", "the last weights")
    record.sample(320, "", "the chosen weights")
    # while nothing is chosen: the latest
    assert read_run(run_path).summary()["sample"]["text"] == "the last weights"
    record.evaluation(example_evaluation(320, "test", "full split"))
    record.close("finished")
    # the card shows what the user gets
    assert read_run(run_path).summary()["sample"]["text"] == "the chosen weights"


def test_equal_losses_choose_the_earlier_step(run_path):
    record = Record.open(RunDir.create(run_path), from_step=0)
    same = example_evaluation(100, "val", "fixed blocks")
    for step in (200, 100):
        record.evaluation(type(same)(**{**_fields(same), "step": step}))
    record.close("finished")
    # less training for the same loss
    assert read_run(run_path).summary()["best"]["step"] == 100


def _fields(evaluation):
    return {name: getattr(evaluation, name) for name in type(evaluation).__slots__}


def test_the_summary_is_json_for_every_reader(run_path):
    record = Record.open(RunDir.create(run_path), from_step=0)
    record.series(1, {"loss": math.nan, "tokens": math.inf, "elapsed_s": math.nan})
    record.fact("verdict", {"code": "diverged", "evidence": {"loss": math.nan}})
    record.close("diverged")
    summary = read_run(run_path).summary()
    # NaN is no JSON: what is not a number is null
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert summary["verdict"]["evidence"] == {"loss": None} and summary["tokens_seen"] is None


def test_a_run_that_has_only_begun_has_a_summary(run_path):
    run = RunDir.create(run_path)
    with locked(run):
        record = Record.open(run, from_step=0)
        summary = read_run(run_path).summary()
        record.close()
    # nothing is known yet, and nothing is made up
    assert (summary["status"], summary["step"], summary["best"]) == ("running", 0, None)
    assert summary["final"] == {"train_loss": None, "val_loss": None}
    assert summary["paths"] == {"run": str(run_path)} | dict.fromkeys(("model", "report", "trace"))


def test_runs_are_listed_oldest_first(tmp_path):
    for name in ("b", "a", "c"):
        Record.open(RunDir.create(tmp_path / name), from_step=0).close("finished")
    (tmp_path / "not-a-run").mkdir()
    (tmp_path / "file").touch()
    # in the order in which they were begun; what is no run is passed over
    assert [run["name"] for run in list_runs(tmp_path)] == ["b", "a", "c"]
    assert list_runs(tmp_path / "nowhere") == []


def test_a_damaged_run_does_not_hide_the_others(tmp_path):
    Record.open(RunDir.create(tmp_path / "good"), from_step=0).close("finished")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "run.db").write_text("garbage that is no database at all" * 9)
    found = {run["name"]: run for run in list_runs(tmp_path)}
    # listed, with what is wrong
    assert found["good"]["status"] == "finished" and found["bad"]["status"] == "unreadable"
    assert "damaged" in found["bad"]["problem"]


def test_two_runs_differ_in_what_was_changed(tmp_path, views):
    other = build_example_run(tmp_path / "other", kind="overfit")
    resolved = json.loads(other.resolved.read_text())
    resolved["recipe"]["model"]["depth"] = 8
    del resolved["recipe"]["stop"]
    other.resolved.write_text(json.dumps(resolved))
    diff = diff_runs(views["well-fit"], read_run(other.path))
    # only the keys that differ, absent ones as null
    assert diff["recipe"] == {
        "model.depth": {"a": 4, "b": 8},
        "stop.patience": {"a": 5, "b": None},
    }
    loss = diff["metrics"]["test.loss"]
    assert loss["delta"] == pytest.approx(loss["b"] - loss["a"]) and loss["delta"] > 0


def test_a_run_does_not_differ_from_itself(views):
    diff = diff_runs(views["well-fit"], views["well-fit"])
    assert diff["recipe"] == {} and {m["delta"] for m in diff["metrics"].values()} == {0.0}


def test_recipes_are_flattened_to_dotted_keys():
    plain = {"optim": {"lr": 1, "betas": [0.9, 0.95]}, "stop": None, "clip": {}}
    # lists and empty mappings are values
    assert flat_recipe({"recipe": plain, "explained": []}) == flat_recipe(plain) == {
        "optim.lr": 1, "optim.betas": [0.9, 0.95], "stop": None, "clip": {},
    }  # fmt: skip
