"""The recipe's reference, docs/recipe.md, made from the models: ``python -m tests.recipe_page``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic.fields import FieldInfo

from wellfit.config import Recipe, presets
from wellfit.config.aliases import other_names
from wellfit.config.reading import Path as Keys
from wellfit.config.structure import (
    default_section,
    dotted,
    kind_of,
    source_of,
    variants,
    wanted,
)
from wellfit.config.writing import written

PAGE = Path(__file__).resolve().parents[1] / "docs" / "recipe.md"
_INTRO = """\
# The recipe

*Made from the models in `src/wellfit/config/` by `python -m tests.recipe_page`; a test keeps it
current. Edit the docstrings there, not this page.*

A recipe is one YAML file. Two keys have no default, `data.path` and `train.budget`:

```yaml
data: {path: corpus/**/*.txt}
train: {budget: 10 minutes}
```

**Layers.** Defaults, then the preset, then the file, then the command line: the later wins, key by
key. `wellfit config explain RECIPE` shows every value and where it came from.

**Command line.** For example:

```sh
wellfit train recipe.yaml optim.lr=3e-4 stop=null 'data.split={kind: tail, val: 10%}'
```

A value that begins with a bracket or a quote is read as YAML; any other is one value to its end,
so patterns need no second pair of quotes. A section given whole replaces the one in the file, all
but its `kind`. Where a key is given twice, the last one counts.

**Dotted keys** mean the same in a file: `train.seed: 2` is `train: {seed: 2}`.

**Kinds.** Sections that offer a choice are told apart by `kind`. Where it is left out, it is the
kind of the layer below. Where it changes, keys of the layer below that the new kind lacks are left
out, and a notice names them.

**Values.** `null` is off. `auto` is decided before the run, from the data and the machine, and
recorded with its reason. A *share* is `5%` or `0.05`. A *duration* is `2k steps`, `1B tokens`,
`3 epochs`, `30 seconds`, `10 minutes`, `2 hours` or `1 day`. A *size* is `64 MB` or `64 MiB`.
YAML is version 1.2: `yes`, `on` and `1:30` are text. Anchors, aliases and tags are refused.
"""

_PRESETS = """\
## Presets

`preset: NAME`; `wellfit config presets NAME` prints one.

| name | for |
| --- | --- |"""

_OTHER_NAMES = """\
## What other trainers call it

None of these is accepted. The error names the key to write, with the value in its form.

| here | elsewhere |
| --- | --- |"""


def reference_page() -> str:
    """The reference as Markdown."""
    parts = [_INTRO, *_sections(), _presets(), _other_names()]
    return "\n".join(part.rstrip() + "\n" for part in parts)


def _sections() -> Iterator[str]:
    for name, field in Recipe.model_fields.items():
        if variants(field.annotation):
            yield from _section(field, (name,))
        else:
            yield f"## `{name}`\n\n{_paragraph(field.description)}\n\n{_table([(name, field)])}"


def _section(field: FieldInfo, path: Keys) -> Iterator[str]:
    """A heading for the key, and a table for each kind it can be."""
    found, key = variants(field.annotation), dotted(path)
    yield f"{'#' * (len(path) + 1)} `{key}`\n\n{_paragraph(field.description)}"
    for variant in found:
        kind = kind_of(variant)
        if kind is not None:
            is_default = len(found) > 1 and variant is default_section(field)
            default = " (the default)" if is_default else ""
            yield f"**`{key}.kind: {kind}`**{default}. {_paragraph(variant.__doc__)}"
        rows = [
            (dotted((*path, name)), inner)
            for name, inner in variant.model_fields.items()
            if name != "kind" and not variants(inner.annotation)
        ]
        if rows:
            yield _table(rows)
        for name, inner in variant.model_fields.items():
            if variants(inner.annotation):
                yield from _section(inner, (*path, name))


def _table(rows: list[tuple[str, FieldInfo]]) -> str:
    lines = ["| key | wants | default | |", "| --- | --- | --- | --- |"]
    for key, field in rows:
        default = "**required**" if field.is_required() else f"`{written(field.default, field)}`"
        source = source_of(field)
        about = _paragraph(field.description) + (f" ({source})" if source else "")
        cells = [f"`{key}`", wanted(field).what, default, about]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def _paragraph(text: str | None) -> str:
    """A docstring on one line, less its labelled lines."""
    parts = [p for p in (text or "").split("\n\n") if not p.strip().startswith("Source ")]
    return " ".join(" ".join(parts).split())


def _presets() -> str:
    rows = "\n".join(f"| `{preset.name}` | {preset.about} |" for preset in presets().values())
    return f"{_PRESETS}\n{rows}"


def _other_names() -> str:
    by_key: dict[str, list[str]] = {}
    for name, alias in other_names().keys.items():
        by_key.setdefault(alias.key, []).append(f"`{name}`")
    rows = [f"| `{key}` | {', '.join(names)} |" for key, names in sorted(by_key.items())]
    return "\n".join([_OTHER_NAMES, *rows])


if __name__ == "__main__":
    PAGE.write_text(reference_page(), encoding="utf-8")
