"""The commit protocol: what is on disk is whole, or it is not there."""

from wellfit.checkpoint.commit import (
    Committed,
    Contents,
    commit,
    committed,
    load,
    named,
    newest_verified,
    prune,
    sweep,
    verify,
)

__all__ = [
    "Committed",
    "Contents",
    "commit",
    "committed",
    "load",
    "named",
    "newest_verified",
    "prune",
    "sweep",
    "verify",
]
