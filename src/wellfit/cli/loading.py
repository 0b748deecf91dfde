"""Loading modules without a look for garbage in them."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading() -> Iterator[None]:
    """For imports, which make objects by the hundred thousand, none of them garbage.

    To look for some takes a quarter of a second; what is there at the end is never looked at again.
    In a process that has torch already, which may hold garbage, nothing is different.
    """
    if first := "torch" not in sys.modules:
        gc.disable()
    try:
        yield
    finally:
        if first:
            gc.freeze()
            gc.enable()
