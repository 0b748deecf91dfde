"""How a run is shown while it goes: one live panel in a terminal, one line a while elsewhere."""

from __future__ import annotations

import os
import time

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from wellfit.cli import printing
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


class _Pace:
    """Says when it is time to show something again."""

    def __init__(self, every_s: float, *, first_s: float = 0.0) -> None:
        self._every_s = every_s
        self._shown_at = time.monotonic() - every_s + first_s

    def due(self, *, now: bool = False) -> bool:
        """Whether it is; from then on the next wait counts."""
        moment = time.monotonic()
        if not now and moment - self._shown_at < self._every_s:
            return False
        self._shown_at = moment
        return True


class LivePanel(Screen):
    """One panel that is redrawn in place."""

    def __init__(self, console: Console) -> None:
        self._console = console
        # No refresh thread: it would take turns with training for the interpreter.
        self._live = Live(console=console, auto_refresh=False, transient=False)
        self._pace = _Pace(_FRAME_S)

    def preparing(self, what: str, done: float, total: float) -> None:
        """Redraw the progress line, at most four times a second."""
        if self._pace.due():
            self._draw(Text(_progress(what, done, total), style="dim"))

    def say(self, text: str) -> None:
        """Print a line above the panel."""
        self._console.print(text, style="dim", highlight=False)

    def show(self, state: LiveState, *, now: bool = False) -> None:
        """Redraw the panel, at most four times a second unless ``now``."""
        if self._pace.due(now=now):
            self._draw(panel(state))

    def close(self) -> None:
        """Leave the last panel standing and give the terminal back."""
        self._live.stop()

    def _draw(self, shown: RenderableType) -> None:
        self._live.start()  # does nothing from the second time on
        self._live.update(shown, refresh=True)


class Lines(Screen):
    """One line every few seconds, for logs and pipes."""

    def __init__(self) -> None:
        self._pace = _Pace(_LINE_S, first_s=_FIRST_LINE_S)
        self._header_due = True

    def preparing(self, what: str, done: float, total: float) -> None:
        """A line every few seconds."""
        if self._pace.due():
            self.say(_progress(what, done, total))

    def say(self, text: str) -> None:
        """Print a line."""
        printing.say(text)

    def show(self, state: LiveState, *, now: bool = False) -> None:
        """A line every few seconds, and at each evaluation."""
        if not self._pace.due(now=now):
            return
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
