"""Each mistake gets one sentence: what was written, what was wanted, what to write."""

from __future__ import annotations

import pytest

from wellfit.config import load_text
from wellfit.errors import ConfigError

BASE = "data.path: x\ntrain.budget: 100 steps\n"
OPTIMIZERS = (
    "muon, adamw, adam, nadam, radam, adamax, schedule-free-adamw, lion, sgd, rmsprop, adagrad, "
    "adadelta, adafactor or lbfgs"
)


def problem(line: str) -> str:
    """The one problem of a recipe that is right but for its last line, without the file's name."""
    with pytest.raises(ConfigError) as e:
        load_text(BASE + line)
    (found,) = e.value.problems
    prefix, _, text = found.partition(": ")
    assert prefix.startswith("recipe.yaml:3:"), found
    return text


def flag_problem(override: str) -> str:
    """The one problem of an override on top of a recipe that is right."""
    with pytest.raises(ConfigError) as e:
        load_text(BASE, overrides=[override])
    (found,) = e.value.problems
    prefix = f"command line {override!r}: "
    assert found.startswith(prefix), found
    return found.removeprefix(prefix)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("modle: {depth: 3}", "modle: unknown key. Did you mean 'model'?"),
        ("Model: {depth: 3}", "Model: unknown key. Did you mean 'model'?"),
        ("model.depht: 3", "model.depht: unknown key. Did you mean 'model.depth'?"),
        ("train.microBatch: 3", "train.microBatch: unknown key. Did you mean 'train.micro_batch'?"),
        ("train.depth: 3", "train.depth: unknown key; write model.depth: 3"),
        ("context: 256", "context: unknown key; write model.context: 256"),
        (
            "every: 3 steps",
            "every: unknown key. Did you mean 'schedule.every', 'regularize.average.every', "
            "'evaluate.every' or 'checkpoint.every'?",
        ),
        (
            "checkpoint.folder: x",
            "checkpoint.folder: unknown key. The keys of checkpoint are every, keep",
        ),
        ("optimizer: {lr: 1}", "optimizer: unknown key. Did you mean 'optim'?"),
        ("validation: {every: 1}", "validation: unknown key. Did you mean 'evaluate'?"),
        (
            "optim: {kind: adamw, momentum: 0.9}",
            "optim.momentum: belongs to kind muon, sgd or rmsprop, and optim.kind is adamw, "
            "whose keys are lr, groups, betas, eps, state, amsgrad",
        ),
        (
            "tokenizer: {kind: char, vocab: 300}",
            "tokenizer.vocab: belongs to kind bpe, and tokenizer.kind is char, "
            "which has no other keys",
        ),
    ],
)
def test_an_unknown_key_names_the_one_that_was_meant(line, text):
    # by spelling, by section, by kind, else all the keys there are
    assert problem(line) == text


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("data.split: 10%", "data.split: '10%' is not a section; write data.split.val: 10%"),
        ("tokenizer: char", "tokenizer: 'char' is not a section; write tokenizer.kind: char"),
        ("optim: adam", "optim: 'adam' is not a section; write optim.kind: adam"),
        ("optim: 3e-4", "optim: 3e-4 is not a section; write optim.lr: 3e-4"),
        ("model: gpt2", "model: 'gpt2' is not a section; write model.family: gpt2"),
        ("model: 6", "model: 6 is not a section; write model.depth: 6"),
        ("stop: false", "stop: false does not switch it off; write stop: null"),
        ("stop: none", "stop: 'none' does not switch it off; write stop: null"),
        ("stop: true", "stop: true is not a section; remove the line for its defaults"),
        ("stop: 5", "stop: 5 is not a section; write stop.patience: 5"),
        (
            "regularize.clip: 1.0",
            "regularize.clip: 1.0 is not a section; write regularize.clip.max: 1.0",
        ),
        ("evaluate: null", "evaluate: cannot be switched off; remove the line for its defaults"),
        ("optim: lr:3", "optim: 'lr:3' is not a section; put a space after ':'"),
        ("task: chat", "task: 'chat' is not a section; write task.kind: chat"),
        ("checkpoint: [1]", "checkpoint: [1] is not a section; its keys are every, keep"),
    ],
)
def test_a_plain_value_for_a_section_is_put_where_it_belongs(line, text):
    # the first key of the section that takes it, or null for off
    assert problem(line) == text


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (
            "optim.kind: adamw_hf",
            f"optim.kind: 'adamw_hf' is not {OPTIMIZERS}. Did you mean adamw?",
        ),
        (
            "data.split.kind: tial",
            "data.split.kind: 'tial' is not hash, tail, files or column. Did you mean tail?",
        ),
        ("optim.kind: null", f"optim.kind: null is not {OPTIMIZERS}"),
        (
            "task.kind: tag",
            "task.kind: 'tag' is not language-model, complete, chat, classify or regress",
        ),
        ("train.device: gpu", "train.device: 'gpu' is not auto, cpu or cuda. Did you mean cuda?"),
        (
            "model.norm: rmsnorm",
            "model.norm: 'rmsnorm' is not rms, layer or null. Did you mean rms?",
        ),
        (
            "model.norm: none",
            "model.norm: 'none' is not rms, layer or null; write model.norm: null",
        ),
        ("train.precision: 16", "train.precision: 16 is not auto, fp32, bf16 or fp8"),
        ("data.on_bad: Skip", "data.on_bad: 'Skip' is not error or skip. Did you mean skip?"),
    ],
)
def test_a_word_that_is_not_on_the_list_gets_the_list(line, text):
    # and the near word, by spelling or by its name elsewhere
    assert problem(line) == text


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (
            "model.depth: 4.0",
            "model.depth: 4.0 is not a whole number of at least 1; write model.depth: 4",
        ),
        (
            "train.batch: '64'",
            "train.batch: '64' is not a whole number of at least 1, or auto; write train.batch: 64",
        ),
        (
            "evaluate.tokens: 1_000",
            "evaluate.tokens: '1_000' is not a whole number of at least 1, or auto; "
            "write evaluate.tokens: 1000",
        ),
        (
            "train.batch: Auto",
            "train.batch: 'Auto' is not a whole number of at least 1, or auto; "
            "write train.batch: auto",
        ),
        (
            "train.batch: 0",
            "train.batch: 0 is not a whole number of at least 1, or auto; "
            "write for example train.batch: 64",
        ),
        (
            "train.batch: true",
            "train.batch: true is not a whole number of at least 1, or auto; "
            "write for example train.batch: 64",
        ),
        (
            "train.seed: -1",
            "train.seed: -1 is not a whole number from 0 to 2**63 - 1; "
            "write for example train.seed: 1",
        ),
        (
            "optim.lr: .nan",
            "optim.lr: nan is not a number above 0, or auto; write for example optim.lr: 0.02",
        ),
        (
            "train.compile: on",
            "train.compile: 'on' is not true, false, auto or cuda-graphs; "
            "write train.compile: true",
        ),
        (
            "model.softcap: off",
            "model.softcap: 'off' is not a number above 0, auto, or null for none; "
            "write model.softcap: null",
        ),
        (
            "train.batch: null",
            "train.batch: cannot be null; it wants a whole number of at least 1, or auto; "
            "write for example train.batch: 64",
        ),
        (
            "train.batch: {size: 3}",
            "train.batch: is one value with no key 'size' inside it; it wants a whole number of "
            "at least 1, or auto; write for example train.batch: 64",
        ),
        (
            "checkpoint.every: 200",
            "checkpoint.every: 200 has no unit, and could be steps, tokens, epochs or minutes; "
            "write for example 200 steps",
        ),
        (
            "checkpoint.every: 5 mintues",
            "checkpoint.every: '5 mintues' is not a duration: 'mintues' is not a unit; "
            "did you mean minutes?",
        ),
        (
            "schedule.warmup: 100",
            "schedule.warmup: 100 is neither a share of the run nor a duration; "
            "write for example 2%, 0.02 or 100 steps",
        ),
        (
            "regularize.dropout: 1.5",
            "regularize.dropout.embedding: 1.5 is not between 0 and 1 (0% and 100%); "
            "write for example 5%",
        ),
        (
            "data.text: 5",
            "data.text: 5 is not a text of one character or more; write data.text: '5'",
        ),
        (
            "data.encoding: utf9",
            "data.encoding: 'utf9' is not an encoding that Python knows; "
            "write for example utf-8 or latin-1",
        ),
        (
            "data.encoding: base64",
            "data.encoding: 'base64' is not an encoding that Python knows; "
            "write for example utf-8 or latin-1",
        ),
        (
            "data.split.val: 0",
            "data.split.val: 0 leaves nothing to choose the checkpoint or judge the fit with; "
            "write a share above 0, for example 5%",
        ),
        (
            "optim.betas: [0.9, 1]",
            "optim.betas: [0.9, 1] is not two numbers from 0 up to but not including 1; "
            "write for example optim.betas: [0.9, 0.95]",
        ),
        (
            "optim.betas: [true, 0.5]",
            "optim.betas: [true, 0.5] is not two numbers from 0 up to but not including 1; "
            "write for example optim.betas: [0.9, 0.95]",
        ),
        (
            "data.split: {kind: files, val: [a, 3]}",
            "data.split.val: ['a', 3] is not a path or pattern, or a list of them; "
            "write data.split.val: ['a', '3']",
        ),
        (
            "data.split: {kind: files, val: []}",
            "data.split.val: [] is not a path or pattern, or a list of them; "
            "write for example data.split.val: corpus/val.txt",
        ),
        ("preset: 3", "preset: 3 is not the name of a preset, or null; write preset: '3'"),
    ],
)
def test_a_wrong_value_gets_the_one_that_was_meant_or_an_example(line, text):
    # what was written, what was wanted, what to write
    assert problem(line) == text


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (
            "data.split: {val: 60%, test: 50%}",
            "data.split.val: val 60% and test 50% leave nothing for train; "
            "write shares that add up to less than 100%",
        ),
        (
            "data.split.test: 99%",
            "data.split.val: val 5% and test 99% leave nothing for train; "
            "write shares that add up to less than 100%",
        ),
        (
            "data: {format: text, split: {kind: column, column: s, val: v}}",
            "data.split.kind: files of format text have no columns; write data.split.kind: hash, "
            "or name the format of your files in data.format",
        ),
        (
            "data: {format: csv, document: line}",
            "data.document: 'line' divides files of format text, and data.format is 'csv', where "
            "each record is a document; leave data.document out",
        ),
        (
            "model: {width: 100, heads: 3}",
            "model.heads: width 100 does not divide into 3 heads; "
            "write model.width: 99 or 102, or another model.heads",
        ),
        (
            "model: {heads: 6, kv_heads: 4}",
            "model.kv_heads: 6 heads do not divide among 4 key and value heads; "
            "write one of 1, 2, 3, 6",
        ),
        (
            "schedule.warmup: 200 steps",
            "schedule.warmup: 200 steps of warm-up are more than the budget, 100 steps; "
            "write less, for example 2%",
        ),
        (
            "schedule: {kind: wsd, warmup: 60%, decay: 50%}",
            "schedule.decay: 50% and the warm-up of 60% are more than the whole run; "
            "write less of one",
        ),
    ],
)
def test_values_that_cannot_be_together_are_told_at_one_of_them(line, text):
    with pytest.raises(ConfigError) as e:
        load_text("data.path: x\ntrain.budget: 100 steps\n" + line)
    # the key named is the one at the place
    assert [p.partition(": ")[2] for p in e.value.problems] == [text]


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("train.max_steps=5000", "train.max_steps: unknown key; write train.budget='5000 steps'"),
        ("lr=3e-4", "lr: unknown key; write optim.lr=3e-4"),
        ("tokenizer=char", "tokenizer: 'char' is not a section; write tokenizer.kind=char"),
        (
            "evaluate.sample.prompt=42",
            "evaluate.sample.prompt: 42 is not text; write evaluate.sample.prompt=\"'42'\"",
        ),
        (
            "data.path=2024",
            "data.path: 2024 is not a path or pattern, or a list of them; "
            "write data.path=\"'2024'\"",
        ),
        (
            "train.seed.x=1",
            "train.seed: is one value with no key 'x' inside it; it wants a whole number from 0 to "
            "2**63 - 1; write for example train.seed=1",
        ),
        (
            "data.path.0=x",
            "data.path: is one value with no key '0' inside it; it wants a path or pattern, "
            "or a list of them; write for example data.path='corpus/**/*.txt'",
        ),
    ],
)
def test_on_the_command_line_the_advice_is_for_a_shell(override, text):
    # it can be pasted as it stands
    assert flag_problem(override) == text


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (
            "optim: {kind: sgd, momentum: 0, nesterov: true}",
            "optim.nesterov: needs momentum, and no dampening; write optim.momentum: 0.9 and "
            "optim.dampening: 0.0",
        ),
        (
            "optim.kind: schedule-free-adamw",
            "optim.kind: schedule-free-adamw averages its weights in place of a schedule; "
            "write schedule.kind: constant",
        ),
        (
            "optim.kind: lbfgs",
            "optim.kind: lbfgs searches along a line, on one plain function; "
            "write schedule.kind: constant, schedule.warmup: 0, regularize.clip: null",
        ),
        (
            "schedule: {kind: cosine-restarts, cycles: 60, growth: 2}",
            "schedule.cycles: 60 cycles, each 2 times the one before, are more than any run has "
            "steps for; write less, such as 4",
        ),
        (
            "optim.groups: 3",
            "optim.groups: 3 is not a list of groups; write for example "
            "optim.groups: [{match: embed*, lr_scale: 0.1}]",
        ),
        (
            "optim.groups: [{match: head*, lr: 0.1}]",
            "optim.groups: a group has the keys match, lr_scale, weight_decay, and of one 'lr' is "
            "wrong: Extra inputs are not permitted; write for example "
            "[{match: embed*, lr_scale: 0.1}]",
        ),
        (
            "schedule: {kind: multi-step, milestones: 50%}",
            "schedule.milestones: '50%' is not a list of shares of the run, or of durations; "
            "write for example schedule.milestones: [50%, 75%]",
        ),
    ],
)
def test_what_an_optimizer_or_a_schedule_needs_is_said(line, text):
    # with what to write instead, all of it at once
    assert problem(line) == text
