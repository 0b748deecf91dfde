"""How a run is shown while it goes: one live panel in a terminal, one line a while elsewhere."""

from __future__ import annotations

import os
import sys
import time

from rich.console import Console
from rich.live import Live
from rich.text import Text

from wellfit.report import LiveState, Screen, line, line_header, panel
from wellfit.units import format_count

_FRAME_S = 0.25
_LINE_S = 10.0
_FIRST_LINE_S = 2.0  # what is over by then needs no line


def open_screen() -> Screen:
    """A live panel where stderr is a terminal that can redraw, else lines."""
    console = Console(stderr=True)
    if console.is_terminal and not console.is_dumb_terminal and not os.environ.get("CI"):
        return LivePanel(console)
    return Lines()


class LivePanel(Screen):
    """One panel that is redrawn in place."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._drawn_at = 0.0

    def preparing(self, what: str, done: float, total: float) -> None:
        """Redraw the progress line, at most four times a second."""
        now = time.monotonic()
        if now - self._drawn_at < _FRAME_S:
            return
        self._drawn_at = now
        self._open().update(Text(_progress(what, done, total), style="dim"), refresh=True)

    def say(self, text: str) -> None:
        """Print a line above the panel."""
        self._console.print(text, style="dim", highlight=False)

    def show(self, state: LiveState, *, now: bool = False) -> None:
        """Redraw the panel, at most four times a second unless ``now``."""
        moment = time.monotonic()
        if not now and moment - self._drawn_at < _FRAME_S:
            return
        self._drawn_at = moment
        self._open().update(panel(state), refresh=True)

    def close(self) -> None:
        """Leave the last panel standing and give the terminal back."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _open(self) -> Live:
        if self._live is None:
            # No refresh thread: it would take turns with training for the interpreter.
            self._live = Live(console=self._console, auto_refresh=False, transient=False)
            self._live.start()
        return self._live


class Lines(Screen):
    """One line every few seconds, for logs and pipes."""

    def __init__(self) -> None:
        self._written_at = time.monotonic() - _LINE_S + _FIRST_LINE_S
        self._header_due = True

    def preparing(self, what: str, done: float, total: float) -> None:
        """A line every few seconds."""
        now = time.monotonic()
        if now - self._written_at >= _LINE_S:
            self._written_at = now
            self.say(_progress(what, done, total))

    def say(self, text: str) -> None:
        """Print a line."""
        sys.stderr.write(text + "\n")
        sys.stderr.flush()

    def show(self, state: LiveState, *, now: bool = False) -> None:
        """A line every few seconds, and at each evaluation."""
        moment = time.monotonic()
        if not now and moment - self._written_at < _LINE_S:
            return
        self._written_at = moment
        if self._header_due:
            self.say(line_header(state.unit))
            self._header_due = False
        self.say(line(state))

    def close(self) -> None:
        """Nothing to give back."""


def _progress(what: str, done: float, total: float) -> str:
    if total:
        return f"{what}: {format_count(done)} of {format_count(total)} ({done / total:.0%})"
    return f"{what}: {format_count(done)}"
