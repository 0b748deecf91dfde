"""Commands around a run: init, check, export, doctor."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from wellfit.cli.printing import as_json, put, say
from wellfit.cli.training import Json, Overrides, show_notices


def init(
    file: Annotated[Path, typer.Argument(help="The recipe to write.")],
    data: Annotated[str, typer.Option("--data", help="The text: a file, a folder or a pattern.")],
    task: Annotated[
        Literal["language-model", "complete", "chat", "classify", "regress"],
        typer.Option("--task", help="What to train for."),
    ] = "language-model",
    text: Annotated[
        str, typer.Option("--text", help="The column or key that holds the text, in tables.")
    ] = "text",
    encoding: Annotated[
        str, typer.Option("--encoding", help="The encoding of the files.")
    ] = "utf-8",
    force: Annotated[bool, typer.Option("--force", help="Replace a recipe that is there.")] = False,
) -> None:
    """Look at the data and the machine, and write a commented recipe."""
    from wellfit.errors import ConfigError, DataError

    if file.exists() and not force:
        raise ConfigError([f"{file} exists already; choose another name, or add --force"])
    from wellfit.config import draft
    from wellfit.plan.columns import FILL_IN
    from wellfit.plan.survey import survey, survey_examples
    from wellfit.store import write_text_atomic

    try:
        if task == "language-model":
            facts = survey(data, text=text, encoding=encoding)
        else:
            facts = survey_examples(data, task, text=text, encoding=encoding)
    except DataError as e:  # speaks of recipe keys, and there is no recipe yet
        said = str(e).replace("data.encoding=", "--encoding ").replace("data.text=", "--text ")
        raise DataError(said) from e
    write_text_atomic(file, draft(facts.data, facts.machine, task, name=str(file)))
    say(f"wrote {file}: {facts.said}")
    guesses = facts.data.get("guesses", {})
    for key, (value, why) in guesses.items():
        if why:
            say(f"  {key}={value!r}: {why}")
    if open_ := [key for key, (value, _) in guesses.items() if value == FILL_IN]:
        say(f"to fill in, in {file}: {', '.join(open_)}")
    say(f"next: wellfit check {file}   then: wellfit train {file}")


def check(
    recipe: Annotated[Path, typer.Argument(help="The recipe, a YAML file.")],
    overrides: Overrides = None,
    json: Json = False,
) -> None:
    """Validate a recipe, audit its data, take one real step, and say what the run would cost."""
    from wellfit.cli.checking import check_table
    from wellfit.cli.screens import open_screen
    from wellfit.config import load_recipe
    from wellfit.errors import ConfigError, WellfitError

    try:
        loaded = load_recipe(recipe, overrides or [])
        from wellfit.train.trial import trial

        screen = open_screen()
        show_notices(loaded)
        found = trial(loaded, screen)
        screen.close()
    except WellfitError as e:
        if json:
            as_json({"problems": e.problems if isinstance(e, ConfigError) else [str(e)]})
        raise
    put(found, check_table, json=json)


def export(
    run: Annotated[Path, typer.Argument(help="The directory of a run.")],
    out: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write the model.")],
    to: Annotated[Literal["hf", "peft"], typer.Option("--to", help="The published format.")] = "hf",
) -> None:
    """Write the run's model in a published format, and check that it is the same model.

    hf is the whole model as transformers loads it; peft is what a LoRA run trained, alone.
    """
    from wellfit.export import export_run

    done = export_run(run, to, out)
    sys.stdout.write(f"{out}\n")
    for line in done.checked:
        say(f"checked: {line}")


def doctor(json: Json = False) -> None:
    """Say what this machine can do, what is missing, and what to install."""
    from wellfit.cli.tables import doctor_table
    from wellfit.plan.health import look_over

    put(look_over(), doctor_table, json=json)
