"""Whatever is typed: a recipe, or an error with its place; and what is written reads back."""

from __future__ import annotations

import json
import re
import string
from typing import Any

from hypothesis import example, given, note
from hypothesis import strategies as st

from wellfit.config import (
    dump_commented,
    explain,
    load_dict,
    load_text,
    presets,
    recipe_from_dict,
    to_dict,
)
from wellfit.config.fields import read_size, write_percent, write_size
from wellfit.config.reading import read_scalar
from wellfit.config.structure import all_keys, dotted, variants
from wellfit.config.writing import yaml_value
from wellfit.errors import ConfigError
from wellfit.units import Duration, parse_duration, parse_fraction

KEYS = list(all_keys())
LEAVES = sorted({dotted(k.path) for k in KEYS if not variants(k.field.annotation)})
SECTIONS = sorted({dotted(k.path) for k in KEYS if variants(k.field.annotation)})
PLACED = re.compile(r"(?:recipe\.yaml:\d+:\d+|command line ['\"].*['\"]): \S.*", re.DOTALL)
WHOLE = """\
data:
  path: corpus/*.txt
  split: {kind: hash, val: 5%, test: 5%}
tokenizer: {kind: bpe, vocab: 512}
model: {depth: 4, width: 128, heads: 4}
train:
  budget: 10 minutes
  batch: 16
  seed: 1
optim: {kind: muon, lr: 0.02}
schedule: {kind: linear, warmup: 2%}
regularize: {dropout: 0.1, clip: {kind: norm, max: 1.0}}
stop: {patience: 5}
evaluate: {every: 200 steps, sample: {prompt: hello, tokens: 8}}
checkpoint: {every: 5 minutes, keep: 3}
"""
KEY = re.compile(r"\b([a-z_]+):")

texts = st.text(max_size=30)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    texts,
    st.sampled_from(["auto", "none", "off", "5%", "3 epochs", "1e3", "adam", "yes", "-1"]),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)


def complaints(text: str, overrides: list[str]) -> list[str]:
    """The problems of a recipe, each with its place; empty when it is accepted."""
    try:
        load_text(text, overrides=overrides)
    except ConfigError as e:
        for problem in e.problems:
            note(problem)
            # anything else that escapes fails the test as a traceback
            assert PLACED.fullmatch(problem), problem
        # an error with no problem would say nothing
        assert e.problems
        return e.problems
    return []


@given(st.data())
def test_a_misspelt_key_is_found_at_its_line_and_column(data):
    found = data.draw(st.sampled_from(list(KEY.finditer(WHOLE))))
    letters, at = list(found[1]), data.draw(st.integers(0, len(found[1]) - 1))
    match data.draw(st.sampled_from(["drop", "double", "swap", "replace"])):
        case "drop":
            del letters[at]
        case "double":
            letters.insert(at, letters[at])
        case "swap":
            letters[at - 1], letters[at] = letters[at], letters[at - 1]
        case "replace":
            letters[at] = data.draw(st.sampled_from(string.ascii_letters))
    typo = "".join(letters)
    text = WHOLE[: found.start()] + typo + WHOLE[found.start() + len(found[1]) :]
    line = text.count("\n", 0, found.start()) + 1
    column = found.start() - text.rfind("\n", 0, found.start())
    problems = complaints(text, [])
    is_the_same = typo == found[1]
    # a typo never passes, and never as another key: no two keys here differ by one letter
    assert is_the_same or any(p.startswith(f"recipe.yaml:{line}:{column}: ") for p in problems)
    # and the recipe as it was has no problem
    assert not is_the_same or not problems


@given(st.sampled_from(LEAVES + SECTIONS), values)
@example("train.budget", "9" * 5000 + " steps")
@example("data.max_line", "9" * 5000 + " MB")
@example("train.seed", 10**400)
@example("optim.betas", [float("nan"), 0.5])
def test_any_value_for_any_key_is_accepted_or_refused_in_words(key, value):
    line = f"{key}: {yaml_value(value)}" if not isinstance(value, dict) else f"{key}: {{x: 1}}"
    problems = complaints(f"data.path: x\ntrain.budget: 1 epoch\n{line}\n", [])
    note(line)
    # a wrong value is told where it stands, at the line of the key, or at the one given before
    assert all(p.startswith("recipe.yaml:3:") or "recipe.yaml:" in p for p in problems)


@given(st.sampled_from(LEAVES + SECTIONS), values)
def test_any_mapping_is_accepted_or_refused_in_words(key, value):
    try:
        recipe = load_dict({"data.path": "x", "train.budget": "1 epoch"} | {key: value}).recipe
    except ConfigError as e:
        # for callers in Python too, whose values are never text of a file
        assert e.problems
        assert all(problem.strip() for problem in e.problems)
    else:
        assert recipe_from_dict(to_dict(recipe)) == recipe


@given(st.text(max_size=200))
@example("a: 1\n b: 2")
@example("a: [")
@example("\ud800")
@example("a: \ud800")
@example("? x\n: y")
def test_any_text_is_a_recipe_or_a_placed_error(text):
    # a file that is something else altogether
    complaints(text, [])


@given(st.text(alphabet=string.printable, max_size=80))
def test_any_noise_in_a_recipe_is_a_placed_error(noise):
    # YAML's own signs are all printable ASCII
    complaints(f"data:\n  path: x\n{noise}\ntrain.budget: 1 epoch\n", [])


@given(st.lists(st.text(max_size=40), max_size=3))
@example(["optim={kind: adamw}", "optim.kind=muon", "optim=null"])
@example(["=", "a=", "[=]", "x={", "stop.patience={a: {b: 1}}"])
def test_any_words_of_the_command_line_are_overrides_or_told_so(words):
    complaints(WHOLE, words)


@given(st.sampled_from(LEAVES + SECTIONS), texts)
def test_any_text_for_any_override_is_accepted_or_refused_in_words(key, text):
    # also what begins as a list, a section or a quote
    complaints(WHOLE, [f"{key}={text}"])


counts = st.integers(1, 10**6)
shares = st.floats(0.001, 0.4, allow_nan=False)
auto = st.just("auto")
durations = st.builds(
    Duration,
    st.one_of(st.integers(1, 10**12).map(float), st.floats(1e-6, 1e12)),
    st.sampled_from(["epochs", "seconds"]),
) | st.builds(Duration, st.integers(1, 10**15).map(float), st.sampled_from(["steps", "tokens"]))
rates = st.floats(1e-300, 1e300, exclude_min=True)
# st.characters() holds lone surrogates too: file names that are not UTF-8 come in as such
names = st.text(st.characters(), min_size=1, max_size=20)
splits: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.fixed_dictionaries(
        {"kind": st.sampled_from(["hash", "tail"]), "val": shares, "test": shares}
    ),
    st.fixed_dictionaries(
        {"kind": st.just("files"), "val": names | st.lists(names, min_size=1, max_size=3)},
        optional={"test": st.none() | names},
    ),
)
recipes = st.fixed_dictionaries(
    {
        "data": st.fixed_dictionaries(
            {"path": names | st.lists(names, min_size=1, max_size=3), "split": splits},
            optional={"max_line": st.integers(1, 10**15).map(write_size), "cache": names},
        ),
        "train": st.fixed_dictionaries(
            {"budget": durations},
            optional={"batch": counts | auto, "compile": st.booleans() | auto},
        ),
        "tokenizer": st.one_of(
            st.just({"kind": "char"}),
            st.fixed_dictionaries({"kind": st.just("pretrained"), "path": names}),
            st.fixed_dictionaries(
                {"kind": st.just("bpe"), "vocab": st.integers(257, 10**6) | auto}
            ),
        ),
        "optim": st.fixed_dictionaries(
            {"kind": st.sampled_from(["muon", "adamw"])},
            optional={
                "lr": rates | auto,
                "betas": st.tuples(shares, shares),
                "eps": rates,
            },
        ),
        "schedule": st.fixed_dictionaries(
            {"kind": st.sampled_from(["linear", "cosine", "constant"]), "warmup": shares}
        ),
        "stop": st.none() | st.fixed_dictionaries({"patience": counts}),
        "evaluate": st.fixed_dictionaries(
            {"sample": st.none() | st.fixed_dictionaries({"prompt": texts})},
            optional={"every": durations | auto},
        ),
    },
    optional={"preset": st.sampled_from(sorted(presets()))},
)


@given(recipes)
def test_a_plain_recipe_reads_back_equal(mapping):
    recipe = recipe_from_dict(mapping)
    plain = to_dict(recipe)
    # as it stands, and through JSON, to the last digit
    assert recipe_from_dict(plain) == recipe
    assert recipe_from_dict(json.loads(json.dumps(plain))) == recipe


@given(recipes, st.text(max_size=40))
def test_a_commented_recipe_reads_back_equal(mapping, remark):
    recipe = recipe_from_dict(mapping)
    text = dump_commented(recipe, dict.fromkeys(LEAVES, remark))
    note(text)
    loaded = load_text(text)
    # whatever names, prompts and remarks hold
    assert loaded.recipe == recipe
    # and every value says that it came from there
    assert {line.origin.partition(":")[0] for line in explain(loaded)} == {"recipe.yaml"}


@given(st.text(st.characters(), max_size=40) | st.floats(allow_nan=False, allow_infinity=False))
def test_a_written_value_reads_back_equal(value):
    text = yaml_value(value)
    loaded = read_scalar(text) if text[0] != '"' else _unquoted(text)
    # of the same type, too: "3" stays text
    assert (type(loaded), loaded) == (type(value), value)


def _unquoted(text: str) -> Any:
    return load_text(
        f"data.path: x\ntrain.budget: 1 epoch\nevaluate.sample.prompt: {text}\n"
    ).recipe.evaluate.sample.prompt


@given(durations)
def test_a_printed_duration_is_the_same_number(duration):
    # a resumed run reads what the first one wrote
    assert parse_duration(str(duration)) == duration


@given(st.floats(0, 1, exclude_max=True), st.integers(1, 10**17))
def test_shares_and_sizes_are_written_exactly(fraction, n_bytes):
    assert parse_fraction(write_percent(fraction)) == fraction
    # in whichever unit divides it
    assert read_size(write_size(n_bytes)) == n_bytes


@given(st.sampled_from(LEAVES), st.floats() | st.integers())
def test_numbers_never_pass_as_something_else(key, number):
    try:
        recipe = load_dict({"data.path": "x", "train.budget": "1 epoch"} | {key: number}).recipe
    except ConfigError:
        return
    held: Any = recipe
    for name in key.split("."):
        held = getattr(held, name)
    # a number that is accepted is kept, to the last digit that its type has
    assert held in (number, float(number))
