"""The project's own files, as the tests in this folder read them."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src" / "wellfit"


def source_files(*folders: str) -> list[Path]:
    """Every Python file of the package, or of the named folders of the checkout."""
    roots = [ROOT / folder for folder in folders] or [SRC]
    return sorted(path for root in roots for path in root.rglob("*.py"))


def text_files() -> list[Path]:
    """Every file a person wrote: code, pages, recipes, templates, build files."""
    kinds = {".py", ".md", ".toml", ".txt", ".yaml", ".yml", ".html", ".css", ".js", ".j2", ".svg"}
    folders = [ROOT / name for name in ("src", "tests", "docs", "examples", "bench", "tools")]
    inside = [path for folder in folders for path in folder.rglob("*") if path.suffix in kinds]
    top = [path for path in ROOT.iterdir() if path.suffix in kinds]
    named = [ROOT / "Makefile", ROOT / ".gitignore", ROOT / ".ci" / "run"]
    return sorted({*inside, *top, *(path for path in named if path.exists())})


def pages() -> list[Path]:
    """Every Markdown page."""
    return [path for path in text_files() if path.suffix == ".md"]


def here(path: Path) -> str:
    """The path as seen from the checkout, with forward slashes."""
    return path.relative_to(ROOT).as_posix()


def module_name(path: Path) -> str:
    """``src/wellfit/data/split.py`` is ``wellfit.data.split``."""
    parts = path.relative_to(SRC.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def package_of(path: Path) -> str:
    """The package, or single-file module, that a file of ours belongs to; "" for the top."""
    first = path.relative_to(SRC).parts[0].removesuffix(".py")
    return "" if first in ("__init__", "__main__") else first


@functools.cache
def parsed(path: Path) -> ast.Module:
    """The file's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def exists(package: str) -> bool:
    """Whether a package has been built yet; rules about it wait until then."""
    return (SRC / package / "__init__.py").exists() or (SRC / f"{package}.py").exists()


def at_import(node: ast.AST) -> Iterator[ast.AST]:
    """Nodes that run when the module is imported, branches and class bodies included.

    Bodies of functions wait until they are called, and ``if TYPE_CHECKING`` is never true.
    """
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            continue
        yield child
        yield from at_import(child)


def imported(node: ast.AST) -> list[str]:
    """The modules that an import statement may load, as dotted names; [] for any other node."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module:
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []
