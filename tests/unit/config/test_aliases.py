"""What users of other trainers type is answered with what to type here, and that is accepted."""

from __future__ import annotations

import re

import pytest
from ruamel.yaml import YAML

from wellfit.config import load_text
from wellfit.config.aliases import other_names, plain_name, say
from wellfit.config.structure import all_keys, dotted
from wellfit.config.suggest import accepts, fields_at
from wellfit.errors import ConfigError

BASE = {"data.path": "x", "train.budget": "1 epoch"}
NAMES = other_names()
KEYS = {dotted(key.path) for key in all_keys()}
# what people give these keys elsewhere, and what it comes to here, worked by hand
GIVEN = [
    ("learning_rate", "3e-4", {"optim.lr": 3e-4}),
    ("lr", "0.02", {"optim.lr": 0.02}),
    ("batch_size", "32", {"train.batch": 32}),
    ("per_device_train_batch_size", "8", {"train.micro_batch": 8}),
    ("epochs", "3", {"train.budget": "3 epochs"}),
    ("num_train_epochs", "2.5", {"train.budget": "2.5 epochs"}),
    ("max_steps", "5000", {"train.budget": "5000 steps"}),
    ("max_iters", "5000", {"train.budget": "5000 steps"}),
    ("max_tokens", "1000000", {"train.budget": "1000000 tokens"}),
    ("block_size", "256", {"model.context": 256}),
    ("seq_length", "256", {"model.context": 256}),
    ("n_layer", "6", {"model.depth": 6}),
    ("num_hidden_layers", "6", {"model.depth": 6}),
    ("n_head", "6", {"model.heads": 6}),
    ("n_embd", "384", {"model.width": 384}),
    ("dropout", "0.2", {"regularize.dropout": 0.2}),
    ("weight_decay", "0.1", {"regularize.weight_decay": 0.1}),
    ("wd", "0.1", {"regularize.weight_decay": 0.1}),
    ("l2", "1e-4", {"regularize.l2": 1e-4}),
    ("l2_reg", "1e-4", {"regularize.l2": 1e-4}),
    ("l1", "1e-5", {"regularize.l1": 1e-5}),
    ("lasso", "1e-5", {"regularize.l1": 1e-5}),
    ("optimizer", "adam", {"optim.kind": "adam"}),
    ("optimizer", "SGD", {"optim.kind": "sgd"}),
    ("optimizer", "rms_prop", {"optim.kind": "rmsprop"}),
    ("lr_scheduler_type", "reduce_lr_on_plateau", {"schedule.kind": "plateau"}),
    ("lr_scheduler_type", "cosine_with_restarts", {"schedule.kind": "cosine-restarts"}),
    ("lr_scheduler_type", "inverse_sqrt", {"schedule.kind": "inverse-sqrt"}),
    ("lr_scheduler_type", "onecycle", {"schedule.kind": "one-cycle"}),
    ("monitor", "accuracy", {"stop.metric": "accuracy"}),
    ("load_best_model_at_end", "false", {"stop.restore_best": False}),
    ("grad_clip", "1.0", {"regularize.clip.max": 1.0}),
    ("grad_clip", "0.0", {"regularize.clip": None}),
    ("max_grad_norm", "0.5", {"regularize.clip.max": 0.5}),
    ("warmup_steps", "100", {"schedule.warmup": "100 steps"}),
    ("warmup_steps", "0", {"schedule.warmup": 0}),
    ("warmup_ratio", "0.03", {"schedule.warmup": "3%"}),
    ("lr_scheduler_type", "cosine", {"schedule.kind": "cosine"}),
    ("lr_scheduler_type", "warmup_stable_decay", {"schedule.kind": "wsd"}),
    ("optimizer", "adamw_torch_fused", {"optim.kind": "adamw"}),
    ("seed", "1337", {"train.seed": 1337}),
    ("val_split", "0.1", {"data.split.val": "10%"}),
    ("validation_split_percentage", "5", {"data.split.val": "5%"}),
    ("test_size", "0.2", {"data.split.test": "20%"}),
    ("eval_interval", "250", {"evaluate.every": "250 steps"}),
    ("save_steps", "500", {"checkpoint.every": "500 steps"}),
    ("save_total_limit", "2", {"checkpoint.keep": 2}),
    ("early_stopping_patience", "3", {"stop.patience": 3}),
    ("early_stopping_patience", "0", {"stop": None}),
    ("early_stopping", "false", {"stop": None}),
    ("vocab_size", "8192", {"tokenizer.vocab": 8192}),
    ("tokenizer_name", "gpt2", {"tokenizer": {"kind": "pretrained", "path": "gpt2"}}),
    ("dtype", "bfloat16", {"train.precision": "bf16"}),
    ("hidden_act", "silu", {"model.mlp": "swiglu"}),
    ("tie_word_embeddings", "true", {"model.head": "tied"}),
    ("train_file", "corpus.txt", {"data.path": "corpus.txt"}),
    ("evaluate.steps", "100", {"evaluate.every": "100 steps"}),
    ("optim.name", "adamw", {"optim.kind": "adamw"}),
    ("schedule.type", "cosine", {"schedule.kind": "cosine"}),
    ("learningRate", "1e-3", {"optim.lr": 1e-3}),
    ("LR", "0.1", {"optim.lr": 0.1}),
]


def advice(line: str) -> str:
    """The problem of a recipe with one line of someone else's."""
    lines = [f"{key}: {value}" for key, value in BASE.items() if key not in line]
    with pytest.raises(ConfigError) as e:
        load_text("\n".join([*lines, line]))
    return e.value.problems[-1]


@pytest.mark.parametrize(("name", "value", "here"), GIVEN)
def test_the_advice_is_the_key_and_the_value_to_write(name, value, here):
    found = re.search(r"unknown key; write (.*)$", advice(f"{name}: {value}"))
    # what the message shows is YAML for exactly this
    assert found is not None
    assert YAML(typ="safe").load(found[1]) == here
    # and a recipe with it is accepted as it stands
    (key,) = here
    text = "\n".join(f"{k}: {v}" for k, v in BASE.items() if k != key)
    assert load_text(f"{text}\n{found[1]}\n")


@pytest.mark.parametrize("name", sorted(NAMES.keys))
def test_every_alias_leads_to_a_key(name):
    # of the recipe as it is now
    assert NAMES.keys[name].key in KEYS
    # and is itself none, nor written in a way that is never looked up
    assert name not in KEYS
    assert name == plain_name(name)
    # whatever the value, there is an answer
    for value in (None, True, -1, 0, 0.5, 3, 10_000, "word", "", [1], {"a": 1}):
        assert say("", name, value) is not None


@pytest.mark.parametrize("name", sorted(NAMES.advice))
def test_every_other_habit_gets_advice(name):
    # in a root key, and in a section
    assert f"{name}: unknown key; {NAMES.advice[name]}" in advice(f"{name}: 1")
    assert f"train.{name}: unknown key; {NAMES.advice[name]}" in advice(f"train.{name}: 1")
    # a name with both would hide one
    assert name not in NAMES.keys


def test_tables_name_what_is_there():
    # sections, keys and words of the recipe as it is now
    assert set(NAMES.sections.values()) <= {key for key in KEYS if "." not in key}
    assert {alias.key for alias in NAMES.inside.values()} <= KEYS
    assert all(
        any(accepts(field, word) for field in fields_at(key))
        for key, words in NAMES.words.items()
        for word in words.values()
    )


@pytest.mark.parametrize(
    ("line", "example"),
    [
        ("max_steps: ten", "train.budget: 5000 steps"),
        ("lr: high", "optim.lr: 0.02"),
        ("optimizer: shampoo", "optim.kind: muon"),
        ("warmup_ratio: 5", "schedule.warmup: 2%"),
        ("val_check_interval: 0.25", "evaluate.every: 200 steps"),
        ("early_stopping: true", "stop.patience: 5"),
    ],
)
def test_a_value_with_no_equal_here_gets_an_example(line, example):
    # the key is known, the value is not guessed
    assert advice(line).endswith(f"write for example {example}")
