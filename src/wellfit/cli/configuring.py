"""The recipe's reference: config schema, explain, presets."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from wellfit.cli.printing import as_json
from wellfit.cli.training import Json, Overrides

config = typer.Typer(
    help="The recipe: its keys, its presets, and where a value comes from.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@config.command("schema")
def schema() -> int:
    """Print the JSON schema of a recipe, for editors."""
    from wellfit.config import json_schema

    as_json(json_schema())
    return 0


@config.command("explain")
def explain(
    recipe: Annotated[Path, typer.Argument(help="A recipe, or the directory of a run.")],
    overrides: Overrides = None,
    json: Json = False,
) -> int:
    """Print every value of a recipe and where it comes from; of a run, the automatic ones too."""
    from rich.console import Console
    from rich.table import Table

    from wellfit.config import explain as explained
    from wellfit.config import load_recipe

    if recipe.is_dir():
        from wellfit.store import read_run

        lines = [dict(line) for line in read_run(recipe).resolved()["explained"]]
    else:
        lines = [line._asdict() for line in explained(load_recipe(recipe, overrides or []))]
    if json:
        as_json(lines)
        return 0
    table = Table(box=None, pad_edge=False)
    table.add_column("key", no_wrap=True)
    for name in ("value", "from", "why"):
        table.add_column(name, overflow="fold")
    for line in lines:
        why = f"{line['reason']} [{line['source']}]" if line["source"] else line["reason"]
        table.add_row(line["key"], str(line["value"]), str(line["origin"]), why)
    Console(markup=False).print(table)
    return 0


@config.command("presets")
def presets(
    name: Annotated[str | None, typer.Argument(help="A preset, to print it whole.")] = None,
    json: Json = False,
) -> int:
    """List the presets, or print one as a recipe."""
    from wellfit.config import preset_text
    from wellfit.config import presets as all_presets
    from wellfit.errors import ConfigError

    known = all_presets()
    if name is not None and name not in known:
        raise ConfigError([f"there is no preset {name!r}; there are {', '.join(known)}"])
    if json:
        chosen = [known[name]] if name is not None else list(known.values())
        as_json([preset._asdict() for preset in chosen])
    elif name is not None:
        sys.stdout.write(preset_text(known[name]))
    else:
        for preset in known.values():
            sys.stdout.write(f"{preset.name:18} {preset.about}\n")
    return 0
