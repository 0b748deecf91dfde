"""From a recipe's data and tokenizer to token files that training maps into memory."""

from __future__ import annotations

import json
import logging
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from wellfit import config
from wellfit.data import cache as cached
from wellfit.data.audit import audit_of, examples_audit
from wellfit.data.coding import coding, files_of, labels_of
from wellfit.data.documents import scan
from wellfit.data.encode import Corpus, encode
from wellfit.data.examples import Form, form_of, says_of
from wellfit.data.near import minhash, sketch
from wellfit.data.reading import Listener, Reporter
from wellfit.data.shards import Shards, split_file
from wellfit.data.sources import Sources, find_sources
from wellfit.data.split import assign, whole
from wellfit.data.stream import Labels, Split
from wellfit.data.vocabulary import round_trip, tokenizer_for
from wellfit.errors import DataError
from wellfit.store import sync_directory
from wellfit.tokenizer import Tokenizer, load_tokenizer, local_folder
from wellfit.tokenizer.tokenizer import TEMPLATE

log = logging.getLogger(__name__)

FORMAT = 1
"""Raised whenever the same input would give other files; part of every key."""

# of the recipe's data, what decides the tokens once the files and their formats are known
_DECIDES = set(
    "text pattern document encoding on_bad duplicates near_duplicates max_line split".split()
)
_PLAIN = config.LanguageModel()
_PLAIN_FILES = ("tokens", "starts")
# of no use once all is done
_WORKING = "documents.rows scan.json scan.note near.sketches near.note journal.jsonl".split()


@dataclass(frozen=True, eq=False)
class Prepared:
    """Data ready to train on.  Everything of size stays on disk until it is asked for."""

    tokenizer: Tokenizer
    splits: Mapping[str, Split]  # "train", "val" and, if the recipe asks for it, "test"
    audit: dict[str, Any]
    fingerprint: str  # sha256 of tokenizer, tokens and document starts: equal ones train alike
    folder: Path
    labels: Labels | None = None  # of classify and regress


class _Work(NamedTuple):
    """What is asked for, and who is told how far it is."""

    sources: Sources
    data: config.Data
    tokenizer: config.Tokenizer | Tokenizer
    form: Form | None
    reporter: Reporter


def prepare(
    data: config.Data,
    tokenizer: config.Tokenizer | Tokenizer,
    *,
    task: config.Task = _PLAIN,
    labels: Labels | None = None,
    progress: Listener | None = None,
    cache: Path | None = None,
) -> Prepared:
    """Read, split, tokenize and audit the data, or open what an earlier call has made.

    The result lies in a folder named after its input: the bytes of the files, the recipe's data
    and tokenizer, and the version of this code.  A call that was killed is taken up where it
    stood; of two calls at once, one works and the other waits.

    For any task but a language model each record is an example, and one document; whole,
    whatever the context of the model.

    With the tokenizer (and ``labels``) of a model that exists, ``data.split`` plays no part: all
    of the data is one split, ``test``, whose documents end in the end-of-text token if the
    tokenizer has one.

    Raises ``DataError`` for whatever cannot be read as the recipe says, ``TokenizerError`` for a
    character that a char tokenizer which exists does not know.
    """
    form, sources = form_of(task, data, tokenizer, labels), find_sources(data)
    work = _Work(sources, data, tokenizer, form, Reporter(progress, sources.n_bytes))
    root = cache if cache is not None else cached.cache_folder(data.cache)
    folder = root / _key(work)
    try:
        return _opened(folder, cached.read_manifest(folder) or _make_alone(work, folder))
    except OSError as e:
        raise DataError(
            f"prepared data cannot be written or read at {e.filename or folder}: "
            f"{e.strerror or e}. Another folder for it: data.cache=FOLDER"
        ) from e
    finally:
        if form is not None and form.dress is not None:
            form.dress.renderer.close()


def _key(work: _Work) -> str:
    """Everything that decides the files, and nothing else: not where the sources lie."""
    sources, data, tokenizer, form, reporter = work
    on_read = reporter.stage("fingerprint")
    files: list[list[Any]] = [
        [cached.sha256_of(file.path, on_read), file.format, file.compression, file.role]
        + [[p.column, cached.sha256_of(p.path, on_read)] for p in file.all if p.column]
        for file in sources.files
    ]
    says = data.model_dump(mode="json", include=_DECIDES, exclude_none=True)
    if data.split.kind == "files":
        says["split"] = "files"  # which those are is said by the files' roles
    if isinstance(tokenizer, config.PretrainedTokenizer):
        tokens = {"fingerprint": load_tokenizer(local_folder(tokenizer.path)).fingerprint}
    elif isinstance(tokenizer, Tokenizer):
        says["split"], tokens = None, {"fingerprint": tokenizer.fingerprint}
    else:
        tokens = tokenizer.model_dump(mode="json")
    if data.near_duplicates is not None and not isinstance(tokenizer, Tokenizer):
        says["near_duplicates"]["by"] = minhash().ALGORITHM_VERSION
    parts = {"format": FORMAT, "files": files, "data": says, "tokenizer": tokens}
    return cached.key_of(parts if form is None else {**parts, "task": says_of(form)})


def _make_alone(work: _Work, folder: Path) -> dict[str, Any]:
    """Make the folder, whole or not at all, while no other process does; its manifest."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(f"{folder.name}.partial")
    with cached.locked(
        folder.with_name(f"{folder.name}.lock"), lambda: work.reporter.stage("wait")(0)
    ):
        if (manifest := cached.read_manifest(folder)) is not None:
            return manifest
        if folder.exists():  # under another name first, so that nobody opens half of it
            log.warning("prepared data at %s is damaged; preparing it again", folder)
            trash = folder.with_name(f"{folder.name}.{uuid.uuid4().hex}.trash")
            folder.rename(trash)
            shutil.rmtree(trash)
        try:
            manifest = _make(work, partial)
        except DataError:  # what was begun with data that cannot be read is of no use to anyone
            shutil.rmtree(partial, ignore_errors=True)
            raise
        for left in (*(partial / name for name in _WORKING), *partial.glob(".*.tmp")):
            left.unlink(missing_ok=True)  # the latter of processes that were killed
        partial.rename(folder)
        sync_directory(folder.parent)
        return manifest


def _make(work: _Work, folder: Path) -> dict[str, Any]:
    """Do the work in ``folder`` from wherever an earlier process left it; the manifest."""
    if (manifest := cached.read_manifest(folder)) is not None:
        return manifest
    folder.mkdir(exist_ok=True)
    sources, data, asked, form, reporter = work
    wants_characters = isinstance(asked, config.CharTokenizer)
    on_read = reporter.stage("read")
    table = scan(sources, data, folder, on_read, characters=wants_characters, form=form)
    given, counts = isinstance(asked, Tokenizer), table.noticed.labels
    sketches = None
    if not given and data.near_duplicates is not None:
        sketches = sketch(sources, data, table, folder, reporter.stage("compare"), form)
    cuts = form is None
    assignment = whole(table) if given else assign(table, data, sketches, cuts_documents=cuts)
    corpus = Corpus(sources, data, table, assignment, form)
    tokenizer = _tokenizer(corpus, asked, folder / "tokenizer", reporter)
    separate = tokenizer.eos_id is not None and (given or assignment.several)
    how = None if form is None else coding(form, tokenizer, counts)
    on_read = reporter.stage("encode")
    with Shards(folder, assignment.names, files_of(form, tokenizer.dtype, counts)) as shards:
        encode(corpus, tokenizer, how, shards, on_read, separate=separate)
    for part in (part for file in sources.files for part in file.all):
        now = part.path.stat()
        if (now.st_size, now.st_mtime_ns) != (part.n_bytes, part.mtime_ns):
            raise DataError(f"{part.path} changed while it was being read. Run this again")
    reporter.stage("audit")
    manifest = _manifest(folder, shards, tokenizer)
    splits = _splits(folder, manifest, tokenizer.dtype)
    labels = labels_of(form, splits, counts)
    manifest["labels"] = labels and asdict(labels)
    came_back = round_trip(corpus, tokenizer) if tokenizer.kind == "pretrained" else None
    manifest["audit"] = audit_of(corpus, tokenizer, splits, shards.characters(), came_back)
    if how is not None:
        manifest["audit"]["examples"] = examples_audit(corpus, how, splits, labels)
    cached.write_synced(folder / cached.MANIFEST, json.dumps(manifest, indent=1) + "\n")
    return manifest


def _tokenizer(
    corpus: Corpus, asked: config.Tokenizer | Tokenizer, folder: Path, reporter: Reporter
) -> Tokenizer:
    """The tokenizer, made and saved whole before the first token is."""
    if not folder.exists():
        on_read = reporter.stage("tokenizer")
        made = asked if isinstance(asked, Tokenizer) else tokenizer_for(corpus, asked, on_read)
        if corpus.dress is not None:  # its template belongs to these tokens
            made = replace(made, files={**made.files, TEMPLATE: corpus.dress.template})
        partial = folder.with_name(folder.name + ".partial")
        made.save(partial)
        partial.rename(folder)
    return load_tokenizer(folder)


def _manifest(folder: Path, shards: Shards, tokenizer: Tokenizer) -> dict[str, Any]:
    """What the folder holds, and a fingerprint that follows from the tokens themselves."""
    totals = shards.totals()
    files = [split_file(folder, name, kind) for name in totals for kind in shards.files]
    hashed = [path for path in files if path.suffix != ".places"]
    hashes = {path.name: cached.sha256_of(path, lambda _: None) for path in hashed}
    files += sorted((folder / "tokenizer").iterdir())
    beside = {kind: held for kind, held in shards.files.items() if kind not in _PLAIN_FILES}
    return {
        "format": FORMAT,
        "key": folder.name.removesuffix(".partial"),
        "beside": {kind: [held.dtype.str, held.width] for kind, held in beside.items()},
        "fingerprint": cached.key_of({"tokenizer": tokenizer.fingerprint, "files": hashes}),
        "totals": {name: counts._asdict() for name, counts in totals.items()},
        "sha256": hashes,
        "files": {path.relative_to(folder).as_posix(): path.stat().st_size for path in files},
    }


def _splits(folder: Path, manifest: Mapping[str, Any], dtype: np.dtype[Any]) -> dict[str, Split]:
    """The splits, mapped from disk."""
    splits = {}
    for name, counts in manifest["totals"].items():
        tokens = _mapped(split_file(folder, name, "tokens"), dtype)
        starts = _mapped(split_file(folder, name, "starts"), np.dtype(np.int64))
        fingerprint = cached.key_of({"data": manifest["fingerprint"], "split": name})
        beside = {}
        for kind, (held, width) in manifest.get("beside", {}).items():
            values = _mapped(split_file(folder, name, kind), np.dtype(held))
            beside[kind] = values if kind == "learned" else values.reshape(-1, width)
        splits[name] = Split(name, tokens, starts, counts["n_bytes"], fingerprint, **beside)
    return splits


def _mapped(path: Path, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """A file as an array.  ``asarray`` drops memmap's slow indexing, and keeps the mapping."""
    if not path.stat().st_size:  # nothing cannot be mapped; some tokenizers make it of some text
        return np.empty(0, dtype=dtype)
    return np.asarray(np.memmap(path, dtype=dtype, mode="r"))


def _opened(folder: Path, manifest: Mapping[str, Any]) -> Prepared:
    tokenizer = load_tokenizer(folder / "tokenizer")
    splits = _splits(folder, manifest, tokenizer.dtype)
    said = manifest.get("labels")
    if said is not None:
        fields: Any = {k: tuple(v) if isinstance(v, list) else v for k, v in said.items()}
        said = Labels(**fields)
    audit, fingerprint = manifest["audit"], manifest["fingerprint"]
    return Prepared(tokenizer, splits, audit, fingerprint, folder, said)
