"""Many runs at once: lists of runs, and what sets two runs apart."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wellfit.errors import WellfitError
from wellfit.store.view import RunView, read_run


def list_runs(root: Path) -> list[dict[str, Any]]:
    """The summaries of the runs right under ``root``, oldest first.

    A run that cannot be read is listed with status ``unreadable`` and its ``problem``, so that
    one damaged run does not hide the others.
    """
    found: list[dict[str, Any]] = []
    folders = sorted(Path(root).iterdir()) if Path(root).is_dir() else []
    for folder in folders:
        if not (folder / "run.db").is_file():
            continue
        try:
            found.append(read_run(folder).summary())
        except WellfitError as e:
            found.append(
                {"run": str(folder), "name": folder.name, "status": "unreadable", "problem": str(e)}
            )
    return sorted(found, key=lambda summary: summary.get("began_at") or "")


def diff_runs(a: RunView, b: RunView) -> dict[str, Any]:
    """What sets run ``b`` apart from run ``a``: recipe keys that differ, and numbers with b - a.

    The numbers are only set side by side; whether one run is better takes a paired test.
    """
    ours, theirs = flat_recipe(a.resolved()), flat_recipe(b.resolved())
    keys = sorted(ours.keys() | theirs.keys())
    left, right = _numbers(a.summary()), _numbers(b.summary())
    return {
        "runs": [str(a.run.path), str(b.run.path)],
        "recipe": {
            key: {"a": ours.get(key), "b": theirs.get(key)}
            for key in keys
            if ours.get(key) != theirs.get(key)
        },
        "metrics": {
            key: {"a": left[key], "b": right[key], "delta": right[key] - left[key]}
            for key in left
            if key in right
        },
    }


def flat_recipe(resolved: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe in resolved.yaml as dotted keys; ``recipe`` may be a section or the whole file."""
    return dict(_flat(resolved.get("recipe", resolved), ""))


def _flat(value: object, prefix: str) -> list[tuple[str, Any]]:
    if not isinstance(value, Mapping) or not value:
        return [(prefix, value)] if prefix else []
    return [
        row
        for key, inner in value.items()
        for row in _flat(inner, f"{prefix}.{key}" if prefix else str(key))
    ]


def _numbers(summary: Mapping[str, Any]) -> dict[str, float]:
    kept = (
        "step", "tokens_seen", "epochs", "elapsed_s", "tokens_per_s", "texts_seen",
        "texts_per_s", "parameters",
        "best.val_loss", "final.train_loss", "final.val_loss", "test.loss", "test.bits_per_byte",
    )  # fmt: skip
    flat = dict(_flat(summary, ""))
    return {key: flat[key] for key in kept if isinstance(flat.get(key), int | float)}
