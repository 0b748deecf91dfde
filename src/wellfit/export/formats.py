"""The formats that a run can be exported to."""

from __future__ import annotations

from pathlib import Path

from wellfit.errors import ConfigError, RunError
from wellfit.export.hf import ExportReport, export_model
from wellfit.export.peft import export_adapter
from wellfit.store import RunDir

FORMATS = ("hf", "peft")


def export_run(run_dir: Path, to: str, out: Path) -> ExportReport:
    """Write the run's chosen model to ``out`` for another tool, and check what was written.

    The checks come before the directory gets its name, so what lies at ``out`` has passed them.

    Raises ``RunError`` when there is no model to export or ``out`` is not empty, ``ConfigError``
    for a format that is not offered, ``WellfitError`` when a check fails.
    """
    if to not in FORMATS:
        raise ConfigError([f"cannot export to {to!r}; write --to {' or --to '.join(FORMATS)}"])
    run = RunDir.open(run_dir)
    if not (run.model / "config.json").is_file():
        raise RunError(
            f"{run_dir} has no model yet: a run writes it when it finishes. "
            f"Continue it with: wellfit resume {run_dir}"
        )
    return export_adapter(run, out) if to == "peft" else export_model(run, out)
