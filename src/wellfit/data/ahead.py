"""Work on one part of the data while the next parts are read."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

R = TypeVar("R")


def in_order(work: Callable[[Any], R], parts: Iterable[Any], at_once: int) -> Iterator[R]:
    """What the work makes of each part, in their order, by so many threads beside the caller's.

    At most ``at_once`` parts wait or are worked on while the next is read; with 0 each is done
    with before the next is asked for.  Threads gain where the work needs no Python: in a library
    of its own, or in numpy.
    """
    if not at_once:
        yield from map(work, parts)
        return
    waiting = deque[Future[R]]()
    with ThreadPoolExecutor(at_once) as pool:
        for part in parts:
            waiting.append(pool.submit(work, part))
            del part  # its work alone holds it, and no longer than it takes
            if len(waiting) > at_once:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
