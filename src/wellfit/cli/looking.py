"""Commands that look at runs and models: eval, sample, report, runs."""

from __future__ import annotations

import sys
import webbrowser
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from wellfit.cli.printing import as_json, put, say, show_card
from wellfit.cli.training import Json
from wellfit.errors import ConfigError

Run = Annotated[Path, typer.Argument(help="The directory of a run.")]
Target = Annotated[
    Path, typer.Argument(metavar="RUN|MODEL_DIR", help="A run, or a model in published layout.")
]

runs = typer.Typer(help="The record of what was run.", no_args_is_help=True, rich_markup_mode=None)


def evaluate(
    target: Target,
    split: Annotated[
        Literal["train", "val", "test"],
        typer.Option("--split", help="Which split of the run's data."),
    ] = "val",
    data: Annotated[
        Path | None, typer.Option("--data", help="Score this text instead of a split of the run.")
    ] = None,
    benchmark: Annotated[
        Literal["lambada", "blimp", "multiple-choice"] | None,
        typer.Option("--benchmark", help="What --data holds: questions to be answered."),
    ] = None,
    stride: Annotated[
        int | None,
        typer.Option("--stride", min=1, help="Move the context on by so many tokens at a time."),
    ] = None,
    json: Json = False,
) -> None:
    """Measure a model: its loss on text, or its answers to a benchmark, with 95% intervals."""
    from wellfit.cli.tables import evaluation_table
    from wellfit.train.score import score_benchmark, score_run, score_text

    if benchmark is not None:
        if data is None or stride is not None:
            raise ConfigError(["--benchmark goes with --data FILE of questions, and no --stride"])
        scored = score_benchmark(target, data, benchmark)
        _say_what_was_cut(scored)
    elif data is not None:
        scored = score_text(target, data, stride=stride)
    else:
        scored = score_run(target, split, stride=stride)
    put(scored, evaluation_table, json=json)


def _say_what_was_cut(scored: Mapping[str, Any]) -> None:
    n, cut, partial = (scored[key] for key in ("n", "n_cut", "n_partial"))
    if cut:
        said = f"of {n:,} questions {cut:,} were cut in front"
        also = f", of {partial:,} even the part that is scored" if partial else ""
        say(f"{said}{also}: the model looks back {scored['context']:,} tokens and no further")


def sample(
    target: Target,
    prompt: Annotated[str, typer.Argument(help="What the text begins with.")] = "",
    tokens: Annotated[int, typer.Option("--tokens", min=1, help="How many tokens to write.")] = 200,
    temperature: Annotated[
        float, typer.Option("--temperature", min=0.0, help="0 always takes the likeliest token.")
    ] = 0.8,
    top_k: Annotated[
        int | None, typer.Option("--top-k", min=1, help="Draw from the k likeliest tokens only.")
    ] = None,
    top_p: Annotated[
        float | None,
        typer.Option("--top-p", min=0.0, max=1.0, help="Draw from the likeliest share p only."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed, the same text.")] = 1,
    json: Json = False,
) -> None:
    """Let a model write, answer, or label a text."""
    from wellfit.train.speak import Sampling, stream_text

    pieces = []
    how = Sampling(tokens, temperature, top_k, top_p, seed)
    for piece in stream_text(target, prompt, how):
        pieces.append(piece)
        if not json:
            sys.stdout.write(piece)
            sys.stdout.flush()
    if json:
        as_json({"model": str(target), "prompt": prompt, "text": "".join(pieces), **how._asdict()})
    else:
        sys.stdout.write("\n")


def report(
    run: Run, open_: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False
) -> None:
    """Write the run's report.html: one file, no network."""
    from wellfit.report.page import page
    from wellfit.store import read_run, write_text_atomic

    view = read_run(run)
    file = view.run.report
    write_text_atomic(file, page(view))
    sys.stdout.write(f"{file}\n")
    if open_ and not webbrowser.open(file.as_uri()):
        say("no browser could be opened here; open the file above yourself")


@runs.command("ls")
def runs_ls(
    root: Annotated[Path, typer.Argument(help="The folder that holds the runs.")] = Path("runs"),
    json: Json = False,
) -> None:
    """List the runs in a folder."""
    from wellfit.cli.tables import runs_table
    from wellfit.store import list_runs

    put(list_runs(root), lambda found: runs_table(found, root), json=json)


@runs.command("show")
def runs_show(run: Run, json: Json = False) -> None:
    """Show how a run went, or is going."""
    from wellfit.store import read_run

    view = read_run(run)
    if json:
        as_json(view.summary())
    else:
        show_card(view)


@runs.command("diff")
def runs_diff(
    first: Annotated[Path, typer.Argument(help="The directory of a run.")],
    second: Annotated[Path, typer.Argument(help="The directory of another run.")],
    json: Json = False,
) -> None:
    """Show what differs between the recipes and results of two runs."""
    from wellfit.cli.tables import diff_table
    from wellfit.store import diff_runs, read_run

    put(diff_runs(read_run(first), read_run(second)), diff_table, json=json)
