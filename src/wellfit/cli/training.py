"""Commands that train: demo, train, resume."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wellfit.cli.loading import loading
from wellfit.cli.printing import as_json, say, show_card
from wellfit.errors import WellfitError

if TYPE_CHECKING:
    from wellfit.config import Loaded
    from wellfit.train import Outcome

RESUMABLE = 75  # the exit code of a run that a signal stopped (EX_TEMPFAIL)

Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", help="Recipe keys to set, such as optim.lr=3e-4."),
]
Profile = Annotated[bool, typer.Option("--profile", help="Look where a step's time goes.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]


def train(
    recipe: Annotated[Path, typer.Argument(help="The recipe, a YAML file.")],
    overrides: Overrides = None,
    run: Annotated[
        Path | None, typer.Option("--run", help="Directory of the run; default runs/RECIPE.")
    ] = None,
    profile: Profile = False,
    json: Json = False,
) -> int:
    """Train a model as a recipe says, from data to tested, explained model."""
    with loading():
        from wellfit.config import load_recipe

    # The recipe of a run is called recipe.yaml; the next run is named after the run instead.
    name = recipe.parent.name if (recipe.parent / "run.db").is_file() else recipe.stem
    return _train(load_recipe(recipe, overrides or []), run, name, profile=profile, json=json)


def resume(
    run: Annotated[Path, typer.Argument(help="The directory of the run.")],
    profile: Profile = False,
    json: Json = False,
) -> int:
    """Go on with a run exactly where it was stopped or killed."""
    with loading():
        from wellfit.cli.screens import open_screen
        from wellfit.train import resume as go_on

    return _conclude(go_on(run, open_screen(), profile=profile), run, json=json)


def demo(
    out: Annotated[
        Path | None, typer.Option("--out", help="Directory of the run; default runs/demo.")
    ] = None,
    json: Json = False,
) -> int:
    """Train a small model on text that ships with Python, in a minute or two; no download."""
    from wellfit.cli.corpus import python_texts
    from wellfit.config import load_dict

    texts = python_texts()
    say(f"text: {texts.description}")
    loaded = load_dict({"preset": "demo", "data": {"path": list(texts.paths)}})
    return _train(loaded, out, "demo", profile=False, json=json)


def show_notices(loaded: Loaded) -> None:
    """Say which keys a change of kind left out or kept."""
    for notice in loaded.notices:
        say(f"note: {notice}")


def _train(loaded: Loaded, run: Path | None, name: str, *, profile: bool, json: bool) -> int:
    with loading():
        from wellfit.cli.screens import open_screen
        from wellfit.store import RunDir, new_run_path
        from wellfit.train import start

    show_notices(loaded)
    path = run if run is not None else new_run_path(Path("runs"), name)
    try:
        outcome = start(loaded, path, open_screen(), profile=profile)
    except WellfitError:
        if run is None:  # a name of ours, that the next try shall have
            RunDir(path).discard()
        raise
    return _conclude(outcome, path, json=json)


def _conclude(outcome: Outcome, path: Path, *, json: bool) -> int:
    """Show how it ended; the exit code says whether there is anything left to do."""
    from wellfit.store import read_run

    view = read_run(path)
    if json:
        as_json(view.summary())
    if outcome.status == "stopped":
        say(f"stopped at step {outcome.step}, saved. Continue with: wellfit resume {path}")
        return RESUMABLE
    if not json:
        show_card(view)
    return 0
