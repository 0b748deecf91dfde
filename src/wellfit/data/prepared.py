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
from wellfit.data.audit import audit_of
from wellfit.data.chat import TEMPLATE_FILE
from wellfit.data.coding import beside_tokens
from wellfit.data.documents import scan
from wellfit.data.encode import Corpus, encode
from wellfit.data.examination import examples_audit
from wellfit.data.examples import Form, form_of, says_of
from wellfit.data.labels import labels_of
from wellfit.data.progress import Listener, Reporter
from wellfit.data.shards import Shards, beside_file, starts_file, token_file
from wellfit.data.sources import Sources, find_sources
from wellfit.data.split import assign, whole
from wellfit.data.stream import Labels, Split
from wellfit.data.vocabulary import round_trip, tokenizer_for
from wellfit.errors import DataError
from wellfit.tokenizer import Tokenizer, load_tokenizer, local_folder

log = logging.getLogger(__name__)

FORMAT = 1
"""Raised whenever the same input would give other files; part of every key."""

# of the recipe's data, what decides the tokens once the files and their formats are known
_DECIDES = {"text", "pattern", "document", "encoding", "on_bad", "duplicates", "max_line", "split"}
_PLAIN = config.LanguageModel()
_WORKING = ("documents.rows", "scan.json", "journal.jsonl")  # of no use once all is done


@dataclass(frozen=True, eq=False)
class Prepared:
    """Data ready to train on.  Everything of size stays on disk until it is asked for."""

    tokenizer: Tokenizer
    splits: Mapping[str, Split]  # "train", "val" and, if the recipe asks for it, "test"
    audit: dict[str, Any]
    fingerprint: str  # sha256 of tokenizer, tokens and document starts: equal ones train alike
    folder: Path
    labels: Labels | None = None  # of classify and regress


def prepare(
    data: config.Data,
    tokenizer: config.Tokenizer,
    *,
    task: config.Task = _PLAIN,
    progress: Listener | None = None,
    cache: Path | None = None,
) -> Prepared:
    """Read, split, tokenize and audit the data, or open what an earlier call has made.

    The result lies in a folder named after its input: the bytes of the files, the recipe's data
    and tokenizer, and the version of this code.  A call that was killed is taken up where it
    stood; of two calls at once, one works and the other waits.

    For any task but a language model each record is an example, and one document; whole,
    whatever the context of the model.

    Raises ``DataError`` for whatever cannot be read as the recipe says.
    """
    work = _Work(data, tokenizer, form_of(task, data, tokenizer))
    return _prepare(work, progress=progress, cache=cache)


def prepare_for_eval(
    data: config.Data,
    tokenizer: Tokenizer,
    *,
    task: config.Task = _PLAIN,
    labels: Labels | None = None,
    progress: Listener | None = None,
    cache: Path | None = None,
) -> Prepared:
    """All of the data as one split, ``test``, in the tokens and labels of a model that exists.

    ``data.split`` plays no part.  Documents end in the tokenizer's end-of-text token if it has
    one.  Raises ``TokenizerError`` for a character that a char tokenizer does not know.
    """
    work = _Work(data, tokenizer, form_of(task, data, tokenizer, labels))
    return _prepare(work, progress=progress, cache=cache)


class _Work(NamedTuple):
    """What is asked for."""

    data: config.Data
    tokenizer: config.Tokenizer | Tokenizer
    form: Form | None


def _prepare(work: _Work, *, progress: Listener | None, cache: Path | None) -> Prepared:
    sources = find_sources(work.data)
    reporter = Reporter(progress, sources.n_bytes)
    key = _key(sources, work, reporter)
    root = cache if cache is not None else cached.cache_folder(work.data.cache)
    folder = root / key
    try:
        if (manifest := cached.read_manifest(folder)) is None:
            root.mkdir(parents=True, exist_ok=True)
            with cached.locked(root / f"{key}.lock", lambda: reporter.stage("wait")(0)):
                manifest = cached.read_manifest(folder)
                if manifest is None:
                    _discard(folder)
                    partial = root / f"{key}.partial"
                    manifest = _make_or_clear(sources, work, partial, reporter)
                    for name in _WORKING:
                        (partial / name).unlink(missing_ok=True)
                    partial.rename(folder)
                    cached.sync_folder(root)
        return _opened(folder, manifest)
    except OSError as e:
        raise DataError(
            f"prepared data cannot be written or read at {e.filename or folder}: "
            f"{e.strerror or e}. Another folder for it: data.cache=FOLDER"
        ) from e
    finally:
        if work.form is not None and work.form.dress is not None:
            work.form.dress.renderer.close()


def _key(sources: Sources, work: _Work, reporter: Reporter) -> str:
    """Everything that decides the files, and nothing else: not where the sources lie."""
    on_read = reporter.stage("fingerprint")
    files: list[list[Any]] = [
        [cached.sha256_of(file.path, on_read), file.format, file.compression, file.role]
        + [[p.column, cached.sha256_of(p.path, on_read)] for p in file.all if p.column]
        for file in sources.files
    ]
    data, tokenizer = work.data, work.tokenizer
    says = data.model_dump(mode="json", include=_DECIDES)
    if data.split.kind == "files":
        says["split"] = "files"  # which those are is said by the files' roles
    if isinstance(tokenizer, Tokenizer):
        says["split"], tokens = None, {"fingerprint": tokenizer.fingerprint}
    elif isinstance(tokenizer, config.PretrainedTokenizer):
        tokens = {"fingerprint": load_tokenizer(local_folder(tokenizer.path)).fingerprint}
    else:
        tokens = tokenizer.model_dump(mode="json")
    if data.pattern is None:  # as before there were patterns, so that keys stay what they were
        del says["pattern"]
    parts = {"format": FORMAT, "files": files, "data": says, "tokenizer": tokens}
    if work.form is not None:
        parts["task"] = says_of(work.form)
    return cached.key_of(parts)


def _discard(folder: Path) -> None:
    """Take a damaged folder away, under another name first so that nobody opens half of it."""
    if folder.exists():
        log.warning("prepared data at %s is damaged; preparing it again", folder)
        trash = folder.with_name(f"{folder.name}.{uuid.uuid4().hex}.trash")
        folder.rename(trash)
        shutil.rmtree(trash)


def _make_or_clear(
    sources: Sources, work: _Work, folder: Path, reporter: Reporter
) -> dict[str, Any]:
    """As ``_make``; what it began with data that cannot be read is of no use to anyone."""
    try:
        return _make(sources, work, folder, reporter)
    except DataError:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _make(sources: Sources, work: _Work, folder: Path, reporter: Reporter) -> dict[str, Any]:
    """Do the work in ``folder`` from wherever an earlier process left it; the manifest."""
    if (manifest := cached.read_manifest(folder)) is not None:
        return manifest
    folder.mkdir(exist_ok=True)
    data, asked, form = work
    wants_characters = isinstance(asked, config.CharTokenizer)
    on_read = reporter.stage("read")
    table = scan(sources, data, folder, on_read, characters=wants_characters, form=form)
    given, counts = isinstance(asked, Tokenizer), table.noticed.labels
    assignment = whole(table) if given else assign(table, data, cuts_documents=form is None)
    corpus = Corpus(sources, data, table, assignment, form)
    tokenizer = _tokenizer(corpus, asked, folder / "tokenizer", reporter)
    separate = tokenizer.eos_id is not None and (given or assignment.several)
    beside = beside_tokens(form, counts)
    with Shards(folder, assignment.names, tokenizer.dtype, beside) as shards:
        encode(corpus, tokenizer, shards, reporter.stage("encode"), separate=separate)
    _check_unchanged(sources)
    reporter.stage("audit")
    manifest = _manifest(folder, shards, tokenizer)
    splits = _splits(folder, manifest, tokenizer.dtype)
    labels = labels_of(form, splits, counts)
    manifest["labels"] = labels and asdict(labels)
    came_back = round_trip(corpus, tokenizer) if tokenizer.kind == "pretrained" else None
    manifest["audit"] = audit_of(corpus, tokenizer, splits, shards.characters(), came_back)
    if form is not None:
        manifest["audit"]["examples"] = examples_audit(corpus, tokenizer, splits, labels)
    cached.write_synced(folder / cached.MANIFEST, json.dumps(manifest, indent=1) + "\n")
    return manifest


def _tokenizer(
    corpus: Corpus, asked: config.Tokenizer | Tokenizer, folder: Path, reporter: Reporter
) -> Tokenizer:
    """The tokenizer, made and saved whole before the first token is."""
    if not folder.exists():
        on_read = reporter.stage("tokenizer")
        if isinstance(asked, Tokenizer):
            made = asked
        else:
            made = tokenizer_for(corpus, asked, on_read)
        if corpus.form is not None and corpus.form.dress is not None:
            template = {TEMPLATE_FILE: corpus.form.dress.template}  # it belongs to these tokens
            made = replace(made, files={**made.files, **template})
        partial = folder.with_name(folder.name + ".partial")
        made.save(partial)
        partial.rename(folder)
    return load_tokenizer(folder)


def _check_unchanged(sources: Sources) -> None:
    for part in (part for file in sources.files for part in file.all):
        now = part.path.stat()
        if (now.st_size, now.st_mtime_ns) != (part.n_bytes, part.mtime_ns):
            raise DataError(f"{part.path} changed while it was being read. Run this again")


def _manifest(folder: Path, shards: Shards, tokenizer: Tokenizer) -> dict[str, Any]:
    """What the folder holds, and a fingerprint that follows from the tokens themselves."""
    totals = shards.totals()
    files = [made(folder, name) for name in totals for made in (token_file, starts_file)]
    beside = [beside_file(folder, name, kind) for name in totals for kind in shards.beside]
    files += [path for path in beside if path.suffix != ".places"]
    hashes = {path.name: cached.sha256_of(path, _ignored) for path in files}
    files += [path for path in beside if path.suffix == ".places"]
    files += sorted((folder / "tokenizer").iterdir())
    return {
        "format": FORMAT,
        "key": folder.name.removesuffix(".partial"),
        "beside": {kind: [held.dtype.str, held.width] for kind, held in shards.beside.items()},
        "fingerprint": cached.key_of({"tokenizer": tokenizer.fingerprint, "files": hashes}),
        "totals": {name: counts._asdict() for name, counts in totals.items()},
        "sha256": hashes,
        "files": {path.relative_to(folder).as_posix(): path.stat().st_size for path in files},
    }


def _ignored(n_bytes: int) -> None:
    """Progress that nobody is shown."""


def _splits(folder: Path, manifest: Mapping[str, Any], dtype: np.dtype[Any]) -> dict[str, Split]:
    """The splits, mapped from disk."""
    splits = {}
    for name, counts in manifest["totals"].items():
        tokens = _mapped(token_file(folder, name), dtype)
        starts = _mapped(starts_file(folder, name), np.dtype(np.int64))
        fingerprint = cached.key_of({"data": manifest["fingerprint"], "split": name})
        beside = {}
        for kind, (held, width) in manifest.get("beside", {}).items():
            values = _mapped(beside_file(folder, name, kind), np.dtype(held))
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
        names, several, means, deviations = said.values()
        said = Labels(tuple(names), several, tuple(means), tuple(deviations))
    audit, fingerprint = manifest["audit"], manifest["fingerprint"]
    return Prepared(tokenizer, splits, audit, fingerprint, folder, said)
