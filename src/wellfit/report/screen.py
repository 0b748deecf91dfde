"""What a run shows while it goes: an interface, so that the loop never knows who is watching."""

from __future__ import annotations

from abc import ABC, abstractmethod

from wellfit.report.live import LiveState


class Screen(ABC):
    """Somebody to whom a run is shown.  Nothing returned here can change training."""

    @abstractmethod
    def preparing(self, what: str, done: float, total: float) -> None:
        """Progress of a part before training; ``total`` 0 where it is not known."""

    @abstractmethod
    def say(self, text: str) -> None:
        """One line: a choice that was made, or something worth knowing."""

    @abstractmethod
    def show(self, state: LiveState, *, now: bool = False) -> None:
        """The run as it stands; called often, drawn seldom unless ``now``."""

    @abstractmethod
    def close(self) -> None:
        """Training is over: leave the terminal as it was."""


class NoScreen(Screen):
    """Shows nothing: for tests, ranks other than the first, and Python callers."""

    def preparing(self, what: str, done: float, total: float) -> None:
        """Ignored."""

    def say(self, text: str) -> None:
        """Ignored."""

    def show(self, state: LiveState, *, now: bool = False) -> None:
        """Ignored."""

    def close(self) -> None:
        """Ignored."""
