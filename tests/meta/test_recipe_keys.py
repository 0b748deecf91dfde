"""Every key a recipe may hold is frozen data, explains itself, and is read by somebody."""

from __future__ import annotations

import ast
import typing
from collections.abc import Iterator

import pytest

from tests.meta.source_tree import SRC, exists, here, imported, parsed, source_files

pydantic = pytest.importorskip("pydantic")
pytestmark = pytest.mark.skipif(
    not (SRC / "config" / "recipe.py").exists(), reason="waits for wellfit.config"
)


def _sections(kind: object, at: str = "") -> Iterator[tuple[str, type]]:
    """Every model in the tree of a recipe, with the dotted key it stands at."""
    if isinstance(kind, type) and issubclass(kind, pydantic.BaseModel):
        yield at, kind
        for name, field in kind.model_fields.items():
            yield from _sections(field.annotation, f"{at}.{name}".strip("."))
    for part in typing.get_args(getattr(kind, "__value__", kind)):
        yield from _sections(part, at)


def _recipe_sections() -> list[tuple[str, type]]:
    from wellfit.config import Recipe

    return list(_sections(Recipe))


def _keys() -> dict[str, str]:
    """Dotted key -> the name of its field, for every key that holds a value."""
    return {
        f"{at}.{name}".strip("."): name
        for at, section in _recipe_sections()
        for name, field in section.model_fields.items()
        if not list(_sections(field.annotation))
    }


def _names_read(tree: ast.AST) -> set[str]:
    """Attributes read, also by a pattern such as ``case Hash(val=val)``."""
    read = {
        n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and type(n.ctx) is ast.Load
    }
    return read | {a for n in ast.walk(tree) if isinstance(n, ast.MatchClass) for a in n.kwd_attrs}


def _knows_the_recipe(tree: ast.Module) -> bool:
    names = {name for node in ast.walk(tree) for name in imported(node)}
    return "recipe" in _names_read(tree) or any(n.startswith("wellfit.config") for n in names)


def _readers() -> list[ast.Module]:
    """Files outside config that handle a recipe: elsewhere ``x.keep`` is another keep."""
    outside = [p for p in source_files() if "config" not in p.relative_to(SRC).parts]
    return [parsed(path) for path in outside if _knows_the_recipe(parsed(path))]


def test_the_whole_recipe_is_seen():
    keys = _keys()
    # guards the walk itself: one key of each depth and kind of section
    assert {"data.path", "train.budget", "optim.lr", "data.split.val", "preset"} <= set(keys)


def test_every_key_changes_something():
    if not (exists("train") and exists("cli")):
        pytest.skip("waits for wellfit.train and wellfit.cli: they read half of the keys")
    read = set().union(*map(_names_read, _readers()))
    # `kind` chooses the model, which `match` then reads by its class; config itself reads `preset`
    unread = sorted(k for k, name in _keys().items() if name not in read | {"kind", "preset"})
    # a setting that nothing reads is a lie
    assert not unread, f"accepted, but read nowhere: {unread}"


def test_every_key_explains_itself():
    silent = [
        f"{at}.{name}".strip(".")
        for at, section in _recipe_sections()
        for name, field in section.model_fields.items()
        if not field.description and name != "kind"
    ]
    # help, schema, and the comments of a new recipe all come from the field's docstring
    assert not silent, f"no docstring: {silent}"


def test_every_section_is_frozen_and_closed():
    loose = [
        section.__name__
        for _, section in _recipe_sections()
        if section.model_config.get("extra") != "forbid" or not section.model_config.get("frozen")
    ]
    # a recipe is a value: no unknown keys, no change after it was read
    assert not loose, f"not frozen, or not closed: {loose}"


def test_no_sentinels_for_off():
    odd = [
        f"{at}.{name}"
        for at, section in _recipe_sections()
        for name, field in section.model_fields.items()
        if field.default in (-1, "none", "None", "off")
    ]
    # null is off; nothing else is
    assert not odd, f"use null: {odd}"


@pytest.mark.parametrize("path", source_files("src/wellfit/config"), ids=here)
def test_config_builds_nothing(path):
    reached = {
        name.split(".")[1]
        for node in ast.walk(parsed(path))
        for name in imported(node)
        if name.startswith("wellfit.")
    }
    # data in one place; the `match` that builds from it stands beside what is built
    assert reached <= {"config", "errors", "units", "__version__"}


@pytest.mark.parametrize(
    ("source", "read"),
    [
        ("x = cfg.keep", {"keep"}),
        ("cfg.keep = 1", set()),
        ("match s:\n    case Tail(val=v): pass", {"val"}),
        ("keep = 3", set()),
    ],
)
def test_the_search_for_readers_bites(source, read):
    # assigning to a name is not reading a key
    assert _names_read(ast.parse(source)) == read
