"""Puts every command on the app."""

from __future__ import annotations

import typer

from wellfit.cli import configuring, looking, making, training


def register(app: typer.Typer) -> None:
    """Give the app its commands, in the order in which a newcomer needs them."""
    app.command("demo")(training.demo)
    app.command("init")(making.init)
    app.command("check")(making.check)
    app.command("train")(training.train)
    app.command("resume")(training.resume)
    app.command("eval")(looking.evaluate)
    app.command("sample")(looking.sample)
    app.command("report")(looking.report)
    app.add_typer(looking.runs, name="runs")
    app.command("export")(making.export)
    app.add_typer(configuring.config, name="config")
    app.command("doctor")(making.doctor)
