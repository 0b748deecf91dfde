"""Model directories in the published layout: written whole or not at all, read with suspicion."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from wellfit.errors import CheckpointError, ConfigError, RunError, WellfitError
from wellfit.model.decoder import Decoder
from wellfit.model.encoder import Encoder
from wellfit.model.layouts import published_config
from wellfit.model.ngrams import Ngrams, ngram_config
from wellfit.model.settings import published_outputs, published_shape
from wellfit.model.shape import Outputs, Shape
from wellfit.model.weights import published_names, published_weights, take_weights
from wellfit.store import sync_directory
from wellfit.tokenizer import Tokenizer

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
GENERATION = "generation_config.json"


def write_published(
    out: Path,
    model: Decoder | Encoder | Ngrams,
    tokenizer: Tokenizer,
    *,
    outputs: Outputs | None = None,
    replace: bool = False,
) -> None:
    """Write a directory that `transformers` loads by itself, or leave nothing at all.

    ``outputs`` say what those of a labelled task mean.  With ``replace`` a directory of that name
    gives way once the new one is complete.

    Raises ``RunError`` when something is there already, ``WellfitError`` when the disk refuses.
    """
    with staged(out, replace=replace) as folder:
        write_files(folder, model, tokenizer, outputs=outputs)


def write_files(
    folder: Path,
    model: Decoder | Encoder | Ngrams,
    tokenizer: Tokenizer,
    *,
    outputs: Outputs | None = None,
) -> None:
    """The files of model and tokenizer, into a directory that exists."""
    if isinstance(model, Decoder):
        write_model(folder, model, eos_id=tokenizer.eos_id, outputs=outputs)
    else:
        assert outputs is not None, f"{type(model).__name__} gives labels or numbers"
        if isinstance(model, Encoder):
            model.save(folder, outputs)
        else:
            write_json(folder / CONFIG, ngram_config(model.shape, outputs))
            save_file(model.state_dict(), folder / WEIGHTS, metadata={"format": "pt"})
    tokenizer.save(folder, labelled=outputs is not None)


def write_model(
    folder: Path, decoder: Decoder, *, eos_id: int | None, outputs: Outputs | None = None
) -> None:
    """The files of the model alone: settings, weights, and what ends a text.

    ``pad`` appears in generation_config.json only, where it can do no harm (see
    ``published_config``) and spares users a warning.
    """
    ends = {"bos_token_id": eos_id, "eos_token_id": eos_id, "pad_token_id": eos_id}
    write_json(folder / CONFIG, published_config(decoder.shape, eos_id=eos_id, outputs=outputs))
    if outputs is None:
        write_json(folder / GENERATION, ends)
    save_file(published_weights(decoder), folder / WEIGHTS, metadata={"format": "pt"})


@contextmanager
def staged(out: Path, *, replace: bool = False) -> Iterator[Path]:
    """An empty directory that becomes ``out`` when the block ends well, and else vanishes.

    Every file is synced, and has the mode that the umask asks for, before the rename.

    Raises ``RunError`` when ``out`` holds something (unless ``replace``), ``WellfitError`` when
    the disk refuses.
    """
    target = out.absolute()
    _refuse_what_is_there(out, replace=replace)
    folder = target.with_name(f".tmp-{target.name}-{uuid.uuid4().hex[:12]}")
    try:
        folder.mkdir(parents=True)
        yield folder
        _seal(folder)
        _put_in_place(folder, target)
    except (OSError, SafetensorError) as e:
        why = e.strerror if isinstance(e, OSError) else str(e)
        raise WellfitError(
            f"could not write {out}: {why}. Free some space or check the permissions of "
            f"{target.parent}, then try again"
        ) from e
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _refuse_what_is_there(out: Path, *, replace: bool) -> None:
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise RunError(f"{out} is there already and is not a directory. Choose another name")
    if out.is_dir() and not replace and any(out.iterdir()):
        first = min(inner.name for inner in out.iterdir())
        raise RunError(
            f"{out} is not empty (it holds {first}), and nothing is overwritten. "
            "Choose another directory, or empty this one"
        )


def _seal(folder: Path) -> None:
    written_by_python = next(folder.glob("*config.json"))
    mode = written_by_python.stat().st_mode & 0o777  # what the umask gives
    for file in folder.iterdir():
        file.chmod(mode)  # the safetensors library writes 0600
        with file.open("rb") as f:
            os.fsync(f.fileno())
    sync_directory(folder)


def _put_in_place(folder: Path, target: Path) -> None:
    """Rename; what was there is moved away first, so that no reader meets a mixture."""
    old = target.with_name(f".trash-{target.name}-{uuid.uuid4().hex[:12]}")
    had_one = target.is_dir() and any(target.iterdir())
    if had_one:
        target.rename(old)
    try:
        folder.rename(target)
    except OSError:
        if had_one:
            old.rename(target)
        raise
    sync_directory(target.parent)
    shutil.rmtree(old, ignore_errors=True)


def read_published(folder: Path, shape: Shape | None = None) -> Decoder:
    """The decoder in a published directory, ours or anyone's, in float32.

    With ``shape`` it is of that one, which may have a shorter context and a head of its own, whose
    weights are left open.

    Only settings that our decoder can be are read, and only safetensors: other formats of
    weights can run code when they are opened.

    Raises ``ConfigError`` for settings that are not supported, ``CheckpointError`` for weights
    that are missing, unexpected, of another shape or damaged, all of them named.
    """
    described = _read_shape(folder)
    held_bytes = sum(file.stat().st_size for file in weight_files(folder))
    if described.matmul_parameters > held_bytes:  # before a wrong number asks for all the memory
        raise CheckpointError(
            f"{folder / CONFIG} describes {described.matmul_parameters} weights, and the files "
            f"beside it hold {held_bytes} bytes. Copy or download them again"
        )
    decoder = Decoder(shape or described)
    read_weights(folder, decoder)
    return decoder


def _read_shape(folder: Path) -> Shape:
    return published_shape(read_config(folder), where=str(folder / CONFIG))


def read_outputs(folder: Path) -> Outputs | None:
    """What the outputs of the model in a published directory mean; None of a language model."""
    return published_outputs(read_config(folder), where=str(folder / CONFIG))


def read_config(folder: Path) -> dict[str, Any]:
    """The config.json of a model directory.  Raises ``ConfigError`` when there is none."""
    if not (folder / CONFIG).is_file():
        what = f"it holds no {CONFIG}" if folder.is_dir() else "there is no such directory"
        raise ConfigError([f"{folder} is not a model directory: {what}"])
    return read_json(folder / CONFIG)


def read_weights(folder: Path, decoder: Decoder) -> None:
    """Fill a decoder with the weights of a published directory (see ``take_weights``)."""
    described = _read_shape(folder)
    with reading(f"the weights in {folder}"), ExitStack() as stack:
        tensors: dict[str, Callable[[], Tensor]] = {}
        for file in weight_files(folder):
            handle = stack.enter_context(safe_open(file, framework="pt"))
            for full, name in published_names(described, handle.keys()).items():
                tensors[full] = partial(handle.get_tensor, name)
        problems = take_weights(decoder, tensors, described=described)
    if problems:
        raise CheckpointError(f"the weights in {folder} do not fit: " + "; ".join(problems))


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Errors of tensor files as ``CheckpointError``, which says what cannot be read."""
    try:
        yield
    except (OSError, SafetensorError) as e:
        raise CheckpointError(f"{what} cannot be read: {e}. Copy or download them again") from e


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files: one, or the shards that the index names."""
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if not (folder / INDEX).is_file():
        other = sorted(p.name for p in folder.iterdir() if p.suffix in (".bin", ".pt", ".pth"))
        also = (
            f"; {other[0]} is of a kind that can run code when it is opened, so it is not read. "
            f'Convert it where you trust it: python -c "from transformers import '
            f"AutoModelForCausalLM as A; A.from_pretrained('{folder}').save_pretrained('NEW')\""
            if other
            else ""
        )
        raise CheckpointError(f"{folder} holds neither {WEIGHTS} nor {INDEX}{also}")
    names = _shard_names(folder / INDEX)
    missing = sorted(name for name in names if not (folder / name).is_file())
    if missing:
        raise CheckpointError(
            f"{folder} lacks {len(missing)} of {len(names)} files of weights, such as "
            f"{missing[0]}. Copy or download them again"
        )
    return [folder / name for name in sorted(names)]


def _shard_names(index: Path) -> set[str]:
    """The files that an index names.  Each is joined to a folder, so none may lead out of it."""
    shards = read_json(index).get("weight_map")
    names: list[Any] = list(shards.values()) if isinstance(shards, dict) else [shards]
    for name in names:
        plain = isinstance(name, str) and Path(name).name == name and "\\" not in name
        if not plain or not name.endswith(".safetensors"):
            raise CheckpointError(
                f"{index}: {name!r} is not the plain name of a .safetensors file. "
                "Copy or download the model again, from a source you trust"
            )
    return set(names)


def read_json(file: Path) -> dict[str, Any]:
    """The JSON object in a file.  Raises ``ConfigError``."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as e:
        raise ConfigError([f"{file} cannot be read: {e}"]) from None
    if not isinstance(found, dict):
        raise ConfigError([f"{file} holds {type(found).__name__}, not a JSON object"])
    return found


def write_json(file: Path, value: dict[str, Any]) -> None:
    """A JSON file that people can read."""
    file.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
