"""Training that goes on from a published model, by the real command line."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tokenizers
import torch

from bench.resume import differences
from wellfit.checkpoint import committed
from wellfit.data import eval_blocks
from wellfit.model import weights_digest
from wellfit.store import read_run
from wellfit.train.again import open_again
from wellfit.train.speak import Sampling, stream_text

transformers = pytest.importorskip("transformers")

WORDS = "the a cat dog bird tree sees likes follows small old red .".split()
PADDED = 64  # the published embedding has vectors to spare, as many do
STEPS = 30


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> Path:
    """Sentences of one pattern, in an order without one."""
    draw = np.random.default_rng(1)
    path = tmp_path_factory.mktemp("text") / "toy.txt"
    path.write_text(" ".join(" ".join([*draw.choice(WORDS[:-1], 5), "."]) for _ in range(1500)))
    return path


def publish(folder: Path, family: str) -> Path:
    """A tiny model with a tokenizer, as transformers writes them."""
    vocab = {word: i for i, word in enumerate(["<|endoftext|>", "<unk>", *WORDS])}
    library = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocab, unk_token="<unk>"))
    library.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=library, eos_token="<|endoftext|>", unk_token="<unk>"
    ).save_pretrained(folder)
    ends = {"bos_token_id": 0, "eos_token_id": 0}
    torch.manual_seed(1)
    if family == "gpt2":
        sizes = {"n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 2}
        config = transformers.GPT2Config(vocab_size=PADDED, **sizes, **ends)
    else:
        config = transformers.LlamaConfig(
            vocab_size=PADDED, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64, **ends,
        )  # fmt: skip
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


def command(verb: str, *words: object) -> list[str]:
    return [sys.executable, "-m", "wellfit", verb, *map(str, words)]


def recipe(text: Path, base: Path, folder: Path) -> list[object]:
    """The words of a command that trains on the text from the base."""
    path = folder / "recipe.yaml"
    path.write_text(
        f"data: {{path: {text}, split: {{kind: tail, val: 10%}}, cache: {folder / 'cache'}}}\n"
        f"model: {{kind: pretrained, path: {base}, context: 32}}\n"
        f"train: {{budget: {STEPS} steps, batch: 8, threads: 1, compile: false, precision: fp32}}\n"
        "optim: {kind: adamw, lr: 3e-3}\nregularize: {dropout: 10%}\n"
        "evaluate: {every: 10 steps, tokens: 1000000}\ncheckpoint: {every: 3 steps}\n"
    )
    return [path, "--run", folder / "run"]


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def trained(request, text, tmp_path_factory) -> Path:
    """A finished run of 30 steps, and beside it the model that it started from."""
    folder = tmp_path_factory.mktemp(request.param)
    base = publish(folder / "base", request.param)
    done = subprocess.run(
        command("train", *recipe(text, base, folder)), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return folder / "run"


def mean_nats(model: torch.nn.Module, run: Path) -> float:
    """transformers' loss on the run's own val blocks."""
    again = open_again(run)
    rows = eval_blocks(again.data.splits["val"], context=32)
    found = rows.rows(0, len(rows))
    inputs_BT, targets_BT = torch.from_numpy(found.inputs), torch.from_numpy(found.targets)
    with torch.no_grad():
        logits_BTV = model.eval()(inputs_BT).logits
    loss = torch.nn.functional.cross_entropy(logits_BTV.flatten(0, 1), targets_BT.flatten())
    return float(loss)


def test_training_begins_where_the_published_model_is_and_goes_on_from_there(trained):
    looks = [e for e in read_run(trained).evaluations("val") if e.basis == "fixed blocks"]
    base = transformers.AutoModelForCausalLM.from_pretrained(trained.parent / "base")
    # the first look is the published model's own loss, on the same blocks
    assert looks[0].step == 0
    assert looks[0].loss == pytest.approx(mean_nats(base, trained), abs=1e-4)
    # and from there it falls
    assert looks[-1].loss < looks[0].loss - 0.5


def test_what_was_trained_loads_in_transformers(trained):
    model, loading = transformers.AutoModelForCausalLM.from_pretrained(
        trained / "model", output_loading_info=True
    )
    assert not any(loading.values()), loading
    best = min(e.loss for e in read_run(trained).evaluations("val") if e.basis == "fixed blocks")
    # the chosen weights, whole
    assert mean_nats(model, trained) == pytest.approx(best, abs=1e-4)
    reader = transformers.AutoTokenizer.from_pretrained(trained / "model")
    # with the tokenizer of the model it came from
    assert reader("the cat sees")["input_ids"] == [2, 4, 8]


def test_the_run_remembers_which_weights_it_started_from(trained):
    recorded = json.loads((trained / "data.json").read_text())["model"]
    base = trained.parent / "base"
    # path and hash of the very files
    assert recorded == {"path": str(base), "sha256": weights_digest(str(base))}


def killed_and_resumed(words: list[object], run: Path, base: Path) -> None:
    """Train, die after the first checkpoint, and go on without the weights of the base."""
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command("train", *words), stdout=quiet, stderr=quiet)
    t0 = time.monotonic()
    while process.poll() is None and time.monotonic() - t0 < 120:
        if run.is_dir() and committed(run / "checkpoints"):
            process.send_signal(signal.SIGKILL)
        time.sleep(0.002)
    # guards the test itself: it was killed, and not at its end
    assert process.wait() == -signal.SIGKILL
    hidden = (base / "model.safetensors").rename(base / "elsewhere")
    try:
        done = subprocess.run(
            command("resume", run), capture_output=True, text=True, timeout=300, check=False
        )
    finally:
        hidden.rename(base / "model.safetensors")
    assert done.returncode == 0, done.stderr


def test_a_killed_run_goes_on_exactly_without_the_weights_it_started_from(trained, text, tmp_path):
    base = trained.parent / "base"
    killed_and_resumed(recipe(text, base, tmp_path), tmp_path / "run", base)
    # to the bit: a checkpoint holds all that is trained
    assert differences(trained, tmp_path / "run") == []


def test_a_vocabulary_larger_than_the_embedding_is_refused_before_any_step(text, tmp_path):
    base = publish(tmp_path / "base", "gpt2")
    words = recipe(text, base, tmp_path)
    done = subprocess.run(
        command("train", *words, "tokenizer.kind=byte"), capture_output=True, text=True, timeout=120
    )
    # which of the two has how many, and what to do
    assert done.returncode == 2
    assert "it has 256 tokens" in done.stderr and "has 64" in done.stderr
    assert "Leave tokenizer out" in done.stderr


def test_an_encoder_learns_labels_and_goes_on_exactly(tmp_path):
    base, draw = tmp_path / "base", np.random.default_rng(1)
    vocab = {word: i for i, word in enumerate(["[PAD]", "<unk>", "[CLS]", "[SEP]", *WORDS])}
    library = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocab, unk_token="<unk>"))
    library.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    library.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=library, unk_token="<unk>", sep_token="[SEP]"
    ).save_pretrained(base)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.BertConfig(
        vocab_size=20, intermediate_size=64, max_position_embeddings=40, **sizes
    )
    transformers.BertForMaskedLM(config).save_pretrained(base)
    lines = ["text,label"]
    for label, words in (("early", WORDS[:6]), ("late", WORDS[6:12])) * 200:
        lines.append(f"{' '.join(draw.choice(words, 6))},{label}")
    (tmp_path / "a.csv").write_text("\n".join(lines))
    asked = [
        recipe(tmp_path / "a.csv", base, tmp_path)[0], "task.kind=classify",
        "data.split={kind: hash, val: 20%, test: 0%}", "regularize.dropout=0", "model.context=auto",
    ]  # fmt: skip
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    done = subprocess.run(
        command("train", *asked, "--run", whole), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    looks = [e.loss for e in read_run(whole).evaluations("val") if e.basis == "fixed blocks"]
    # what the words say is learned
    assert min(looks) < looks[0] - 0.1
    model = transformers.AutoModelForSequenceClassification.from_pretrained(whole / "model")
    # and others can use it, by the names of the labels
    assert model.config.label2id == {"early": 0, "late": 1}
    text, reader = " ".join(WORDS[:6]), transformers.AutoTokenizer.from_pretrained(whole / "model")
    with torch.no_grad():
        share = model.eval()(**reader(text, return_tensors="pt")).logits.softmax(dim=1)[0].max()
    # who say of a text what we say, its first and last token included
    told = "".join(stream_text(whole, text, Sampling(1, 0.0, None, None, 1)))
    assert told.split()[0] == f"{float(share):.1%}"
    killed_and_resumed([*asked, "--run", killed], killed, base)
    # dropout of the library included
    assert differences(whole, killed) == []
