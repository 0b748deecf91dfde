"""Export: what lies there afterwards has been read back and compared."""

from __future__ import annotations

import builtins
import sys

import pytest
import torch

from tests.tiny_models import SHAPES, finished_run, random_decoder, tiny_tokenizer
from wellfit.errors import ConfigError, RunError, WellfitError
from wellfit.export import export_run
from wellfit.export.hf import probe_text
from wellfit.model import published_weights, read_published
from wellfit.store import RunDir
from wellfit.tokenizer import byte_tokenizer


@pytest.fixture
def without_transformers(monkeypatch):
    """As on a machine where it is not installed."""
    real = builtins.__import__

    def absent(name, *more, **kwargs):
        if name.partition(".")[0] == "transformers":
            raise ImportError(name)
        return real(name, *more, **kwargs)

    monkeypatch.delitem(sys.modules, "transformers", raising=False)
    monkeypatch.setattr(builtins, "__import__", absent)
    monkeypatch.setattr("importlib.import_module", lambda name: absent(name))


@pytest.mark.parametrize("name", ["nanochat", "gpt2"])
def test_an_export_is_the_model_and_says_what_it_checked(
    name, without_transformers, run_path, tmp_path
):
    report = export_run(finished_run(run_path, name), "hf", tmp_path / "out")
    exported = read_published(tmp_path / "out")
    wanted = published_weights(random_decoder(SHAPES[name]))
    # the weights of the run, bit for bit
    assert all(torch.equal(wanted[k], v) for k, v in published_weights(exported).items())
    # and the report counts them
    assert report.checked[0] == f"{len(wanted)} tensors read back equal bit for bit"
    assert report.parameters == sum(p.numel() for p in exported.parameters())
    # what is listed is what lies there
    assert list(report.files) == sorted(p.name for p in (tmp_path / "out").iterdir())


def test_without_transformers_the_report_says_so(without_transformers, run_path, tmp_path):
    report = export_run(finished_run(run_path), "hf", tmp_path / "out")
    # it is not needed to export, and what was not checked is said, with what to type
    assert report.logits_max_difference is None
    assert report.checked[-1].startswith("not compared with transformers: ")
    assert "pip install 'wellfit[hf]'" in report.checked[-1]


def test_a_directory_that_holds_something_is_refused(run_path, tmp_path):
    run = finished_run(run_path)
    # the run's own model, of all places
    with pytest.raises(RunError, match="is not empty"):
        export_run(run, "hf", run / "model")
    # and the run is still whole
    assert read_published(run / "model").shape == SHAPES["nanochat"]


def test_a_failed_check_leaves_nothing(without_transformers, monkeypatch, run_path, tmp_path):
    run = finished_run(run_path)
    read = iter([read_published(run / "model"), random_decoder(SHAPES["nanochat"], seed=2)])
    monkeypatch.setattr("wellfit.export.hf.read_model", lambda folder: next(read))
    # a disk that returns something else than was written
    with pytest.raises(WellfitError, match=r"\d+ of \d+ tensors read back differ"):
        export_run(run, "hf", tmp_path / "out")
    assert not list(tmp_path.glob("*out*"))


def test_a_run_without_a_model_says_what_to_do(run_path, tmp_path):
    run = RunDir.create(run_path)
    run.db.touch()
    # it has not finished, or it was copied in part
    with pytest.raises(RunError, match=f"no model yet.*wellfit resume {run_path}"):
        export_run(run.path, "hf", tmp_path / "out")


def test_what_is_not_a_run_says_so(tmp_path):
    with pytest.raises(RunError, match="is not a run directory"):  # a folder, but nothing in it
        export_run(tmp_path, "hf", tmp_path / "out")


def test_a_format_that_is_not_offered_is_refused(run_path, tmp_path):
    # before anything is read
    with pytest.raises(ConfigError, match=r"cannot export to 'gguf'; write --to hf or --to peft"):
        export_run(run_path, "gguf", tmp_path / "out")


@pytest.mark.parametrize(
    "tokenizer",
    [tiny_tokenizer(separate=False), tiny_tokenizer(separate=True), byte_tokenizer(separate=True)],
)
def test_the_probe_can_be_read_by_the_tokenizer_it_is_for(tokenizer):
    text = probe_text(tokenizer, context=24)
    ids = tokenizer.encode(text)
    # a good part of the alphabet, nothing unknown, no end of document
    assert len(set(ids.tolist())) > 10 and tokenizer.eos_id not in ids
