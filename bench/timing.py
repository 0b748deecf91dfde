"""What all measurements share: where they ran, how they are summed up, and how they are kept."""

from __future__ import annotations

import json
import os
import platform
import re
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import torch

from wellfit.plan import this_machine

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).resolve().parent / "results"


class Spread(NamedTuple):
    """The middle of several measurements, and between what half of them lie."""

    low: float
    mid: float
    high: float
    n: int

    def text(self, unit: str = "") -> str:
        """``0.52 s (0.51 to 0.55)``."""
        inside = f" ({_short(self.low)} to {_short(self.high)})" if self.n > 1 else ""
        return f"{_short(self.mid)}{unit}{inside}"


def spread(values: Sequence[float]) -> Spread:
    """Quartiles of some measurements."""
    if len(values) < 2:
        return Spread(values[0], values[0], values[0], len(values))
    low, mid, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(low, mid, high, len(values))


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


class Row(NamedTuple):
    """One figure of ours against one that it is held to."""

    name: str
    ours: Spread
    theirs: Spread | None
    ratio: float  # as the bar counts it
    bar: str  # "at least 0.5", or "" for a row that none is set for
    unit: str = ""
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the bar is met; None where there is none."""
        if not self.bar:
            return None
        how, _, number = self.bar.rpartition(" ")
        return self.ratio >= float(number) if how == "at least" else self.ratio <= float(number)

    @staticmethod
    def of(plain: dict[str, Any]) -> Row:
        """A row as ``plain`` has it."""
        sides = {k: plain[k] and Spread(**plain[k]) for k in ("ours", "theirs")}
        return Row(**{**{k: plain[k] for k in Row._fields}, **sides})

    def plain(self) -> dict[str, Any]:
        """As JSON can hold it."""
        sides = {"ours": self.ours._asdict(), "theirs": self.theirs and self.theirs._asdict()}
        return {**self._asdict(), **sides, "met": self.met}

    def cells(self) -> str:
        """As a row of a table in markdown."""
        met = {True: "met", False: "**missed**", None: ""}[self.met]
        theirs = self.theirs.text(self.unit) if self.theirs else ""
        ours = self.ours.text(self.unit) + (f"; {self.note}" if self.note else "")
        return f"| {self.name} | {ours} | {theirs} | {self.counted} | {self.bar} | {met} |\n"

    @property
    def counted(self) -> str:
        """The ratio in words; 0 and infinity stand for what was not reached at all."""
        return f"{self.ratio:.3g}" if 0 < self.ratio < float("inf") else "not reached"

    def text(self) -> str:
        """As a line to read."""
        met = {True: "met", False: "MISSED", None: ""}[self.met]
        theirs = f" against {self.theirs.text(self.unit)}" if self.theirs else ""
        bar = f"; bar: {self.bar}" if self.bar else ""
        note = f"  ({self.note})" if self.note else ""
        return f"{self.name}: {self.ours.text(self.unit)}{theirs}: {self.counted}{bar} {met}{note}"


def in_turn(ways: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each way, A B A B, so that whatever disturbs the machine disturbs all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            t0 = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - t0)
    return seconds


def matmul_ceiling(threads: int) -> dict[str, float]:
    """TFLOP/s of square products of this machine, the best of five, by dtype and size."""
    torch.set_num_threads(threads)
    found = {}
    for dtype in (torch.bfloat16, torch.float32):
        for n in (512, 1024, 2048):
            a, b = (torch.randn(n, n).to(dtype) for _ in range(2))
            a @ b
            best = min(in_turn({"": lambda a=a, b=b: a @ b}, 5)[""])  # type: ignore[misc]
            found[f"{str(dtype).removeprefix('torch.')} {n}"] = 2 * n**3 / best / 1e12
    return found


def about(threads: int) -> dict[str, Any]:
    """Where and with what something was measured."""
    machine = this_machine()
    return {
        "machine": machine.summary(),
        "lscpu": _said("lscpu"),
        "gpu": _said("nvidia-smi", "-L"),
        "threads": threads,
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "torch": torch.__version__,
        # without where its compiler stood on the machine that built it
        "build": re.sub(r"CXX_COMPILER=[^,]*, ", "", torch.__config__.show()),
        "commit": _said("git", "rev-parse", "--short", "HEAD").strip(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _said(*words: str) -> str:
    try:
        return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        return ""


def _kept(name: str) -> Path:
    """Where this machine's results of a name are: speed-intel-xeon-processor-amx.json."""
    machine = this_machine()
    cpu = machine.cpu.lower().replace("(r)", "")
    cpu += " amx" if "amx_bf16" in machine.cpu_flags else ""
    return RESULTS / f"{name}-{re.sub('[^a-z0-9]+', '-', cpu)}.json"


def keep(name: str, parts: dict[str, Any]) -> Path:
    """Write this machine's results beside those of others; its own of the same name go."""
    RESULTS.mkdir(exist_ok=True)
    path = _kept(name)
    path.write_text(json.dumps(parts, indent=1) + "\n")
    return path


def kept_parts(name: str) -> dict[str, Any]:
    """What ``keep`` wrote here last under this name, by part; nothing where it never did."""
    path = _kept(name)
    return json.loads(path.read_text()) if path.exists() else {}


def tables(name: str) -> str:
    """A table of each machine that has results of this name."""
    paths = sorted(RESULTS.glob(f"{name}-*.json"))
    return "\n".join(_table(json.loads(path.read_text())) for path in paths)


def _table(parts: dict[str, Any]) -> str:
    """Every row of every part, in markdown, and where it was measured."""
    rows = "| row | ours | theirs | ratio | bar | |\n| --- | --- | --- | --- | --- | --- |\n"
    wheres: dict[str, list[str]] = {}
    for name, part in parts.items():
        rows += "".join(Row.of(row).cells() for row in part["rows"])
        about = part["about"]
        where = f"{about['machine']}, commit {about['commit']}, {about['at'][:10]}"
        wheres.setdefault(where, []).append(name)
    told = "; ".join(f"{', '.join(names)}: {where}" for where, names in wheres.items())
    return f"Measured on {told}.\n\n{rows}"


def write_table(name: str, rows: str) -> None:
    """Put a table between the comments of its name in docs/benchmarks.md."""
    page = ROOT / "docs" / "benchmarks.md"
    begin, end = f"<!-- {name} begin -->\n", f"<!-- {name} end -->\n"
    head, _, rest = page.read_text(encoding="utf-8").partition(begin)
    page.write_text(head + begin + rows + end + rest.partition(end)[2], encoding="utf-8")


def run(command: list[str], folder: Path = ROOT, *, threads: int | None = None) -> str:
    """What a command prints; ends this program with what went wrong where it fails."""
    more = {"OMP_NUM_THREADS": str(threads)} if threads else {}
    paths = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    env = {**os.environ, "PYTHONPATH": paths, **more}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=env)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return done.stdout


def run_json(command: list[str], folder: Path = ROOT) -> dict[str, Any]:
    """The JSON that a command prints last."""
    said = run(command, folder)
    found: dict[str, Any] = json.loads(said[said.rindex("\n{") + 1 :] if "\n{" in said else said)
    return found
