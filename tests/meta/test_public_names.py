"""What a package offers is what its ``__all__`` says."""

from __future__ import annotations

import ast

import pytest

from tests.meta.source_tree import SRC, here, parsed, source_files

PACKAGES = [path for path in source_files() if path.name == "__init__.py" and path.parent != SRC]


def _declared(tree: ast.Module) -> list[str] | None:
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return None


def _public(tree: ast.Module) -> set[str]:
    """Names bound at the top of a file, by import or definition, that have no leading _."""
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            if getattr(node, "module", "") != "__future__":
                names |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {
                name.id for t in targets for name in ast.walk(t) if isinstance(name, ast.Name)
            }
    return {name for name in names if not name.startswith("_")}


@pytest.mark.parametrize("path", PACKAGES, ids=here)
def test_all_names_what_the_package_offers(path):
    tree = parsed(path)
    declared = _declared(tree) or []
    # a name is offered on purpose or not at all
    assert set(declared) == _public(tree)


@pytest.mark.parametrize("path", source_files(), ids=here)
def test_every_module_says_what_it_is(path):
    doc = ast.get_docstring(parsed(path)) or ""
    # the first line tells a newcomer whether this is the file to read
    assert doc.strip() or not parsed(path).body, f"{here(path)} has no docstring"


@pytest.mark.parametrize("path", source_files(), ids=here)
def test_no_private_name_is_imported_from_another_file(path):
    found = [
        f"{here(path)}:{node.lineno}: {alias.name}"
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("wellfit")
        for alias in node.names
        if alias.name.startswith("_") and not alias.name.startswith("__")
    ]
    # a leading underscore means: change me freely, nobody else looks
    assert not found, "\n".join(found)
