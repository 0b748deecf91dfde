"""Records of several columns: patterns, texts made of columns, files that go together."""

from __future__ import annotations

import pytest

from tests.corpora import read, write, write_jsonl
from wellfit import config
from wellfit.config import recipe_from_dict
from wellfit.data import find_sources
from wellfit.data.formats import pieces_of
from wellfit.errors import ConfigError, DataError

PATTERN = r"(?P<label>[A-Z]+):(?P<fine>\S+) (?P<text>.*)"


def raised(path, **fields):
    with pytest.raises(DataError) as caught:
        read(path, **fields)
    return str(caught.value)


def side_by_side(paths, **fields):
    data = config.Data(path={k: str(p) for k, p in paths.items()}, **fields)
    pieces = pieces_of(find_sources(data).files[0], data, lambda _: None)
    return [f"BAD {piece.bad.kind}" if piece.bad else piece.text for piece in pieces]


def test_a_pattern_takes_lines_apart(tmp_path):
    path = write(tmp_path / "a.txt", "LOC:city Where is it ?\r\n\nNUM:dist How far : 3\n")
    # blank lines are passed over, as between JSON lines
    assert read(path, pattern=PATTERN) == ["Where is it ?", "How far : 3"]
    assert read(path, pattern=PATTERN, text="fine") == ["city", "dist"]


def test_a_line_that_does_not_match_is_bad(tmp_path):
    path = write(tmp_path / "a.txt", "LOC:city one\nloc:city two\n")
    assert "a.txt:2: data.pattern does not match the line 'loc:city two'" in raised(
        path, pattern=PATTERN
    )
    assert read(path, pattern=PATTERN, on_bad="skip") == ["one", "BAD no match"]


def test_a_pattern_must_have_the_columns_that_are_asked_for(tmp_path):
    path = write(tmp_path / "a.txt", "x y\n")
    # the recipe's fault, so it cannot be skipped
    said = raised(path, pattern=r"(?P<label>\S) (?P<body>.*)", on_bad="skip")
    assert (
        "no column 'text'; the columns are 'label', 'body'. Name one of them with data.text" in said
    )


def test_a_text_is_made_of_columns(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", {"a": "one", "b": 2, "c": None}, {"a": "x", "b": True})
    # numbers as JSON writes them; braces are doubled
    assert read(path, text="{{{a}}}\n{b}") == ["{one}\n2", "{x}\ntrue"]
    assert "a.jsonl:1: there is nothing where the text of 'c' should be" in raised(
        path, text="{a} {c}"
    )
    assert read(path, text="{a} {c}", on_bad="skip") == ["BAD no text", "BAD no key 'c'"]


def test_a_number_alone_is_still_no_text(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", {"text": 3})
    # a column of numbers is mostly the wrong column
    assert "there is int '3' where the text of 'text' should be" in raised(path)


def test_columns_of_tables_make_texts_too(tmp_path):
    path = write(tmp_path / "a.csv", 'x,y\n1,"a, b"\n2,c\n')
    assert read(path, text="{y} ({x})") == ["a, b (1)", "c (2)"]
    # also by number, in a table without names
    bare = write(tmp_path / "b.tsv", "one\ttwo\nthree\tfour\n")
    assert read(bare, text="{2}-{1}") == ["two-one", "four-three"]


def test_lines_of_files_that_go_together_are_one_record(tmp_path):
    paths = {
        "en": write(tmp_path / "a.en.gz", "one\n\u00e9 two \n"),
        "de": write(tmp_path / "a.de", "eins\r\nzwei"),
    }
    # packed or not, with or without a last newline
    assert side_by_side(paths, text="{en}={de}") == ["one=eins", "\u00e9 two =zwei"]
    assert side_by_side(paths, text="de") == ["eins", "zwei"]


def test_files_of_different_lengths_do_not_go_together(tmp_path):
    paths = {
        "en": write(tmp_path / "a.en", "one\ntwo\n"),
        "de": write(tmp_path / "a.de", "eins\nzwei\n\ndrei\n"),
    }
    with pytest.raises(DataError, match=r"differ in lines: \S+a.en 2, \S+a.de 4$"):
        side_by_side(paths, text="{en}={de}", on_bad="skip")


def test_a_bad_line_spoils_the_record_on_both_sides(tmp_path):
    paths = {
        "en": write(tmp_path / "a.en", b"one\ntw\xff\nthree\n"),
        "de": write(tmp_path / "a.de", "eins\nzwei\ndrei\n"),
    }
    with pytest.raises(DataError, match=r"a.en:2: byte 0xff at offset 6"):
        side_by_side(paths, text="{en}={de}")
    found = side_by_side(paths, text="{en}={de}", on_bad="skip")
    assert found == ["one=eins", "BAD not utf-8", "three=drei"]


def test_a_column_that_no_file_is_for_is_an_error(tmp_path):
    paths = {"en": write(tmp_path / "a.en", "x\n"), "de": write(tmp_path / "a.de", "x\n")}
    with pytest.raises(DataError, match=r"no column 'fr'; the columns are 'en', 'de'"):
        side_by_side(paths, text="{en} {fr}")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"text": "{a"}, "data.text: '{a' is no text with columns (expected '}'"),
        ({"text": "{} b"}, "data.text: '{} b' has braces that hold no column's name"),
        ({"text": "{a!r}"}, "has braces that hold no column's name; write {column}"),
        ({"pattern": "("}, "data.pattern: '(' is not a regular expression"),
        ({"pattern": "(.*)"}, "data.pattern: '(.*)' has no named parts; write for example (?P<"),
        ({"pattern": "(?P<text>.*)", "format": "csv"}, "it is for lines of text"),
        ({"pattern": "(?P<text>.*)", "document": "paragraph"}, "takes lines apart, which data.doc"),
        ({"pattern": "(?P<text>.*)", "path": {"a": "x"}}, "takes lines apart, which a mapping"),
        ({"path": {"a": "x"}, "format": "parquet"}, "it is for lines of text, and data.format"),
        (
            {"path": {"a": "x", "b": "y"}, "split": {"kind": "files", "val": "z"}},
            "data.path is a mapping of a, b; write the same here",
        ),
        ({"split": {"kind": "files", "val": {"a": "z"}}}, "data.path is no mapping; write"),
        ({"path": {}}, "data.path: is one value with no keys inside it"),
    ],
)
def test_what_does_not_go_together_is_told_before_any_work(values, says):
    with pytest.raises(ConfigError) as caught:
        recipe_from_dict({"data": {"path": "x", **values}, "train": {"budget": "1 step"}})
    assert says in str(caught.value)


def test_a_mapping_of_files_reads_back_as_it_was_written():
    from wellfit.config import dump_commented, load_text, recipe_from_dict, to_dict

    split = {"kind": "files", "val": {"en": "v.en", "de": ["v.de"]}}
    recipe = recipe_from_dict(
        {
            "data": {"path": {"en": "a*.en", "de": ["b.de", "c: d.de"]}, "split": split},
            "train": {"budget": "1 step"},
        }
    )
    # as YAML, as a mapping, and over the command line
    assert load_text(dump_commented(recipe)).recipe == recipe
    assert recipe_from_dict(to_dict(recipe)) == recipe
    text = "data: {path: {en: x}}\ntrain: {budget: 1 step}\n"
    loaded = load_text(text, overrides=["data.path={en: y, de: z}"])
    assert loaded.recipe.data.path == {"en": "y", "de": "z"}
