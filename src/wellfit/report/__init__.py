"""What a run looks like: a page, a card for the terminal, a live panel.  Never imports torch."""

from wellfit.report.card import card, card_text, next_commands
from wellfit.report.live import LiveState, line, line_header, panel
from wellfit.report.page import page
from wellfit.report.screen import NoScreen, Screen
from wellfit.report.svg import Frame, Level, Line, Mark, Moment, line_chart

__all__ = [
    "Frame",
    "Level",
    "Line",
    "LiveState",
    "Mark",
    "Moment",
    "NoScreen",
    "Screen",
    "card",
    "card_text",
    "line",
    "line_chart",
    "line_header",
    "next_commands",
    "page",
    "panel",
]
