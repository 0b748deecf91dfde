"""The ``wellfit`` command.

Nothing here, nor at the top of any module beside it, imports torch: help has to appear at once.
"""

from __future__ import annotations

import os
import sys
import traceback

import typer

from wellfit import __version__
from wellfit.cli import configuring, looking, making, training
from wellfit.errors import ConfigError, WellfitError

app = typer.Typer(
    name="wellfit",
    help="Train, watch, explain and test language models from one recipe file.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
# In the order in which a newcomer needs them.
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


def main() -> None:
    """Run the command line; every way out has the exit code that DESIGN section 6 gives it."""
    # How long idle threads spin before they sleep, in loop turns.  OpenMP's own default is
    # milliseconds, and takes a core from whoever else needs it (LOG.md, 2026-11-21).  Read
    # when torch is loaded, which is later than this.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write(f"wellfit {__version__}\n")
        sys.exit(0)
    try:
        code = app(prog_name="wellfit", standalone_mode=False)
    except typer.Abort:
        code = 130
    except typer.TyperException as e:
        e.show()  # type: ignore[attr-defined]  # all that a command line can cause have it
        code = 2
    except WellfitError as e:
        for problem in e.problems if isinstance(e, ConfigError) else [e]:
            sys.stderr.write(f"error: {problem}\n")
        code = e.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        code = 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception:
        traceback.print_exc()
        sys.stderr.write("\nThis is a bug in wellfit. Please report it with the lines above.\n")
        code = 70
    if "RANK" in os.environ:
        # All is written by now.  Threads that torch.distributed leaves behind have been seen to
        # abort an interpreter that took the time to tear itself down.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code or 0)
    sys.exit(code or 0)
