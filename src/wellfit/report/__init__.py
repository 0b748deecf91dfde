"""What a run looks like: a page, a card for the terminal, a live panel.  Never imports torch.

The page, in ``wellfit.report.page``, is loaded by whoever writes one, as a run does at its end.
"""

from wellfit.report.card import card
from wellfit.report.live import LiveState, line, line_header, panel
from wellfit.report.screen import NoScreen, Screen

__all__ = ["LiveState", "NoScreen", "Screen", "card", "line", "line_header", "panel"]
