"""Conversations to text, by a template that runs in a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Timer
from typing import Any, Literal, NamedTuple, TypeAlias

from wellfit.errors import DataError
from wellfit.units import format_bytes

CPU_S = 10
WALL_S = 60
MEMORY_BYTES = 1 << 30

Turns: TypeAlias = tuple[Sequence[Mapping[str, Any]], Sequence[Any] | None]
"""The messages of a conversation, and the tools that it may use."""


class Rendered(NamedTuple):
    """The text of a conversation, and the characters [begin, end) of it that are learned."""

    text: str
    spans: tuple[tuple[int, int], ...]


class Renderer:
    """A template at work; its process starts with the first conversation.

    A published template is a program that came with somebody's weights.  It runs in Jinja's
    sandbox, in a process that may use 1 GiB of memory, 10 s of processor time and 60 s of any
    time for a batch, and can write no file.
    """

    def __init__(self, template: str, special: Mapping[str, str]) -> None:
        self._setting = {"template": template, "special": dict(special)}
        self._process: subprocess.Popen[bytes] | None = None

    def render(
        self,
        conversations: Sequence[Turns],
        where: str,
        *,
        learn: Literal["assistant", "last", "all"] | None = "assistant",
    ) -> list[Rendered | str]:
        """The text of each, or what the template says against it.

        With ``learn=None`` it goes up to where the assistant speaks next.  ``where`` is named in
        the ``DataError`` for a template that is not sound, or takes too long or too much.
        """
        if not conversations:
            return []
        if self._process is None:
            self._start(where)
        found = self._ask({"conversations": conversations, "learn": learn}, where)
        return [
            one if isinstance(one, str) else Rendered(one[0], tuple((a, b) for a, b in one[1]))
            for one in found
        ]

    def _start(self, where: str) -> None:
        limits = [str(CPU_S), str(MEMORY_BYTES)]
        child = [sys.executable, "-P", str(Path(__file__).with_name("sandbox.py")), *limits]
        self._process = subprocess.Popen(
            child, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        if (said := self._ask(self._setting, where)) is not None:
            raise DataError(f"the chat template is not sound Jinja ({said}). See task.template")

    def _ask(self, request: Mapping[str, Any], where: str) -> Any:
        process = self._process
        assert process is not None and process.stdin is not None and process.stdout is not None
        said, end = b"", Timer(WALL_S, process.kill)
        end.start()
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            said = process.stdout.readline()
        except BrokenPipeError:  # it has ended
            pass
        finally:
            end.cancel()
        if said.endswith(b"\n"):
            return json.loads(said)
        limits = {-signal.SIGKILL: f"{WALL_S} s", -signal.SIGXCPU: f"{CPU_S} s of processor time"}
        limit = limits.get(process.wait(), format_bytes(MEMORY_BYTES))
        self.close()
        raise DataError(
            f"the chat template took more than {limit} on the conversations from {where} on. "
            "Another template: task.template=chatml, or the path of a Jinja file"
        )

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None
