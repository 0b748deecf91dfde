"""Model directories: whole or absent, readable by others, and read without trust."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.tiny_models import SHAPES, random_decoder, tiny_tokenizer
from wellfit.errors import CheckpointError, ConfigError, RunError, WellfitError
from wellfit.model import published_weights, read_published, write_published
from wellfit.model.publish import staged, write_model

TOKENIZER = tiny_tokenizer(separate=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A llama with two blocks, as we write it."""
    write_published(tmp_path / "model", random_decoder(SHAPES["llama"]), TOKENIZER)
    return tmp_path / "model"


def change_weights(folder: Path, change) -> None:
    """Rewrite the weights after ``change`` has had its way with them."""
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def in_shards(folder: Path, weight_map: dict | None = None) -> None:
    """The same weights in two files and an index."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names, real = sorted(tensors), {}
    for i, part in enumerate([names[:3], names[3:]]):
        save_file({n: tensors[n] for n in part}, folder / f"part-{i}.safetensors")
        real |= dict.fromkeys(part, f"part-{i}.safetensors")
    index = {"weight_map": real if weight_map is None else weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def same(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    mine, other = first.state_dict(), second.state_dict()
    return set(mine) == set(other) and all(torch.equal(mine[n], other[n]) for n in mine)


@pytest.mark.parametrize("name", [name for name in SHAPES if name != "gpt2, no biases"])
def test_a_decoder_survives_its_own_directory(name, tmp_path):
    decoder = random_decoder(SHAPES[name])
    write_published(tmp_path / "model", decoder, TOKENIZER)
    again = read_published(tmp_path / "model")
    # same shape, same weights, bit for bit
    assert again.shape == decoder.shape and same(decoder, again)


def test_a_gpt2_without_biases_is_read_as_one_whose_biases_are_zero(tmp_path):
    decoder = random_decoder(SHAPES["gpt2, no biases"])
    assert not any(name.endswith("bias") for name in decoder.state_dict())
    write_published(tmp_path / "model", decoder, TOKENIZER)
    again = read_published(tmp_path / "model")
    # as transformers would read it, which has no GPT-2 without biases
    assert again.shape == replace(decoder.shape, bias=True)
    mine, read = decoder.state_dict(), again.state_dict()
    assert all(torch.equal(mine[name], read[name]) for name in mine)
    assert all(name.endswith("bias") and read[name].eq(0).all() for name in set(read) - set(mine))


def test_published_weights_keep_nothing_that_is_tied_twice():
    names = {n: set(published_weights(random_decoder(s))) for n, s in SHAPES.items()}
    # a tied head is the embedding, and is written once
    assert "lm_head.weight" not in names["gpt2"] and "lm_head.weight" in names["llama"]
    # nanochat's norms have no weights
    assert not any("norm" in weight for weight in names["nanochat"])


def test_files_follow_the_umask_and_there_are_no_others(tmp_path):
    before = os.umask(0o027)
    try:
        write_published(tmp_path / "model", random_decoder(SHAPES["gpt2"]), TOKENIZER)
    finally:
        os.umask(before)
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "model").iterdir()}
    # colleagues of the group can read the model, as the user's umask says
    assert modes == dict.fromkeys(modes, 0o640)
    assert stat.S_IMODE((tmp_path / "model").stat().st_mode) == 0o750
    # what loaders look for, and nothing left over beside it
    wanted = {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json"}
    assert wanted <= set(modes) and [p.name for p in tmp_path.iterdir()] == ["model"]


def test_a_directory_that_holds_something_is_left_alone(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.txt").write_text("precious")
    with pytest.raises(RunError, match=r"not empty \(it holds mine.txt\)"):
        write_published(tmp_path / "model", random_decoder(SHAPES["gpt2"]), TOKENIZER)
    # nothing of it changed, nothing was added
    assert [p.name for p in tmp_path.rglob("*")] == ["model", "mine.txt"]


def test_an_empty_directory_is_used_and_a_file_is_not(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("precious")
    write_published(tmp_path / "empty", random_decoder(SHAPES["gpt2"]), TOKENIZER)
    # what mkdir made is what people name
    assert read_published(tmp_path / "empty").shape == SHAPES["gpt2"]
    with pytest.raises(RunError, match="is not a directory"):
        write_published(tmp_path / "file", random_decoder(SHAPES["gpt2"]), TOKENIZER)


def test_replacing_takes_the_new_model_whole(folder):
    (folder / "stale.txt").write_text("of the old model")
    decoder = random_decoder(SHAPES["gpt2"])
    write_published(folder, decoder, TOKENIZER, replace=True)
    # no mixture of old and new, and no trash beside it
    assert same(read_published(folder), decoder) and not (folder / "stale.txt").exists()
    assert [p.name for p in folder.parent.iterdir()] == ["model"]


def test_what_fails_halfway_leaves_what_was_there(folder):
    old = read_published(folder)
    with (
        pytest.raises(WellfitError, match="No space left on device.*try again"),
        staged(folder, replace=True) as half,
    ):
        write_model(half, random_decoder(SHAPES["gpt2"]), eos_id=None)
        raise OSError(28, "No space left on device")
    # the old model, and no remains of the new one
    assert same(read_published(folder), old)
    assert [p.name for p in folder.parent.iterdir()] == ["model"]


def test_shards_are_read_through_their_index(folder):
    whole = read_published(folder)
    in_shards(folder)
    # one file or several, the same model
    assert same(read_published(folder), whole)


@pytest.mark.parametrize(
    "name", ["../part-0.safetensors", "/etc/part-0.safetensors", "a/b.safetensors", "x.bin", 3, ""]
)
def test_an_index_cannot_lead_out_of_its_folder(folder, name):
    in_shards(folder, {"model.norm.weight": name})
    # a downloaded file decides no paths
    with pytest.raises(CheckpointError, match="is not the plain name of a .safetensors file"):
        read_published(folder)


@pytest.mark.parametrize("index", [{}, {"weight_map": []}, {"weight_map": None}])
def test_an_index_without_a_map_is_named(folder, index):
    in_shards(folder)
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    # no stack trace for a strange file
    with pytest.raises(CheckpointError, match=r"index\.json"):
        read_published(folder)


def test_a_missing_shard_is_named(folder):
    in_shards(folder)
    (folder / "part-1.safetensors").unlink()
    # which file, of how many
    with pytest.raises(CheckpointError, match=r"lacks 1 of 2 .* such as part-1.safetensors"):
        read_published(folder)


def test_missing_and_unexpected_weights_are_named_together(folder):
    def rename(tensors: dict) -> None:
        tensors["model.norm.wait"] = tensors.pop("model.norm.weight")

    change_weights(folder, rename)
    # both ends of a misspelling
    with pytest.raises(
        CheckpointError, match=r"1 missing: model.norm.weight; 1 unexpected: model.norm.wait"
    ):
        read_published(folder)


def test_a_weight_of_another_shape_is_named(folder):
    def widen(tensors: dict) -> None:
        tensors["lm_head.weight"] = torch.zeros(38, 32)

    change_weights(folder, widen)
    # which, what it is, and what the settings make it
    with pytest.raises(
        CheckpointError, match=r"lm_head.weight is \(38, 32\), .* makes it \(37, 32\)"
    ):
        read_published(folder)


def test_quantized_weights_are_refused(folder):
    def quantize(tensors: dict) -> None:
        tensors["lm_head.weight"] = tensors["lm_head.weight"].to(torch.int8)

    change_weights(folder, quantize)
    # numbers without their scale are not weights
    with pytest.raises(CheckpointError, match="holds torch.int8; quantized"):
        read_published(folder)


def test_names_and_tables_of_gpt2_as_first_published_are_understood(tmp_path):
    decoder = random_decoder(SHAPES["gpt2"])
    write_published(tmp_path / "model", decoder, TOKENIZER)

    def as_published(tensors: dict) -> None:
        for name in list(tensors):
            tensors[name.removeprefix("transformer.")] = tensors.pop(name)
        tensors["h.0.attn.bias"] = torch.ones(1, 1, 24, 24)
        tensors["lm_head.weight"] = tensors["wte.weight"].clone()

    change_weights(tmp_path / "model", as_published)
    # no prefix, a table of the mask, and a second copy of the tied head
    assert same(read_published(tmp_path / "model"), decoder)


def test_a_tied_head_that_differs_is_refused(tmp_path):
    write_published(tmp_path / "model", random_decoder(SHAPES["gpt2"]), TOKENIZER)

    def untie(tensors: dict) -> None:
        tensors["lm_head.weight"] = torch.zeros(37, 32)

    change_weights(tmp_path / "model", untie)
    # one of the two would be dropped in silence
    with pytest.raises(CheckpointError, match="lm_head.weight is not the embedding"):
        read_published(tmp_path / "model")


def test_a_damaged_file_is_an_error_of_ours(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-9])
    # with advice, not a stack trace
    with pytest.raises(CheckpointError, match="cannot be read.*Copy or download them again"):
        read_published(folder)


def test_settings_that_would_fill_the_memory_are_caught_before_they_do(folder):
    config = json.loads((folder / "config.json").read_text())
    config |= {"hidden_size": 10**9, "num_hidden_layers": 10**9}
    (folder / "config.json").write_text(json.dumps(config))
    # what a file can hold bounds what it can describe
    with pytest.raises(CheckpointError, match=r"describes \d+ weights, .* hold \d+ bytes"):
        read_published(folder)


def test_weights_that_can_run_code_are_not_opened(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    # and the message says how to convert them
    with pytest.raises(CheckpointError, match="pytorch_model.bin is of a kind that can run code"):
        read_published(folder)


def test_a_folder_without_a_model_says_so(tmp_path):
    # one folder is empty, the other is not there
    with pytest.raises(ConfigError, match="holds no config.json"):
        read_published(tmp_path)
    with pytest.raises(ConfigError, match="no such directory"):
        read_published(tmp_path / "nowhere")


@pytest.mark.parametrize("text", ["{", "[]", "\xff"])
def test_a_strange_config_says_so(tmp_path, text):
    (tmp_path / "config.json").write_text(text, encoding="latin-1")
    # never a stack trace for a file of somebody else's
    with pytest.raises(ConfigError, match=r"config\.json"):
        read_published(tmp_path)
