"""Which columns hold what, and which files are which split: guesses from names and values.

Each guess says why it was made; where there is none, a placeholder says what to fill in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from wellfit.data.conversations import conversation_of
from wellfit.data.reading import LEAVE_OUT, Bad
from wellfit.data.sources import SourceFile, SplitName

FILL_IN = "FILL_IN"
Guesses: TypeAlias = dict[str, tuple[Any, str]]  # of a dotted key: its value, and why
Records: TypeAlias = Sequence[Mapping[str, Any]]

_PAIRS = (
    "prompt completion", "prompt response", "prompt answer", "question answer",
    "instruction output",
    "instruction response", "input output", "source target", "src tgt", "article highlights",
    "article summary", "document summary", "dialogue summary", "text summary", "query response",
)  # fmt: skip
_TEXT_PAIRS = ("sentence1 sentence2", "premise hypothesis", "question1 question2", "text1 text2")
_TEXTS = "text sentence content question review body comment tweet message utterance title".split()
_LABELS = "label labels class category sentiment intent topic emotion tags target".split()
_TARGETS = "score label target rating value similarity".split()
_TURNS = "messages conversations conversation turns dialogue".split()
_SPLITS = "split set fold subset partition".split()
_ROLES: dict[SplitName, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
_MOST_CLASSES = 100
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


class Roles(NamedTuple):
    """Files by the split that their names say they are."""

    train: tuple[Path, ...]
    val: tuple[Path, ...]
    test: tuple[Path, ...]


def columns_for(task: str, records: Records, text: str | None) -> Guesses:
    """The columns of a task's prompt, label or messages, and of its text."""
    names = {name.lower(): name for record in records for name in record}
    fill_in = (FILL_IN, f"fill in: the columns are {', '.join(names.values())}")
    match task:
        case "complete":
            return _pair(names) or dict.fromkeys(("task.prompt", "task.completion"), fill_in)
        case "chat":
            return _messages(records[0], names) or {"task.messages": fill_in}
        case "classify":
            guesses = _label(records, names) or {"task.label": fill_in}
            answers = {guesses["task.label"][0]}
        case _:
            guesses = _targets(records, names) or {"task.targets": fill_in}
            found = guesses["task.targets"][0]
            answers = {found} if isinstance(found, str) else set(found)
    if text is not None:
        return {**guesses, "data.text": (text, "")}
    return guesses | (_text(records, names, answers) or {"data.text": fill_in})


def split_column(records: Records) -> Guesses:
    """The split by a column, where one is called so and holds names of splits."""
    for name in (n for n in records[0] if n.lower() in _SPLITS):
        values = {str(record.get(name)) for record in records}
        by_role = {role: _of_role(values, role) for role in _ROLES}
        if not by_role["train"] or not (by_role["val"] or by_role["test"]):
            continue
        why = f"the column holds {', '.join(sorted(values)[:6])}"
        if not by_role["val"]:
            why += "; none is val, so test chooses the checkpoint and is no longer a fair test"
            by_role = {**by_role, "val": by_role["test"], "test": []}
        guesses: Guesses = {"data.split.kind": ("column", why), "data.split.column": (name, "")}
        for role, said in by_role.items():
            guesses[f"data.split.{role}"] = (said[0] if len(said) == 1 else said or None, "")
        return guesses
    return {}


def _of_role(values: set[str], role: SplitName) -> list[str]:
    return sorted(value for value in values if value.lower() in _ROLES[role])


def split_files(files: Sequence[SourceFile]) -> Roles | None:
    """Which files are train, val and test by name; of one train file, those beside it as well."""
    found: dict[str | None, list[Path]] = {}
    for file in files:
        found.setdefault(_role_of(file.path), []).append(file.path)
    if "train" not in found:
        return None
    for role in ("val", "test"):
        if role not in found:
            found[role] = [other for path in found["train"] for other in _beside(path, role)]
    if not found["val"] and not found["test"]:
        return None
    return Roles(tuple(found["train"]), tuple(found["val"]), tuple(found["test"]))


def _role_of(path: Path) -> SplitName | None:
    words = re.split(r"[^a-z]+", path.name.lower())
    return next((role for role, said in _ROLES.items() if set(said) & set(words)), None)


def _beside(path: Path, role: SplitName) -> Iterator[Path]:
    """Files that have the same name but for the split."""
    for word in _ROLES[role]:
        other = path.with_name(re.sub("training|train", word, path.name, flags=re.IGNORECASE))
        if other != path and other.is_file():
            yield other


def line_pattern(task: str, lines: Sequence[str]) -> tuple[str, str] | None:
    """How lines of plain text come apart, and why; None where they do not look it."""
    guess = _pattern(task, lines) if lines and task != "chat" else None
    if guess is None:
        return None
    fits = sum(re.fullmatch(guess[0], line) is not None for line in lines)
    return guess if fits > 0.99 * len(lines) else None


def _pattern(task: str, lines: Sequence[str]) -> tuple[str, str] | None:
    tabs = sum("\t" in line for line in lines) > 0.99 * len(lines)
    if task == "complete":
        pattern = r"(?P<prompt>[^\t]*)\t(?P<completion>.*)"
        return (pattern, "two parts, a tab between") if tabs else None
    first = [line.split("\t" if tabs else None, 1)[0] for line in lines if line.strip()]
    space, label = (r"\t", r"[^\t]+") if tabs else (r"\s", r"\S+")
    whole = rf"(?P<label>{label}){space}(?P<text>.*)"
    why = f"lines such as {_cut(lines[0])}"
    if task == "regress":
        return (whole, why) if all(_NUMBER.fullmatch(word) for word in first) else None
    coarse = {word.split(":")[0] for word in first}
    if all(":" in word for word in first) and _are_classes(len(coarse), len(first)):
        pattern = rf"(?P<label>[^:\s]+):{label}{space}(?P<text>.*)"
        return pattern, f"{why}; for the finer labels, {whole}"
    return (whole, why) if _are_classes(len(set(first)), len(first)) else None


def _cut(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "...")


def _are_classes(n_values: int, n: int) -> bool:
    return n_values <= min(_MOST_CLASSES, max(2, n // 3))


def _pair(names: Mapping[str, str]) -> Guesses:
    for pair in _PAIRS:
        given, answer = pair.split()
        if given in names and answer in names:
            is_alpaca = given == "instruction" and "input" in names
            asked = [names[given], *([names["input"]] if is_alpaca else [])]
            why = "by their names; the prompt ends in a line break"
            return {"task.prompt": (_lines(*asked), why), "task.completion": (names[answer], "")}
    if len(names) == 2:
        first, second = names.values()
        why = "the only two columns, in their order: look whether they are the right way round"
        return {"task.prompt": (_lines(first), why), "task.completion": (second, "")}
    return {}


def _lines(*columns: str) -> str:
    """The text in which each of these columns has its line."""
    return "".join("{" + column + "}\n" for column in columns)


def _messages(record: Mapping[str, Any], names: Mapping[str, str]) -> Guesses:
    for key in ("auto", *(names[name] for name in _TURNS if name in names)):
        try:
            return {"task.messages": (key, f"the records are {conversation_of(record, key).form}")}
        except Bad as bad:
            if bad.kind != "no conversation":
                why = f"the first record is not used as it is: {bad}. {LEAVE_OUT}"
                return {"task.messages": ("auto", why)}
    return {}


def _label(records: Records, names: Mapping[str, str]) -> Guesses:
    name = next((names[n] for n in _LABELS if n in names), None)
    why = "by its name"
    if name is None:
        few = [c for c in names.values() if c.lower() not in _SPLITS and _has_classes(records, c)]
        if len(few) != 1:
            return {}
        name, why = few[0], "the only column with few different values"
    several = any(isinstance(record.get(name), list) for record in records)
    guesses: Guesses = {"task.label": (name, why)}
    return guesses | ({"task.several": (True, "the labels are lists")} if several else {})


def _has_classes(records: Records, name: str) -> bool:
    values = [record.get(name) for record in records]
    if not all(isinstance(value, (str, int)) for value in values):
        return False
    if _are_numbers(records, name) and any("." in str(value) for value in values):
        return False  # a measure, not a class
    return 1 < len(set(values)) and _are_classes(len(set(values)), len(values))


def _targets(records: Records, names: Mapping[str, str]) -> Guesses:
    numbers = [n for n in names.values() if not _is_id(n) and _are_numbers(records, n)]
    named = [n for n in numbers if n.lower() in _TARGETS]
    if named or len(numbers) == 1:
        why = "by its name" if named else "the only column of numbers"
        return {"task.targets": ((named or numbers)[0], why)}
    why = "all columns of numbers; take out what is not to be learned"
    return {"task.targets": (numbers, why)} if numbers else {}


def _is_id(name: str) -> bool:
    return re.search(r"(^|_)(id|idx|index)$", name.lower()) is not None


def _are_numbers(records: Records, name: str) -> bool:
    values = [record.get(name) for record in records]
    texts = [value for value in values if isinstance(value, str)]
    are_read = all(isinstance(v, (int, float, str)) and not isinstance(v, bool) for v in values)
    return are_read and all(_NUMBER.fullmatch(text) for text in texts)


def _text(records: Records, names: Mapping[str, str], answers: set[str]) -> Guesses:
    for pair in _TEXT_PAIRS:
        one, other = pair.split()
        if one in names and other in names:
            return {"data.text": (_lines(names[one], names[other])[:-1], "by their names")}
    for name in _TEXTS:
        if name in names and names[name] not in answers:
            return {"data.text": (names[name], "by its name")}
    lengths = {
        name: sum(len(str(record.get(name))) for record in records)
        for name in names.values()
        if name not in answers
        and all(isinstance(record.get(name), str) for record in records)
        and not _are_numbers(records, name)
    }
    longest = max(lengths, key=lambda name: lengths[name], default=None)
    return {"data.text": (longest, "the longest texts")} if longest else {}
