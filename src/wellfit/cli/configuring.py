"""The recipe's reference: config schema, explain, presets."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from wellfit.cli.printing import as_json, put
from wellfit.cli.training import Json, Overrides

config = typer.Typer(
    help="The recipe: its keys, its presets, and where a value comes from.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@config.command("schema")
def schema() -> None:
    """Print the JSON schema of a recipe, for editors."""
    from wellfit.config import json_schema

    as_json(json_schema())


@config.command("explain")
def explain(
    recipe: Annotated[Path, typer.Argument(help="A recipe, or the directory of a run.")],
    overrides: Overrides = None,
    json: Json = False,
) -> None:
    """Print every value of a recipe and where it comes from; of a run, the automatic ones too."""
    from wellfit.cli.tables import explained_table
    from wellfit.config import explain as explained
    from wellfit.config import load_recipe

    if recipe.is_dir():
        from wellfit.store import read_run

        lines = [dict(line) for line in read_run(recipe).resolved()["explained"]]
    else:
        lines = [line._asdict() for line in explained(load_recipe(recipe, overrides or []))]
    put(lines, explained_table, json=json)


@config.command("presets")
def presets(
    name: Annotated[str | None, typer.Argument(help="A preset, to print it whole.")] = None,
    json: Json = False,
) -> None:
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
