"""Preset, file and command line lie over each other key by key."""

from __future__ import annotations

import pytest

from wellfit.config import load_text
from wellfit.config.layers import read_override
from wellfit.errors import ConfigError

BASE = "data: {path: x}\ntrain: {budget: 1 epoch}\n"


def loaded(text: str, *overrides: str):
    return load_text(BASE + text, overrides=overrides)


def test_the_later_layer_wins_key_by_key():
    text = "preset: gpt2-small\nregularize: {dropout: 0.1}\n"
    recipe = load_text(text + BASE, overrides=["train.batch=8"]).recipe
    # the command line
    assert recipe.train.batch == 8
    # the file, over the preset's budget, and beside the preset's clip in the same section
    assert str(recipe.train.budget) == "1 epoch"
    assert recipe.regularize.dropout.residual == 0.1
    # the preset, where nobody said otherwise
    assert recipe.regularize.weight_decay == 0.1
    assert recipe.model.width == 768


def test_overrides_are_applied_in_the_order_they_were_typed():
    # a script appends its own to the user's
    assert loaded("", "train.seed=2", "train.seed=3").recipe.train.seed == 3
    # off, and on again with defaults
    assert loaded("", "stop=null", "stop.patience=2").recipe.stop.patience == 2


def test_null_switches_a_section_off():
    # also one that the file has values for
    assert loaded("stop: {patience: 3}\n", "stop=null").recipe.stop is None
    # and a key in it switches it on
    assert loaded("stop: null\n", "stop.patience=3").recipe.stop.patience == 3


def test_a_section_given_whole_replaces_the_one_below():
    found = loaded("optim: {kind: adamw, lr: 0.1, eps: 1e-5}\n", "optim={lr: 0.2}")
    # an assignment: eps is back at its default, but the kind was not in question
    assert (found.recipe.optim.kind, found.recipe.optim.lr) == ("adamw", 0.2)
    assert found.recipe.optim.eps == 1e-8
    # nothing is dropped in silence
    assert found.notices == (
        "command line 'optim={lr: 0.2}': replaces all of optim; "
        "left out: optim.eps (recipe.yaml:3:31)",
    )


def test_a_whole_inner_section_leaves_its_neighbours():
    found = loaded("data.split.val: 20%\n", "data.split={kind: tail, val: 10%}").recipe
    # data.path is untouched, and the tail split has its own default for test
    assert (found.data.path, found.data.split.val, found.data.split.test) == ("x", 0.1, 0.0)


def test_a_new_kind_leaves_out_what_it_does_not_have():
    found = loaded("optim: {momentum: 0.9, lr: 0.02}\n", "optim.kind=adamw")
    # muon was the default kind, so momentum was right where it stood
    assert found.recipe.optim.kind == "adamw"
    # keys that both kinds have stay
    assert found.recipe.optim.lr == 0.02
    # and both facts are told
    assert found.notices == (
        "command line 'optim.kind=adamw': optim changes from muon to adamw; "
        "left out: optim.momentum (recipe.yaml:3:9); kept: optim.lr (recipe.yaml:3:24)",
    )


def test_a_key_of_another_meaning_does_not_stay_with_the_kind():
    found = loaded("data.split: {kind: tail, val: 10%, test: 0}\n", "data.split={kind: hash}")
    assert found.recipe.data.split.val == 0.05
    # a share is no file name, though both are called val
    with pytest.raises(ConfigError) as e:
        loaded("data.split: {kind: tail, val: 10%}\n", "data.split.kind=files")
    assert e.value.problems == [
        "command line 'data.split.kind=files': data.split.val: missing (files, folders or patterns "
        "of the val split); write for example data.split.val=corpus/val.txt"
    ]


def test_a_section_in_a_section_stays_where_the_new_kind_has_the_same():
    found = loaded("task: {kind: complete, prompt: x, loss: {z_loss: 0.1}}\n", "task.kind=chat")
    # both learn tokens by the same loss
    assert (found.recipe.task.kind, found.recipe.task.loss.z_loss) == ("chat", 0.1)
    other = loaded("task: {kind: classify, loss: {kind: focal}}\n", "task.kind=regress")
    # a loss of classes is none of numbers
    assert other.recipe.task.loss.kind == "mse"
    assert "left out: task.loss (recipe.yaml:3:24)" in other.notices[0]
    # a new kind may also have a section that the old one lacks
    deep = loaded("model.depth: 3\n", "model={kind: pretrained, path: m}")
    assert deep.recipe.model.lora is None and "left out: model.depth" in deep.notices[0]


def test_a_file_may_change_the_kind_of_its_preset():
    found = load_text(
        "preset: shakespeare-char\ndata: {path: x}\ntokenizer: {kind: bpe, vocab: 300}\n"
    )
    assert found.recipe.tokenizer.vocab == 300
    # a char tokenizer has no keys to leave out
    assert found.notices == ()


def test_a_typo_is_not_dropped_with_the_kind():
    # it belongs to no kind, so it is a mistake in all of them
    with pytest.raises(ConfigError, match="recipe.yaml:3:9: optim.momentun: unknown key"):
        loaded("optim: {momentun: 0.9}\n", "optim.kind=adamw")
    with pytest.raises(ConfigError, match="recipe.yaml:3:9: optim.momentun: unknown key"):
        loaded("optim: {momentun: 0.9}\n", "optim={kind: adamw}")


def test_the_same_layer_cannot_mix_kinds():
    # here the user wrote both, so neither is left out for the other
    with pytest.raises(ConfigError, match="optim.momentum: belongs to kind muon, sgd"):
        loaded("optim: {kind: adamw, momentum: 0.9}\n")


def test_a_preset_can_be_chosen_on_the_command_line():
    found = load_text("data: {path: x}\n", overrides=["preset=shakespeare-char"])
    assert found.recipe.tokenizer.kind == "char"
    # and the one of the file then does not count
    other = load_text("preset: gpt2-small\ndata: {path: x}\n", overrides=["preset=quick"])
    assert other.recipe.model.width == "auto"


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("train.seed", "command line 'train.seed': is not KEY=VALUE"),
        ("=3", "command line '=3': is not KEY=VALUE"),
        ("a..b=2", "command line 'a..b=2': is not KEY=VALUE"),
        ("--train.seed=2", "recipe keys are written without dashes; write train.seed=2"),
        ("--seed", "recipe keys are written without dashes"),
        ("train.seed=", "train.seed: nothing follows '='; write a value"),
        ("stop=", "stop: nothing follows '='; write a value, or stop=null to switch it off"),
        ("evaluate.sample.prompt=", "or evaluate.sample.prompt=\"''\" for empty text"),
        ("optim={lr: [1}", "optim: a bracket opened here is not closed"),
        ("optim={lr: 1, lr: 2}", "optim.lr: given a second time"),
    ],
)
def test_what_is_not_an_override_says_how_one_is_written(typed, message):
    _, problems = read_override(typed)
    # one problem, which quotes what was typed
    assert len(problems) == 1
    assert message in str(problems[0])
    assert repr(typed) in str(problems[0])


def test_ten_thousand_dots_are_no_crash():
    with pytest.raises(ConfigError, match="unknown key"):
        loaded("", "a." * 10_000 + "b=1")


def test_one_number_and_a_mapping_of_places_lie_on_top_of_each_other():
    text = """
data: {path: x}
train: {budget: 1 epoch}
regularize: {dropout: 10%}
"""
    usual = {"embedding": 0.1, "attention": 0.1, "residual": 0.1, "mlp": 0.0, "head": 0.0}
    loaded = load_text(text, overrides=["regularize.dropout.mlp=0.2"])
    # one place more: the number goes on standing for the usual ones
    assert loaded.recipe.regularize.dropout.model_dump() == {**usual, "mlp": 0.2}
    # each value says where it was written
    origin = {k: loaded.origins[f"regularize.dropout.{k}"].where for k in usual}
    assert origin["residual"] == "recipe.yaml:4:14" and origin["mlp"] == "command line"
    whole = load_text(text, overrides=["regularize.dropout=0.3"]).recipe.regularize.dropout
    # another number replaces the number
    assert whole.model_dump() == {k: 0.3 if v else 0.0 for k, v in usual.items()}
