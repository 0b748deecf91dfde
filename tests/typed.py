"""Commands as a person types them."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from typing import Any, NamedTuple

from wellfit.cli.main import main


class Answer(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def typed(*words: object) -> Answer:
    """Type a command; it runs in this process, which has torch loaded already."""
    out, err, before = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["wellfit", *map(str, words)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as left:
        return Answer(int(left.code or 0), out.getvalue(), err.getvalue())
    finally:
        sys.argv = before
    raise AssertionError("a command ends in an exit code")
