"""Where a published model or tokenizer lies: a folder, or the Hugging Face Hub."""

from __future__ import annotations

import re
from pathlib import Path

from wellfit.errors import ConfigError, need

_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?(?<!\.json)")
_FILES = ["*.safetensors", "*.json", "*.jinja"]  # settings, tokenizer and weights that run no code


def local_folder(path: str) -> Path:
    """The folder that ``path`` names; what is not here and looks like the id of a model is fetched.

    It goes to the cache of the ``huggingface_hub`` library.  Paths that can be no id come back
    as they are, there or not.

    Raises ``ConfigError`` when the Hub does not give it, ``MissingExtra`` without the library.
    """
    here = Path(path).expanduser()
    if here.exists() or not _ID.fullmatch(path):
        return here
    why = f"{path} is no folder here; to fetch such a model"
    hub = need("huggingface_hub", extra="hf", why=why)
    try:
        return Path(hub.snapshot_download(path, allow_patterns=_FILES))
    except (OSError, ValueError) as e:  # what all errors of the library are
        first = str(e).strip().splitlines()[0] if str(e).strip() else type(e).__name__
        problem = (
            f"{path}: there is no such folder here, and the Hugging Face Hub gives no model of "
            f"that id: {first}. Check the spelling, the network, and for models that ask for "
            "consent: huggingface-cli login"
        )
        raise ConfigError([problem]) from e
