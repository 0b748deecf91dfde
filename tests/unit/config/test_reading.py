"""Recipe text becomes a tree with places, or an error that says what to mend."""

from __future__ import annotations

import math
import time

import pytest
from ruamel.yaml import YAML

from wellfit.config.reading import (
    MAX_CHARACTERS,
    Entry,
    Origin,
    Problem,
    place,
    plain,
    read_recipe,
    read_scalar,
    read_value,
    tree_of,
)
from wellfit.errors import ConfigError


def refusal(text: str) -> str:
    """The one problem for which a text is not read at all."""
    with pytest.raises(ConfigError) as e:
        read_recipe(text, "r.yaml")
    (problem,) = e.value.problems
    return problem


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("null", None),
        ("~", None),
        ("", None),
        ("true", True),
        ("FALSE", False),
        ("017", 17),
        ("0o17", 15),
        ("0x1F", 31),
        ("-3", -3),
        ("3e-4", 3e-4),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("-.inf", -math.inf),
        ("yes", "yes"),
        ("on", "on"),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("2024-01-01", "2024-01-01"),
        ("5%", "5%"),
        ("0b1", "0b1"),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text, value):
    # section 10.3.2 of the specification, worked by hand; YAML 1.1 differs in half of these
    assert read_scalar(text) == value
    assert type(read_scalar(text)) is type(value)


def test_nan_is_a_number_that_is_none():
    # so that a field can refuse it as a number
    assert math.isnan(read_scalar(".nan"))


def test_a_number_too_long_for_python_is_no_crash():
    # Python refuses to read integers of thousands of digits
    assert read_scalar("9" * 10_000) == math.inf


def test_structure_is_as_the_yaml_library_reads_it():
    text = "a: {b: [1, x], 'c d': \"q\"}\ne: |\n  two\n  lines\nf:\n  g: 1 # not this\n"
    tree, problems = read_recipe(text, "r.yaml")
    # nested, flow, quoted, block text and comments, against a reader that is not ours
    assert plain(tree) == YAML(typ="safe").load(text)
    assert problems == []


def test_every_key_knows_its_line_and_column():
    tree, _ = read_recipe("a: 1\nb:\n  c: {d: 2}\n", "r.yaml")
    inner = tree["b"].value["c"]
    # counted from 1, as editors do, at the key
    assert [e.origin.where for e in (tree["a"], tree["b"], inner, inner.value["d"])] == [
        "r.yaml:1:1",
        "r.yaml:2:1",
        "r.yaml:3:3",
        "r.yaml:3:7",
    ]


def test_a_dotted_key_is_a_nested_one():
    tree, problems = read_recipe("a.b.c: 1\na: {d: 2}\na.b.e: 3\n", "r.yaml")
    # error messages name keys so, hence they can be typed so
    assert plain(tree) == {"a": {"b": {"c": 1, "e": 3}, "d": 2}}
    assert problems == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\na: 2\n", "r.yaml:2:1: a: given a second time, first at r.yaml:1:1; keep one"),
        ("a: {b: 1}\na: {c: 1}\n", "r.yaml:2:1: a: given a second time, first at r.yaml:1:1"),
        ("a: {b: 1}\na.b: 2\n", "r.yaml:2:1: a.b: given a second time, first at r.yaml:1:5"),
        ("a: null\na.b: 2\n", "r.yaml:2:1: a: given a second time, first at r.yaml:1:1"),
        ("x:\n  a: {b: 1, b: 2}\n", "r.yaml:2:13: x.a.b: given a second time"),
        ("x:\n  a:\n", "r.yaml:2:3: x.a: is empty; write a value"),
        ("x: {a}\n", "r.yaml:1:5: x.a: is empty"),
    ],
)
def test_doubled_and_empty_keys_are_problems(text, problem):
    _, problems = read_recipe(text, "r.yaml")
    # with both places, the whole key, and the rest of the recipe still read
    assert [str(p)[: len(problem)] for p in problems] == [problem]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &x 1\nb: *x\n", "r.yaml:1:4: '&x' is a YAML anchor"),
        ("path: *.txt\n", "r.yaml:1:7: '*' begins an alias in YAML; put quotes round a pattern"),
        ("path: *\n", "r.yaml:1:8: '*' begins an alias in YAML; put quotes round a pattern"),
        ("a: !!python/object:os.system x\n", "r.yaml:1:4: the YAML tag"),
        ("a: !x 1\n", "r.yaml:1:4: the YAML tag !x is not read here"),
        ("a: 1\n---\nb: 2\n", "r.yaml:2:1: a second document begins here"),
        ("[" * 50, "r.yaml:1:14: more than 12 levels deep"),
        ("? [a]\n: 1\n", "r.yaml:1:3: a key is a plain word"),
        ("\ta: 1\n", "r.yaml:1:1: a tab indents this line; YAML wants spaces"),
        ("a:\n\tb: 1\n", "r.yaml:2:1: a tab indents this line; YAML wants spaces"),
        ("a: b: c\n", "r.yaml:1:5: a second ':' in 'a: b: c'; put quotes"),
        ("a\nb: 2\n", "r.yaml:2:2: the line above, 'a', has no ':'"),
        ("a: 1\n  b: 2\n", "r.yaml:2:4: the line above, 'a: 1', has a value already"),
        ("a:\n  b: 1\n  c\n  d: 2\n", "r.yaml:3:3: 'c' has no ':'"),
        ("a:\n    b: 1\n  c: 2\n", "r.yaml:3:3: the indentation of 'c: 2' does not line up"),
        ("a: @x\n", "r.yaml:1:4: no YAML value begins with '@'; put quotes round it"),
        ("a: [1, 2\nb: 3\n", "r.yaml:1:4: a bracket opened here is not closed"),
        ("a: {b: 1 c: 2}\n", "r.yaml:1:4: a bracket opened here is not closed, or a comma"),
        ("a: 1\nb: 'x\n", "r.yaml:2:4: a quote opened here is not closed"),
        ('a: "\\q"\n', "r.yaml:1:6: not YAML: found unknown escape character"),
        ("a: 1\nb: x\x00", "r.yaml:2:5: the character \\x00 cannot stand in YAML"),
        ("- 1\n", "r.yaml:1:1: a recipe is a mapping of sections"),
        ("train:3\n", "r.yaml:1:1: a recipe is a mapping of sections such as 'data:'"),
    ],
)
def test_what_is_not_a_recipe_is_refused_at_its_place(text, message):
    # the place is the one to mend, and the words say how
    assert refusal(text).startswith(message)


def test_a_file_of_data_is_told_from_a_recipe():
    # at once: the YAML parser would take minutes over a corpus
    t0 = time.perf_counter()
    assert "is this the data rather than the recipe?" in refusal("a: b\n" * MAX_CHARACTERS)
    assert time.perf_counter() - t0 < 1


def test_a_bomb_of_aliases_does_not_go_off():
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40)]
    # 2**40 items if it were read
    assert "anchor" in refusal("\n".join(lines))


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "null\n"])
def test_an_empty_file_is_an_empty_recipe(text):
    # what it lacks is found later, with names
    assert read_recipe(text, "r.yaml") == ({}, [])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("*.txt", "*.txt"),
        ("a: b # c", "a: b # c"),
        ("C:\\corpus", "C:\\corpus"),
        ("&x", "&x"),
        ("3e-4", 3e-4),
        ("null", None),
        ("'null'", "null"),
        ('"2 minutes"', "2 minutes"),
        ("[a, 2]", ["a", 2]),
    ],
)
def test_an_override_is_one_scalar_unless_it_begins_as_more(text, value):
    # the shell has already taken one pair of quotes away
    assert read_value(text, f"k={text}") == (value, [])


def test_a_section_given_by_override_comes_from_the_command_line():
    value, problems = read_value("{a: {b: 1}}", "k={a: {b: 1}}")
    origin = Origin("flag", "command line", "k={a: {b: 1}}")
    # every key in it, so that a problem there names the override
    assert value["a"].origin == value["a"].value["b"].origin == origin
    assert problems == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[a, b", "a bracket opened here is not closed, or a comma is missing, in '[a, b'"),
        ("'x' y", "more text after the end of the value"),
        ("{a: 1, a: 2}", "given a second time"),
    ],
)
def test_a_broken_override_is_a_problem_and_no_crash(text, message):
    _, problems = read_value(text, f"k={text}")
    # collected with all the others
    assert [message in p.text for p in problems] == [True]
    assert str(problems[0]).startswith("command line ")


def test_a_mapping_becomes_the_same_tree_as_a_file():
    problems: list[Problem] = []
    tree = tree_of({"a.b": 1, "a": {"c": {3: "x"}}}, Origin("file"), problems)
    # dotted and nested alike; keys are text
    assert plain(tree) == {"a": {"b": 1, "c": {"3": "x"}}}
    assert problems == []


@pytest.mark.parametrize("key", ["a..b", ".a", "a.", ".", "a." * 5000 + "b"])
def test_odd_dots_are_part_of_a_key(key):
    tree: dict[str, Entry] = {}
    place(tree, key, Entry(1, Origin("file")), [])
    # it is then an unknown key, and thousands of dots are no thousands of levels
    assert len(tree) == 1
