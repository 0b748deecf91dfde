"""How fast data is prepared, against the libraries that do its parts called by hand.

    python -m bench.data [--data DIR] [--only encode,train] [--megabytes 100] [--rounds 5] [--write]

``DIR`` holds novels/*.txt.gz and wikitext2/*.txt.gz; without it a text of made-up words stands in.
The text is repeated, with a tenth of its words changed each time, up to the size.  Ours is what
``wellfit train`` does before its first step (``wellfit.data.prepare``), from files to files: all of
it where a row says so, else the stage that is named.  Theirs is a loop over texts that lie in
memory already.  Both in turn, in one process, with all cores.  Each part goes to bench/results/ by
itself, and ``--write`` puts them all into docs/benchmarks.md.  ``memory`` prepares in processes of
their own and watches what of them the system could not take back (RssAnon): token files are
mapped, and count as resident for as long as nobody needs the room.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tokenizers

from bench.timing import (
    Row,
    Spread,
    about,
    in_turn,
    keep,
    kept_parts,
    spread,
    tables,
    write_table,
)
from wellfit import config
from wellfit.data import Progress, prepare
from wellfit.plan.machine import usable_cores
from wellfit.tokenizer import Tokenizer, bpe_tokenizer

SPLIT = {"kind": "tail", "val": 0.02}
VOCAB = 8192


class Bench(NamedTuple):
    """What is measured on."""

    text: str
    folder: Path  # for files, emptied at the end
    rounds: int


def some_text(data: Path | None, n_bytes: int) -> str:
    """Real text, repeated with a tenth of its words changed until it is so long."""
    if data is not None:
        paths = [*sorted(data.glob("novels/*.gz")), *sorted(data.glob("wikitext2/train*.gz"))]
        base = "\n\n".join(gzip.open(path, "rt", encoding="utf-8").read() for path in paths)
    else:
        chance = random.Random(1)
        words = [
            "".join(chance.choices("etaoinshrdlu", k=chance.randint(1, 9))) for _ in range(9999)
        ]
        sizes = (chance.randint(20, 200) for _ in range(1000))
        base = "\n\n".join(" ".join(chance.choices(words, k=n)) + "." for n in sizes)
    parts, size = [], 0
    while size < n_bytes:
        words = base.split(" ")
        if parts:
            words[len(parts) % 10 :: 10] = [w[::-1] for w in words[len(parts) % 10 :: 10]]
        parts.append(" ".join(words))
        size += len(parts[-1].encode())
    return "\n\n".join(parts).encode()[:n_bytes].decode("utf-8", "ignore")


def documents_of(text: str, n_chars: int) -> list[str]:
    """Whole paragraphs, about so many characters together."""
    found, held, size = [], [], 0
    for paragraph in text.split("\n\n"):
        held.append(paragraph)
        size += len(paragraph)
        if size >= n_chars:
            found.append("\n\n".join(held))
            held, size = [], 0
    return [document for document in [*found, "\n\n".join(held)] if document.strip()]


def prepared_s(bench: Bench, path: Path, tokenizer: Any, **fields: Any) -> dict[str, float]:
    """Seconds of each stage of preparing, and of the ``whole``, anew."""
    cache = bench.folder / "cache"
    began: dict[str, float] = {}

    def listen(at: Progress) -> None:
        began.setdefault(at.stage, time.perf_counter())

    t0 = time.perf_counter()
    data = config.Data(path=str(path), **{"split": SPLIT, **fields})
    made = prepare(data, tokenizer, progress=listen, cache=cache)
    end = time.perf_counter()
    shutil.rmtree(cache)
    ends = [*list(began.values())[1:], end]
    spans = {stage: b - a for (stage, a), b in zip(began.items(), ends, strict=True)}
    n_tokens = sum(split.n_tokens for split in made.splits.values())
    return {**spans, "whole": end - t0, "tokens": n_tokens}


def write_texts(bench: Bench, documents: list[str]) -> Path:
    """Each document as a file of its own."""
    folder = bench.folder / "texts"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for number, document in enumerate(documents):
        (folder / f"{number:06d}.txt").write_text(document, encoding="utf-8")
    return folder


def write_records(bench: Bench, documents: list[str], ending: str = "jsonl") -> Path:
    """Each document as a record."""
    path = bench.folder / f"records.{ending}"
    with path.open("w", encoding="utf-8", newline="") as file:
        if ending == "csv":
            csv.writer(file).writerows([["text"], *([document] for document in documents)])
        elif ending == "tsv":
            file.writelines(
                f"{re.sub(chr(9) + '|' + chr(10), ' ', d)}\n" for d in ["text", *documents]
            )
        else:
            file.writelines(json.dumps({"text": document}) + "\n" for document in documents)
    return path


def trained(bench: Bench) -> Tokenizer:
    """A BPE of the first part of the text."""
    return bpe_tokenizer([bench.text[:10_000_000]], vocab=VOCAB, separate=True)


def encode(bench: Bench) -> Iterator[Row]:
    """From files to token files, against ``tokenizers`` from texts in memory to one array."""
    tokenizer = trained(bench)
    for name, n_chars, write in (
        ("texts of 500 kB", 500_000, write_texts),
        ("records of 2 kB", 2000, write_records),
    ):
        documents = documents_of(bench.text, n_chars)
        path = write(bench, documents)
        n_bytes = sum(len(document.encode()) for document in documents)
        found: dict[str, list[float]] = {}

        def ours(path: Path = path, found: dict[str, list[float]] = found) -> None:
            for stage, elapsed_s in prepared_s(bench, path, tokenizer).items():
                found.setdefault(stage, []).append(elapsed_s)

        def theirs(method: str, documents: list[str] = documents) -> None:
            library = tokenizers.Tokenizer.from_str(tokenizer.codec.definition)
            done = getattr(library, method)(documents, add_special_tokens=False)
            np.concatenate([np.array(one.ids, dtype=np.uint16) for one in done])

        ways: dict[str, Callable[[], None]] = {"ours": ours}
        ways["encode_batch"] = lambda: theirs("encode_batch")  # noqa: B023
        ways["encode_batch_fast"] = lambda: theirs("encode_batch_fast")  # noqa: B023
        seconds = in_turn(ways, bench.rounds)
        for method in ("encode_batch", "encode_batch_fast"):
            yield _row(
                f"{name}: files to shards against {method} in memory",
                _rates(n_bytes, seconds["ours"]),
                _rates(n_bytes, seconds[method]),
                "at least 1.0",
            )
        yield _row(
            f"{name}: the stage that encodes alone, against encode_batch_fast",
            _rates(n_bytes, found["encode"]),
            _rates(n_bytes, seconds["encode_batch_fast"]),
        )


def _rates(amount: float, seconds: list[float], scale: float = 1e6) -> Spread:
    return spread([amount / scale / s for s in seconds])


def _row(name: str, ours: Spread, theirs: Spread, bar: str = "", unit: str = " MB/s") -> Row:
    return Row(name, ours, theirs, ours.mid / theirs.mid, bar, unit)


def train(bench: Bench) -> Iterator[Row]:
    """BPE from files, against the library's trainer on texts in memory."""
    for name, n_chars, write in (
        ("texts of 500 kB", 500_000, write_texts),
        ("records of 2 kB", 2000, write_records),
    ):
        documents = documents_of(bench.text, n_chars)
        path = write(bench, documents)
        spans: list[float] = []

        def ours(path: Path = path, spans: list[float] = spans) -> None:
            found = prepared_s(bench, path, config.BpeTokenizer(vocab=VOCAB))
            spans.append(found["tokenizer"])

        def theirs(documents: list[str] = documents) -> None:
            library = tokenizers.Tokenizer(tokenizers.models.BPE())
            library.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
            alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
            trainer = tokenizers.trainers.BpeTrainer(
                vocab_size=VOCAB, min_frequency=2, initial_alphabet=alphabet, show_progress=False
            )
            library.train_from_iterator(documents, trainer)

        seconds = in_turn({"ours": ours, "theirs": theirs}, bench.rounds)
        n_bytes = sum(len(document.encode()) for document in documents)
        yield _row(
            f"{name}: BPE from files, train split, against train_from_iterator in memory",
            _rates(n_bytes, spans),
            _rates(n_bytes, seconds["theirs"]),
            "at least 0.95",
        )


def read(bench: Bench) -> Iterator[Row]:
    """The first reading of records, exact copies sought, against the standard library's readers."""
    documents = documents_of(bench.text, 300)[:300_000]
    for ending in ("jsonl", "csv", "tsv", "txt"):
        path = write_records(bench, documents, "tsv" if ending == "txt" else ending)
        fields: dict[str, Any] = {}
        if ending == "txt":
            path, fields = path.rename(path.with_suffix(".txt")), {"document": "line"}
        spans: list[float] = []

        def ours(
            path: Path = path, fields: dict[str, Any] = fields, spans: list[float] = spans
        ) -> None:
            spans.append(prepared_s(bench, path, config.ByteTokenizer(), **fields)["read"])

        def theirs(path: Path = path, ending: str = ending) -> None:
            with path.open(encoding="utf-8", newline="") as file:
                rows: Any = {
                    "jsonl": lambda: map(json.loads, file),  # noqa: B023
                    "csv": lambda: csv.reader(file),  # noqa: B023
                }.get(ending, lambda: (line.split("\t") for line in file))()  # noqa: B023
                for _ in rows:
                    pass

        seconds = in_turn({"ours": ours, "theirs": theirs}, bench.rounds)
        yield _row(
            f"{ending}: read, divided and looked through for copies, against parsed alone",
            _rates(len(documents), spans, 1e3),
            _rates(len(documents), seconds["theirs"], 1e3),
            unit="k records/s",
        )


def near(bench: Bench) -> Iterator[Row]:
    """Near copies, against datasketch and rensa called directly, and what is found."""
    originals = documents_of(bench.text, 2000)[:25_000]
    documents = planted(originals)
    path = write_records(bench, documents)
    spans: list[float] = []
    fields = {"near_duplicates": {"similarity": 0.8, "words": 5}}

    def ours() -> None:
        found = prepared_s(bench, path, config.ByteTokenizer(), **fields)
        spans.append(found["compare"])

    ways: dict[str, Callable[[], None]] = {"ours": ours}
    shares = {"datasketch": 10, "rensa": 1}
    for name, every in shares.items():
        if find_spec(name) is not None:
            peer = {"datasketch": by_datasketch, "rensa": by_rensa}[name]
            ways[name] = lambda peer=peer, every=every: peer(documents[::every])  # type: ignore[misc]
        else:
            print(f"near: {name} is not installed, and left out", flush=True)
    seconds = in_turn(ways, bench.rounds)
    for name in list(ways)[1:]:
        yield _row(
            f"near copies among documents of 2 kB, against {name}",
            _rates(len(documents), spans, 1e3),
            _rates(len(documents[:: shares[name]]), seconds[name], 1e3),
            "at least 10" if name == "datasketch" else "at least 1.0",
            "k documents/s",
        )
    data = config.Data(path=str(path), split={"kind": "hash"}, **fields)  # type: ignore[arg-type]
    made = prepare(data, config.ByteTokenizer(), cache=bench.folder / "cache")
    kept = []
    for split in made.splits.values():
        ids = np.split(split.tokens, split.doc_starts[1:])
        kept += [made.tokenizer.decode(part[:-1]) for part in ids]  # less the end
    f1 = found_f1(documents, kept)
    yield Row("near copies planted and found, F1", spread([f1]), None, f1, "at least 0.95")


def shingles(text: str) -> list[str]:
    """Runs of five words, as a person would write it."""
    words = re.findall(r"\w+", text.lower())
    return [" ".join(words[i : i + 5]) for i in range(max(1, len(words) - 4))]


def planted(originals: list[str]) -> list[str]:
    """The documents, and of a fifth of them a copy with up to 3% of its words changed."""
    chance = random.Random(1)
    copies = []
    for text in chance.sample(originals, len(originals) // 5):
        words = text.split(" ")
        for _ in range(int(len(words) * chance.choice([0, 0.005, 0.01, 0.02, 0.03]))):
            words[chance.randrange(len(words))] = chance.choice(words)
        copies.append(" ".join(words))
    return originals + copies


def found_f1(documents: list[str], kept: list[str]) -> float:
    """F1 of what is left out, against exact Jaccard similarities of at least 0.8 to what stays."""
    stay: dict[str, list[int]] = {}
    sizes: list[int] = []
    expected = Counter[str]()
    for text in documents:
        runs = set(shingles(text))
        shared = Counter(other for run in runs for other in stay.get(run, ()))
        if any(n >= 0.8 * (len(runs) + sizes[other] - n) for other, n in shared.items()):
            expected[text] += 1
            continue
        for run in runs:
            stay.setdefault(run, []).append(len(sizes))
        sizes.append(len(runs))
    gone = Counter(documents) - Counter(kept)
    return 2 * (gone & expected).total() / max(1, gone.total() + expected.total())


def by_datasketch(documents: list[str]) -> int:
    """How many documents have no near copy before them."""
    datasketch = import_module("datasketch")  # measured where it happens to be installed
    index = datasketch.MinHashLSH(threshold=0.8, num_perm=128)
    for number, text in enumerate(documents):
        made = datasketch.MinHash(num_perm=128)
        made.update_batch([run.encode() for run in set(shingles(text))])
        if not index.query(made):
            index.insert(number, made)
    return len(index.keys)


def by_rensa(documents: list[str]) -> int:
    """The same by the library whose sketches ours are."""
    import rensa

    index = rensa.RMinHashDeduplicator(threshold=0.8, num_perm=128, use_lsh=True)
    return sum(index.add_pairs((str(i), shingles(text)) for i, text in enumerate(documents)))


CHILD = """
import json, sys, threading, time
from pathlib import Path
from wellfit import config
from wellfit.data import prepare
path, cache, kind, near = sys.argv[1:]
def held():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))
before, peak, stages, now = held(), 0, {}, "start"
def watch():
    global peak
    while now != "end":
        seen = held()
        peak, stages[now] = max(peak, seen), max(stages.get(now, 0), seen)
        time.sleep(0.01)
def at_stage(at):
    global now
    now = at.stage
watcher = threading.Thread(target=watch, daemon=True)  # ends with a failure too
watcher.start()
tokenizer = config.BpeTokenizer(vocab=8192) if kind == "bpe" else config.ByteTokenizer()
data = config.Data(path=path, split={"kind": "tail", "val": 0.02}, near_duplicates=json.loads(near))
t0 = time.perf_counter()
prepare(data, tokenizer, cache=Path(cache), progress=at_stage)
took = time.perf_counter() - t0
now = "end"
watcher.join()
print(json.dumps({"before": before, "peak": peak, "stages": stages, "seconds": took}))
"""


def memory(bench: Bench) -> Iterator[Row]:
    """Peak memory of preparing beyond what importing takes, of a fifth of the text and of all."""
    for kind, near_copies in (("byte", "null"), ("bpe", "null"), ("byte", "{}")):
        peaks = []
        for share in (0.2, 1.0):
            documents = documents_of(bench.text[: int(len(bench.text) * share)], 2000)
            path = write_records(bench, documents)
            cache = bench.folder / "cache"
            words = [sys.executable, "-c", CHILD, str(path), str(cache), kind, near_copies]
            done = subprocess.run(words, capture_output=True, text=True, check=True)
            found = json.loads(done.stdout)
            peaks.append((found["peak"] - found["before"]) / 1e6)
            print(f"memory: {kind}, near {near_copies}, {share:.0%}: {found}", flush=True)
            shutil.rmtree(cache)
        size = f"{len(bench.text.encode()) / 1e6:,.0f} MB"
        what = f"{kind}, near copies" if near_copies != "null" else kind
        name = f"{what}: peak memory to prepare {size}, against a fifth of it"
        ratio, note = peaks[1] / peaks[0], f"in {found['seconds']:.0f} s"
        yield Row(name, spread(peaks[1:]), spread(peaks[:1]), ratio, "", " MB", note)


PARTS = {"encode": encode, "train": train, "read": read, "near": near, "memory": memory}


def main(words: list[str] | None = None) -> list[Row]:
    """Measure what was asked for, print the rows, and keep them."""
    parser = argparse.ArgumentParser(prog="python -m bench.data", description=__doc__)
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--megabytes", type=float, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="the table of docs/benchmarks.md")
    parser.add_argument("--smoke", action="store_true", help="as small as can be, and not kept")
    asked = parser.parse_args(words)
    n_bytes = 300_000 if asked.smoke else int(asked.megabytes * 1e6)
    rows: list[Row] = []
    parts = kept_parts("data")
    facts = {
        **about(usable_cores()),
        "tokenizers": tokenizers.__version__,
        "megabytes": asked.megabytes,
        "rounds": asked.rounds,
        "real": asked.data is not None,
    }
    with tempfile.TemporaryDirectory(prefix="wellfit-data-") as folder:
        rounds = 1 if asked.smoke else asked.rounds
        bench = Bench(some_text(asked.data, n_bytes), Path(folder), rounds)
        for name in asked.only.split(","):
            found = []
            for row in PARTS[name](bench):
                found.append(row)
                print(row.text(), flush=True)
            rows += found
            parts[name] = {"about": facts, "rows": [row.plain() for row in found]}
            if not asked.smoke:
                keep("data", parts)
    if asked.write and not asked.smoke:
        write_table("bench.data", tables("data"))
    return rows


if __name__ == "__main__":
    main()
