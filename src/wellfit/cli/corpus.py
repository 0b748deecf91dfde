"""Real text that every Python installation carries: its language reference and its library."""

from __future__ import annotations

import hashlib
import importlib
import platform
import sysconfig
from pathlib import Path
from typing import NamedTuple

from wellfit.units import format_bytes

_PACKAGES = (
    "asyncio collections concurrent email html http importlib json logging multiprocessing "
    "unittest urllib xml xmlrpc"
).split()


class Texts(NamedTuple):
    """Files to train on, and what they are in a few words."""

    paths: tuple[str, ...]
    description: str


def python_texts() -> Texts:
    """The language reference out of ``pydoc_data``, and the sources of the standard library.

    The reference is a dictionary inside a module, so it is written out once, one file a topic,
    to the user's cache.  An installation without it (some distributions split it off) gives
    the sources alone.
    """
    library = Path(sysconfig.get_paths()["stdlib"])
    patterns = ["*.py", *(f"{package}/**/*.py" for package in _PACKAGES)]
    sources = sorted(path for pattern in patterns for path in library.glob(pattern))
    size = sum(path.stat().st_size for path in sources)
    paths = [str(library / pattern) for pattern in patterns if any(library.glob(pattern))]
    what = f"{len(sources)} source files of Python {platform.python_version()}"
    topics = _reference()
    if topics is not None:
        paths.insert(0, str(topics / "*.txt"))
        size += sum(path.stat().st_size for path in topics.glob("*.txt"))
        what = f"Python's language reference and {what}"
    return Texts(tuple(paths), f"{what}, {format_bytes(size)}")


def _reference() -> Path | None:
    """The folder with the topics of the language reference, written if it is not there yet."""
    try:
        topics: dict[str, str] = importlib.import_module("pydoc_data.topics").topics
    except ImportError:
        return None
    from platformdirs import user_cache_path

    from wellfit.store import write_text_atomic

    digest = hashlib.sha256("\0".join(topics.values()).encode()).hexdigest()[:12]
    folder = user_cache_path("wellfit") / "python-reference" / digest
    done = folder / "complete"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in topics.items():
            write_text_atomic(folder / f"{name}.txt", text)
        write_text_atomic(done, "")
    return folder
