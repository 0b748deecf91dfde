"""The real command line on a toy corpus: every command, its JSON keys and its exit code."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tiny_models import SHAPES, random_decoder, tiny_tokenizer
from tests.typed import Answer, typed
from wellfit.config import Stop
from wellfit.model import Outputs, write_published
from wellfit.store import read_run

SMALL = [
    "model.depth=2", "model.width=32", "model.context=32", "train.batch=8", "train.threads=1",
    "train.budget=60 steps", "train.compile=false", "evaluate.tokens=1024",
    "evaluate.sample.tokens=10", "optim.lr=0.02",
]  # fmt: skip


@pytest.fixture
def wellfit() -> Callable[..., Answer]:
    """A way to type a command."""
    return typed


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text with something to learn: sentences of one pattern, in an order without one."""
    words = "the a cat dog bird tree sees likes follows small old red".split()
    state, lines = 1, []
    for _ in range(3000):
        picks = []
        for _ in range(5):
            state = (state * 1103515245 + 12345) % 2**31
            picks.append(words[(state >> 16) % len(words)])
        lines.append(" ".join(picks) + ".")
    path = tmp_path_factory.mktemp("corpus") / "toy.txt"
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="session")
def recipe(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example recipe that names the toy text, as a user would edit it."""
    example = Path(__file__).parents[2] / "examples" / "shakespeare.yaml"
    text = example.read_text().replace("path: input.txt", f"path: {corpus}")
    path = tmp_path_factory.mktemp("recipe") / "toy.yaml"
    path.write_text(text.replace("val: 10%", "val: 10%, test: 10%"))
    return path


@pytest.fixture(scope="session")
def trained(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, made by the command in a process of its own."""
    run = tmp_path_factory.mktemp("runs") / "toy"
    done = _process("train", recipe, *SMALL, "--run", run)
    assert done.returncode == 0, done.stderr
    return run


def _process(*words: object, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "wellfit", *map(str, words)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=300, env={**os.environ, **env}, check=False
    )


def test_training_loads_no_compiler_where_nothing_is_compiled(recipe: Path, tmp_path: Path) -> None:
    """It takes as long to load as all the rest of torch."""
    run = tmp_path / "run"
    command = [sys.executable, "-X", "importtime", "-m", "wellfit", "train", recipe, *SMALL]
    command += ["train.budget=2 steps", "train.compile=auto", "--run", run]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "wellfit.train.loop" in loaded and "torch._dynamo" not in loaded


def test_training_beats_counting_and_shows_every_promised_key(trained: Path, wellfit) -> None:
    shown = wellfit("runs", "show", trained, "--json").json
    wanted = "run status step tokens_seen epochs elapsed_s tokens_per_s best final test verdict"
    assert set(wanted.split()) | {"machine"} <= shown.keys()
    assert (shown["status"], shown["step"]) == ("finished", 60)
    assert shown["best"].keys() >= {"step", "val_loss"}
    assert shown["final"].keys() >= {"train_loss", "val_loss"}
    # 60 steps are enough to do better than counting characters, on text this regular
    assert shown["final"]["val_loss"] < shown["baselines"]["unigram"]
    assert shown["test"]["loss"] == pytest.approx(shown["final"]["val_loss"], rel=0.2)


def test_the_test_split_is_looked_at_once(trained: Path) -> None:
    assert len(read_run(trained).events("looked-at-test")) == 1


def test_a_run_directory_holds_what_the_contract_names(trained: Path) -> None:
    names = {path.name for path in trained.iterdir()}
    assert names >= {"recipe.yaml", "resolved.yaml", "environment.json", "data.json", "run.db"}
    assert names >= {"checkpoints", "model", "report.html"}
    assert {p.name for p in (trained / "model").iterdir()} >= {"config.json", "model.safetensors"}


def test_eval_gives_the_loss_that_training_recorded(trained: Path, wellfit) -> None:
    found = wellfit("eval", trained, "--split", "val", "--json").json
    wanted = "run step split task n_tokens n_bytes n_documents loss perplexity bits_per_byte"
    assert set(wanted.split()) | {"ci95", "baselines", "metrics"} <= found.keys()
    recorded = wellfit("runs", "show", trained, "--json").json["final"]["val_loss"]
    assert found["loss"] == pytest.approx(recorded, abs=1e-6)
    lo, hi = found["ci95"]["loss"]
    assert lo < found["loss"] < hi
    assert found["perplexity"] == pytest.approx(math.exp(found["loss"]))
    nats = found["loss"] * found["n_tokens"]
    assert found["bits_per_byte"] == pytest.approx(nats / math.log(2) / found["n_bytes"])
    assert found["baselines"].keys() == {"uniform", "unigram", "bigram"}


def test_a_later_look_at_test_is_written_down(recipe: Path, tmp_path: Path, wellfit) -> None:
    run = tmp_path / "r"
    assert wellfit("train", recipe, *SMALL, "train.budget=4 steps", "--run", run).code == 0
    assert wellfit("eval", run, "--split", "test", "--json").code == 0
    assert len(read_run(run).events("looked-at-test")) == 2


def test_a_published_model_is_scored_and_sampled_like_its_run(
    trained: Path, corpus: Path, tmp_path: Path, wellfit
) -> None:
    out = tmp_path / "model"
    assert wellfit("export", trained, "--to", "hf", out).code == 0
    a = wellfit("eval", trained, "--data", corpus, "--json").json
    b = wellfit("eval", out, "--data", corpus, "--json").json
    assert a["loss"] == b["loss"]
    how = ["the", "--tokens", 20, "--temperature", 0]
    text = wellfit("sample", trained, *how).out
    assert text == wellfit("sample", out, *how).out
    assert text.startswith("the")


def test_sampling_is_repeatable_by_its_seed(trained: Path, wellfit) -> None:
    first, again, other = (wellfit("sample", trained, "--seed", s).out for s in (1, 1, 2))
    assert first == again != other


def test_check_prints_the_promised_keys_and_starts_no_run(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wellfit
) -> None:
    monkeypatch.chdir(tmp_path)
    found = wellfit("check", recipe, *SMALL, "--json").json
    wanted = {"parameters", "peak_memory_bytes", "seconds", "disk_bytes", "problems", "audit"}
    assert wanted <= found.keys()
    assert found["parameters"] > 0 and found["steps"] == 60
    assert list(tmp_path.iterdir()) == []


def test_check_of_a_bad_recipe_lists_its_problems_as_json(recipe: Path, wellfit) -> None:
    found = wellfit("check", recipe, "train.bugdet=3", "model.depth=no", "--json")
    assert found.code == 2
    assert len(found.json["problems"]) == 2


def test_a_typo_is_named_with_its_remedy_before_anything_starts(recipe: Path, wellfit) -> None:
    found = wellfit("train", recipe, "train.batchsize=4")
    assert found.code == 2
    assert "train.batch" in found.err and "Traceback" not in found.err


def test_a_run_that_is_refused_leaves_its_name_to_the_next(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wellfit
) -> None:
    monkeypatch.chdir(tmp_path)
    # refused when the text is divided: the directory has been made by then
    refused = wellfit("train", recipe, *SMALL, "data.split={kind: hash, val: 0.0001%}")
    assert refused.code == 2 and "val" in refused.err
    assert not list((tmp_path / "runs").iterdir())


def test_init_writes_a_recipe_that_check_accepts(corpus: Path, tmp_path: Path, wellfit) -> None:
    file = tmp_path / "new.yaml"
    assert wellfit("init", file, "--data", corpus).code == 0
    assert wellfit("check", file, *SMALL, "--json").code == 0
    # an existing file is never overwritten by accident
    assert wellfit("init", file, "--data", corpus).code == 2


def test_the_list_of_runs_names_them(trained: Path, wellfit) -> None:
    found = wellfit("runs", "ls", trained.parent, "--json").json
    assert [run["name"] for run in found] == ["toy"]
    assert "toy" in wellfit("runs", "ls", trained.parent).out


def test_two_runs_differ_in_what_was_changed(
    trained: Path, recipe: Path, tmp_path: Path, wellfit
) -> None:
    other = tmp_path / "other"
    words = [*SMALL, "regularize.dropout=0.1", "stop=null", "--run", other]
    assert wellfit("train", recipe, *words).code == 0
    found = wellfit("runs", "diff", trained, other, "--json").json
    dropped = {f"regularize.dropout.{place}" for place in ("embedding", "attention", "residual")}
    stop = {f"stop.{name}" for name in Stop.model_fields}
    assert set(found["recipe"]) == {*dropped, *stop}


def test_a_directory_that_holds_a_run_is_not_taken_again(
    trained: Path, recipe: Path, wellfit
) -> None:
    found = wellfit("train", recipe, *SMALL, "--run", trained)
    assert found.code == 2
    assert f"wellfit resume {trained}" in found.err


def test_a_profiled_run_is_the_same_run_and_tells_where_its_time_goes(
    recipe: Path, tmp_path: Path, wellfit
) -> None:
    words = [*SMALL, "train.budget=14 steps", "train.micro_batch=4", "regularize.dropout=0.1"]
    assert wellfit("train", recipe, *words, "--run", tmp_path / "plain").code == 0
    found = wellfit("train", recipe, *words, "--run", tmp_path / "seen", "--profile")
    assert found.code == 0, found.err
    # what matters most is said at once, and again on the card; torch's own log is not
    assert "a profiled step takes" in found.err and "USDT" not in found.err
    assert "a profiled step takes" in found.out
    plain, seen = (read_run(tmp_path / name) for name in ("plain", "seen"))
    losses = [view.series("loss").values.tobytes() for view in (plain, seen)]
    models = [(view.run.model / "model.safetensors").read_bytes() for view in (plain, seen)]
    # not a bit of what is trained depends on it
    assert losses[0] == losses[1] and models[0] == models[1]
    shown = wellfit("runs", "show", tmp_path / "seen", "--json").json
    assert shown["profile"]["steps"] == [6, 7, 8, 9, 10]
    assert 0 < shown["profile"]["matrix_products_frac"] < 1
    assert Path(shown["paths"]["trace"]).is_file()
    assert "Where a step's time goes" in (tmp_path / "seen" / "report.html").read_text()
    # a run that was not asked says nothing of it
    assert plain.summary()["profile"] is None and plain.summary()["paths"]["trace"] is None
    assert "Where a step's time goes" not in (tmp_path / "plain" / "report.html").read_text()


def test_a_run_too_short_to_be_profiled_says_so(recipe: Path, tmp_path: Path, wellfit) -> None:
    words = [*SMALL, "train.budget=4 steps", "--run", tmp_path / "short", "--profile"]
    found = wellfit("train", recipe, *words)
    assert found.code == 0 and "nothing was profiled" in found.err
    assert not (tmp_path / "short" / "profile.json").exists()


def test_resuming_a_finished_run_says_so_and_does_nothing(trained: Path, wellfit) -> None:
    before = (trained / "run.db").read_bytes()
    found = wellfit("resume", trained)
    assert found.code == 0
    assert "finished" in found.err
    assert (trained / "run.db").read_bytes() == before


def test_a_rate_that_cannot_work_diverges_with_exit_code_3(
    recipe: Path, tmp_path: Path, wellfit
) -> None:
    run = tmp_path / "wild"
    words = ["optim.kind=adamw", "optim.lr=1e30", "regularize.clip=null", "--run", run]
    small = [word for word in SMALL if not word.startswith("optim")]
    found = wellfit("train", recipe, *small, *words)
    assert found.code == 3, found.err
    assert "before the update" in found.err
    shown = wellfit("runs", "show", run, "--json").json
    assert (shown["status"], shown["verdict"]["code"]) == ("diverged", "diverged")


def test_doctor_and_the_references_answer(wellfit) -> None:
    assert wellfit("doctor", "--json").json["machine"]["cores"] >= 1
    assert "train" in wellfit("config", "schema").json["properties"]
    assert {p["name"] for p in wellfit("config", "presets", "--json").json} >= {"demo", "quick"}


def test_the_version_is_one_line(wellfit) -> None:
    from wellfit import __version__

    assert wellfit("--version").out == f"wellfit {__version__}\n"


def test_a_model_folder_has_no_splits_and_says_so(trained: Path, wellfit) -> None:
    found = wellfit("eval", trained / "model")
    assert found.code == 2
    assert "--data" in found.err


def test_a_recipe_taken_from_a_run_names_the_next_run_after_it(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wellfit
) -> None:
    monkeypatch.chdir(tmp_path)
    assert wellfit("train", trained / "recipe.yaml", "train.budget=2 steps").code == 0
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["toy"]


def test_explain_says_where_each_value_of_a_run_came_from(trained: Path, wellfit) -> None:
    lines = {line["key"]: line for line in wellfit("config", "explain", trained, "--json").json}
    assert lines["model.depth"]["origin"] == "command line"
    assert lines["train.precision"]["origin"] == "auto"
    assert lines["train.precision"]["reason"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_exits_75_and_resume_finishes(
    recipe: Path, tmp_path: Path, number: signal.Signals
) -> None:
    run = tmp_path / "long"
    words = [
        *SMALL,
        "train.budget=100k steps",
        "checkpoint.every=1 hour",
        "evaluate.every=50 steps",
    ]
    command = [sys.executable, "-m", "wellfit", "train", recipe, *words, "--run", run]
    with subprocess.Popen([str(c) for c in command], stderr=subprocess.PIPE, text=True) as process:
        _wait_for(lambda: any((run / "checkpoints").glob("best-*")))
        process.send_signal(number)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 75, err
    assert f"wellfit resume {run}" in err
    view = read_run(run)
    assert view.status == "stopped"
    saved = view.events("saved")[-1].step
    # it stopped at a step boundary and lost none of the steps it had made
    assert saved == view.series("loss").steps[-1]


def test_a_second_writer_is_refused(recipe: Path, tmp_path: Path, wellfit) -> None:
    from wellfit.store import RunDir, locked

    run = tmp_path / "busy"
    assert wellfit("train", recipe, *SMALL, "train.budget=4 steps", "--run", run).code == 0
    with locked(RunDir.open(run)):
        done = _process("eval", run, "--split", "test")
    assert done.returncode == 2
    assert str(os.getpid()) in done.stderr


def _wait_for(condition: Callable[[], bool]) -> None:
    t0 = time.monotonic()
    while not condition():
        assert time.monotonic() - t0 < 120, "waited two minutes for nothing"
        time.sleep(0.05)


BENCHMARK_KEYS = set(
    "run step split task benchmark context n n_cut n_partial metrics groups".split()
)


def test_a_run_and_its_export_answer_a_benchmark_alike(
    trained: Path, tmp_path: Path, wellfit
) -> None:
    pairs = [("the cat sees", "cat the sees"), ("a dog likes", "dgo a likes")]
    rows = [{"sentence_good": good, "sentence_bad": bad} for good, bad in pairs * 10]
    for i, row in enumerate(rows):
        row["UID"] = "order" if i % 2 == 0 else "spelling"
    data = tmp_path / "pairs.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = ["--benchmark", "blimp", "--data", data]
    found = wellfit("eval", trained, *asked, "--json").json
    assert found.keys() == BENCHMARK_KEYS
    assert (found["benchmark"], found["n"], found["n_cut"]) == ("blimp", 20, 0)
    # letters in an order that no word has are found unlikely after 60 steps
    assert found["groups"]["UID"]["spelling"]["accuracy"] == {"value": 1, "ci95": [1, 1], "n": 10}
    out = tmp_path / "model"
    assert wellfit("export", trained, "--to", "hf", out).code == 0
    again = wellfit("eval", out, *asked, "--json").json
    assert (again["metrics"], again["groups"]) == (found["metrics"], found["groups"])
    table = wellfit("eval", trained, *asked)
    assert "spelling accuracy" in table.out and "10 texts" in table.out
    assert table.err == ""


def test_questions_that_are_cut_are_never_cut_silently(
    trained: Path, tmp_path: Path, wellfit
) -> None:
    data = tmp_path / "l.jsonl"
    texts = ["the cat", "the " * 12 + "cat", "the " + "cat" * 20]
    data.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    found = wellfit("eval", trained, "--benchmark", "lambada", "--data", data, "--json")
    assert (found.json["n"], found.json["n_cut"], found.json["n_partial"]) == (3, 2, 1)
    assert "of 3 questions 2 were cut in front, of 1 even the part" in found.err
    assert "looks back 32 tokens" in found.err


def test_a_stride_gives_every_token_context(trained: Path, corpus: Path, wellfit) -> None:
    plain = wellfit("eval", trained, "--json").json
    found = wellfit("eval", trained, "--stride", 8, "--json").json
    # the contract of eval holds with a stride too
    assert plain.keys() <= found.keys() and found["stride"] == 8
    assert found["n_tokens"] == plain["n_tokens"]
    assert found["loss"] < plain["loss"]
    nats, n_bytes = found["loss"] * found["n_tokens"], found["n_bytes"]
    metrics = found["metrics"]
    assert metrics["byte_perplexity"]["value"] == pytest.approx(math.exp(nats / n_bytes))
    lo, hi = metrics["word_perplexity"]["ci95"]
    assert lo < metrics["word_perplexity"]["value"] < hi
    # on a text too, and as a table
    same = wellfit("eval", trained / "model", "--data", corpus, "--stride", 32, "--json").json
    assert same["metrics"]["word_perplexity"]["n"] == len(corpus.read_text().split())
    table = wellfit("eval", trained, "--stride", 8).out
    assert "word perplexity" in table and f"{metrics['word_perplexity']['n']:,} words" in table
    wide = wellfit("eval", trained, "--stride", 33)
    assert (wide.code, "write 1 to 32" in wide.err) == (2, True)


def test_options_that_do_not_go_together_are_named(trained: Path, corpus: Path, wellfit) -> None:
    for words in (
        ["--benchmark", "blimp"],
        ["--benchmark", "blimp", "--data", corpus, "--stride", 4],
    ):
        found = wellfit("eval", trained, *words)
        assert found.code == 2
        assert "--benchmark goes with --data" in found.err


def test_a_classifier_is_no_judge_of_texts(tmp_path: Path, corpus: Path, wellfit) -> None:
    labelled = dataclasses.replace(SHAPES["llama"], outputs=2, pool="mean")
    meant = Outputs(("no", "yes"), "single_label_classification")
    folder = tmp_path / "model"
    write_published(folder, random_decoder(labelled), tiny_tokenizer(separate=True), outputs=meant)
    data = tmp_path / "l.jsonl"
    data.write_text('{"text": "a cat"}\n')
    for words in (["--benchmark", "lambada", "--data", data], ["--data", corpus]):
        found = wellfit("eval", folder, *words)
        assert found.code == 2
        assert "gives texts labels" in found.err and "name a language model" in found.err
