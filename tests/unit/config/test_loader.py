"""A recipe from a file, a text or a mapping, with the place of every value and every problem."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from wellfit.config import (
    ByteTokenizer,
    PretrainedTokenizer,
    Recipe,
    load_dict,
    load_recipe,
    load_text,
    recipe_from_dict,
    to_dict,
)
from wellfit.config.optim import AdamW
from wellfit.errors import ConfigError
from wellfit.units import Duration

SMALLEST = {"data": {"path": "x"}, "train": {"budget": "1 epoch"}}


def problems(text: str, *overrides: str) -> list[str]:
    """Every problem of a recipe."""
    with pytest.raises(ConfigError) as e:
        load_text(text, overrides=overrides)
    return e.value.problems


def test_the_recipe_of_the_design_is_read():
    text = """
task: {kind: language-model}
data:
  path: corpus/**/*.txt
  split: {kind: hash, val: 5%, test: 5%}
tokenizer: {kind: bpe, vocab: auto}
model: {kind: decoder, depth: 6}
train: {budget: 10 minutes, batch: auto, seed: 1}
optim: {kind: muon, lr: auto}
schedule: {kind: linear, warmup: 2%}
regularize: {dropout: 0, weight_decay: auto, clip: {kind: norm, max: 1.0}}
stop: {patience: 5}
evaluate: {every: auto}
checkpoint: {every: 5 minutes, keep: 3}
"""
    recipe = load_text(text).recipe
    # section 4 of the design, key by key
    assert recipe.train.budget == Duration(600, "seconds")
    assert (recipe.data.split.val, recipe.schedule.warmup) == (0.05, 0.02)
    # and it is what the defaults are, but for what has none and the depth
    smaller = load_text("data.path: corpus/**/*.txt\ntrain.budget: 10 minutes\nmodel.depth: 6\n")
    assert recipe == smaller.recipe


def test_a_file_is_read_with_its_overrides(tmp_path: Path):
    path = tmp_path / "recipe.yaml"
    path.write_bytes("\ufeffdata: {path: x}\r\ntrain: {budget: 1 epoch}\r\n".encode())
    loaded = load_recipe(path, ["checkpoint.every=7 steps", "regularize.dropout=0.1"])
    # a byte order mark and Windows line ends are no part of it
    assert loaded.recipe.checkpoint.every == Duration(7, "steps")
    assert loaded.recipe.regularize.dropout.residual == 0.1
    assert loaded.path == path
    # places are named as the user named the file
    assert loaded.origins["data.path"].where == f"{path}:1:8"


def test_every_value_has_an_origin():
    text = "preset: quick\ndata: {path: x}\ntrain.seed: 2\nstop: null\n"
    loaded = load_text(text, overrides=["optim={kind: adamw, lr: 0.1}"])
    origins = {key: (o.kind, o.where) for key, o in loaded.origins.items()}
    # preset, file (also by a dotted key and by null), command line (also inside a section), default
    assert origins["train.budget"] == ("preset", "preset quick")
    assert origins["train.seed"] == ("file", "recipe.yaml:3:1")
    assert origins["stop"] == ("file", "recipe.yaml:4:1")
    assert origins["optim.lr"] == ("flag", "command line")
    assert origins["optim.eps"] == ("default", "")
    # one for each value that the recipe holds
    assert "stop.patience" not in origins
    assert len(origins) == len(set(origins))


def test_all_problems_are_told_at_once_in_reading_order():
    text = (
        "data: {path: x}\ntrain:\n  budget: 10 minutes\n  batchsize: 3\n  max_steps: ten\nseed: 1\n"
    )
    # file first by line, then the command line as typed
    assert problems(text, "train.bach=3", "optim.lr=abc") == [
        "recipe.yaml:4:3: train.batchsize: unknown key. Did you mean 'train.batch'?",
        "recipe.yaml:5:3: train.max_steps: unknown key; it is called train.budget here, and wants "
        "a duration: steps, tokens, epochs, seconds, minutes, hours or days; "
        "write for example train.budget: 5000 steps",
        "recipe.yaml:6:1: seed: unknown key; write train.seed: 1",
        "command line 'train.bach=3': train.bach: unknown key. Did you mean 'train.batch'?",
        "command line 'optim.lr=abc': optim.lr: 'abc' is not a number above 0, or auto; "
        "write for example optim.lr=0.02",
    ]


def test_what_has_no_default_is_asked_for():
    # nobody else can know the data and the budget
    assert problems("") == [
        "recipe.yaml:1:1: data.path: missing (the text: files, folders or patterns, one or a "
        "list); write for example data.path: corpus/**/*.txt",
        "recipe.yaml:1:1: train.budget: missing (how long to train: minutes, steps, tokens or "
        "epochs); write for example train.budget: 10 minutes",
    ]


def test_a_misspelt_key_is_not_also_missing():
    # one mistake, one message
    assert problems("data: {pth: x}\ntrain: {bugdet: 1 epoch}\n") == [
        "recipe.yaml:1:8: data.pth: unknown key. Did you mean 'data.path'?",
        "recipe.yaml:2:9: train.bugdet: unknown key. Did you mean 'train.budget'?",
    ]


def test_a_kind_chosen_on_the_command_line_says_there_what_it_needs():
    # the file is right as it stands
    assert problems("data.path: x\ntrain.budget: 1 epoch\n", "tokenizer.kind=pretrained") == [
        "command line 'tokenizer.kind=pretrained': tokenizer.path: missing (a tokenizer.json file, "
        "or a folder that holds one); write for example tokenizer.path=path/to/tokenizer.json"
    ]


def test_an_unknown_preset_names_the_near_one_and_all():
    (problem,) = problems("preset: quik\ndata.path: x\ntrain.budget: 1 epoch\n")
    # at its place
    assert problem.startswith(
        "recipe.yaml:1:1: preset: there is no preset 'quik'. Did you mean quick?"
    )
    assert "shakespeare-char" in problem


def test_a_file_that_is_not_there_is_named_with_the_near_one(tmp_path: Path):
    (tmp_path / "recipe.yaml").write_text("")
    with pytest.raises(ConfigError, match="there is no such file. Did you mean .*recipe.yaml"):
        load_recipe(tmp_path / "recpe.yaml")
    # and how to make one
    with pytest.raises(ConfigError, match="wellfit init .*other/x.yaml --data PATH"):
        load_recipe(tmp_path / "other" / "x.yaml")


def test_a_folder_or_another_encoding_is_no_recipe(tmp_path: Path):
    with pytest.raises(ConfigError, match="this is a folder"):
        load_recipe(tmp_path)
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"a: \xe9")
    # with the byte, as for data
    with pytest.raises(ConfigError, match="byte 3 is not UTF-8"):
        load_recipe(latin)


def test_a_mapping_is_a_recipe():
    recipe = recipe_from_dict(
        {**SMALLEST, "optim": AdamW(lr=0.1), "train.batch": 4, "model": {"depth": 2}}
    )
    # sections, dotted keys and nested mappings alike, for callers in Python
    assert (recipe.optim, recipe.train.batch, recipe.model.depth) == (AdamW(lr=0.1), 4, 2)
    # presets too
    assert recipe_from_dict({**SMALLEST, "preset": "gpt2-small"}).model.width == 768


def test_problems_of_a_mapping_have_no_place():
    with pytest.raises(ConfigError) as e:
        load_dict({**SMALLEST, "optim": {"lrr": 1}}, ["train.sed=1"])
    # there is no line to name
    assert e.value.problems == [
        "optim.lrr: unknown key. Did you mean 'optim.lr'?",
        "command line 'train.sed=1': train.sed: unknown key. Did you mean 'train.seed'?",
    ]


def test_a_plain_mapping_of_a_recipe_reads_back_equal():
    recipe = recipe_from_dict({**SMALLEST, "data": {"path": ["a", "b"], "max_line": "1 MiB"}})
    plain = to_dict(recipe)
    # through JSON as well, which is how a run keeps it
    assert recipe_from_dict(json.loads(json.dumps(plain))) == recipe
    # in the words people use
    assert plain["train"]["budget"] == "1 epoch"
    assert plain["data"]["path"] == ["a", "b"]
    assert plain["data"]["max_line"] == "1 MiB"


def test_a_recipe_is_a_value():
    recipe = recipe_from_dict(SMALLEST)
    # equal recipes are equal keys, and none can be changed
    assert hash(recipe) == hash(recipe_from_dict(SMALLEST))
    assert len({recipe, recipe_from_dict(SMALLEST)}) == 1
    with pytest.raises(ValueError, match="frozen"):
        recipe.train.seed = 2
    assert isinstance(recipe, Recipe)


def test_a_pretrained_model_brings_its_own_tokenizer():
    base = {"data": {"path": "x.txt"}, "train": {"budget": "1 step"}}
    model = {"kind": "pretrained", "path": "models/m"}
    recipe = recipe_from_dict({**base, "model": model})
    # left out, it is the model's
    assert recipe.tokenizer == PretrainedTokenizer(path="models/m")
    # said, it is what was said
    asked = recipe_from_dict({**base, "model": model, "tokenizer": {"kind": "byte"}})
    assert asked.tokenizer == ByteTokenizer()
    # and from Python alike
    parts = {"data": recipe.data, "train": recipe.train, "model": recipe.model}
    assert Recipe(**parts).tokenizer == recipe.tokenizer
    # other models still have one made for them
    assert recipe_from_dict(base).tokenizer.kind == "bpe"
