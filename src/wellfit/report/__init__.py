"""What a run looks like: a page, a card for the terminal, a live panel.  Never imports torch."""

from wellfit.report.card import card
from wellfit.report.live import LiveState, line, line_header, panel
from wellfit.report.page import page
from wellfit.report.screen import NoScreen, Screen

__all__ = ["LiveState", "NoScreen", "Screen", "card", "line", "line_header", "page", "panel"]
