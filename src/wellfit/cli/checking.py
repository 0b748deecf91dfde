"""What ``wellfit check`` found, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from wellfit.cli.tables import plain_console, table
from wellfit.report import measures, words
from wellfit.units import format_bytes, format_count, format_span

_CLASSES = 12
_HEAD, _TAIL = 300, 150  # characters of a longer text that are shown


def check_table(found: Mapping[str, Any]) -> None:
    """What a recipe would cost, what its data holds, and what is wrong with it."""
    console, audit = plain_console(), found["audit"]
    parts = {"the run": _run(found), "the data": _data(audit)}
    if "examples" in audit:
        parts["the examples"] = _examples(audit["examples"])
    for title, rows in parts.items():
        console.print(table(title, "", rows=rows))
        console.print()
    if found["preview"]:
        _show_examples(found["preview"], console)
    for problem in found["problems"]:
        console.print(f"problem: {problem}", soft_wrap=True)
    if not found["problems"]:
        console.print("no problems found")


def _run(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    per = measures.per_of(found["loss_unit"])
    pace = f"{found[f'{per.split()[-1]}s_per_s']:,.0f} {per}s/s"
    yield "parameters", format_count(found["parameters"])
    yield "steps", f"{found['steps']:,} ({found['epochs']:.2g} epochs)"
    yield "time", f"{format_span(found['seconds'])}, {pace}"
    yield "memory", format_bytes(found["peak_memory_bytes"])
    yield "disk", format_bytes(found["disk_bytes"])


def _data(audit: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    files, skipped, copies = audit["files"], audit["skipped"], audit["duplicates"]
    ignored = sum(files["ignored"].values())
    passed = f"; {ignored:,} ignored ({_listed(files['ignored'])})" if ignored else ""
    yield "files", f"{files['read']:,} ({format_bytes(files['bytes'])}){passed}"
    what = "examples" if "examples" in audit else "documents"
    for name, n in audit["splits"].items():
        per = f"{n['bytes_per_token']:.2f} bytes a token"
        yield name, f"{n['documents']:,} {what}, {n['tokens']:,} tokens, {per}"
    left = {**skipped["kinds"], "empty": skipped["empty"], "in no split": skipped["left_out"]}
    if any(left.values()):
        yield "left out", _listed(left, zeros=False) + _some(skipped["at"])
    if audit["column"]:
        yield "split column", _listed(audit["column"])
    yield "copies in a split", _listed(copies["within"], zeros=False) or "none"
    if copies["across"]:
        across = _listed(copies["across"], zeros=False)
        done = " (dropped)" if copies["dropped"] and across else ""
        yield "also in a later split", (across or "none") + done
    if (near := audit.get("near_duplicates")) is not None:
        alike = [f"{Path(p['left_out']).name} like {Path(p['kept']).name}" for p in near["pairs"]]
        yield "near copies left out", (_listed(near["left_out"]) or "none") + _some(alike)
    shares = {k: f"{o['share']:.2%}" for k, o in audit["overlap"].items()}
    if shares:
        yield "word for word in train", _listed(shares)
    strange = {k: repr(c) for k, c in audit["characters"]["not_in_train"].items() if c}
    if strange:
        yield "characters not in train", _listed(strange)
    made = audit["tokenizer"]
    yield "tokenizer", f"{made['kind']}, {made['vocab_size']:,} tokens"


def _examples(audit: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    said = ", ".join(audit["formats"])
    forms = _listed(audit["forms"]) if "forms" in audit else ""
    yield "format", f"{said}: {forms}" if forms else said
    if "template" in audit:
        yield "template", str(audit["template"])
    for name, n in audit.get("learned", {}).items():
        without = f"; {n['without']:,} with none" if n["without"] else ""
        at = _some(n["without_at"]) if n["without"] else ""
        counted = f"{n['share']:.1%} of the tokens, {n['ends']:,} ends"
        yield f"learned in {name}", counted + without + at
    yield "end of text", audit.get("end", "") or "none"
    for name, n in audit["lengths"].items():
        told = f"median {n['median']:,}, 99% up to {n['p99']:,}, longest {n['longest']:,}"
        yield f"tokens in {name}", told
    for name, n in audit["fitted"].items():
        if lost := _listed({k: n[k] for k in ("cut", "dropped", "unlearned")}, zeros=False):
            yield f"too long in {name}", f"{lost} of {n['examples']:,}{_some(n['at'])}"
    if not any(n["at"] for n in audit["fitted"].values()):
        yield "too long", f"none, for a context of {audit['context']:,} tokens"
    for name, counts in audit.get("labels", {}).items():
        yield f"labels in {name}", _listed(counts)
    for name, each in audit.get("targets", {}).items():
        of = (f"{k} {t['mean']:.4g} ({t['lowest']:g} to {t['highest']:g})" for k, t in each.items())
        yield f"mean in {name}", ", ".join(of)
    if "conflicts" in audit:
        yield "one text, two answers", _listed(audit["conflicts"], zeros=False) or "none"


def _listed(counts: Mapping[str, Any], *, zeros: bool = True) -> str:
    """Names with their numbers; of many, the largest."""
    items = [item for item in counts.items() if zeros or item[1]]
    if len(items) > _CLASSES:
        items.sort(key=lambda item: -item[1])
    shown = [f"{name or 'nothing'} {_number(n)}" for name, n in items[:_CLASSES]]
    more = [f"and {len(items) - _CLASSES:,} more"] if len(items) > _CLASSES else []
    return ", ".join(shown + more)


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _some(places: Sequence[str]) -> str:
    """The first few places in brackets, by the names of the files alone."""
    names = ", ".join(Path(place).name for place in places[:3])
    return f" ({names}{' ...' if len(places) > 3 else ''})" if names else ""


def _show_examples(shown: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Examples as trained; what is given and not learned is dim, or in brackets."""
    dims = console.is_terminal and not console.no_color and not console.is_dumb_terminal
    is_labelled = not any(learned for example in shown for _, learned in example["pieces"])
    mark = "dim" if dims else "in [[ ]]"
    how = "the text, and its label" if is_labelled else f"what is given, not learned, is {mark}"
    console.print(f"examples as trained ({how})")
    for example in shown:
        console.print(f"\n{example['place']}")
        text = Text()
        for piece, learned in example["pieces"]:
            plain = learned or is_labelled
            said = _short(piece)
            text.append(said if plain or dims else f"[[{said}]]", "" if plain else "dim")
        console.print(text)
        if example["labels"]:
            console.print(f"-> {', '.join(example['labels'])}")
    console.print()


def _short(text: str) -> str:
    """The text without what would steer a terminal, and without its middle if it is long."""
    text = words.harmless(text)
    left = len(text) - _HEAD - _TAIL
    return text if left <= 0 else f"{text[:_HEAD]} ... {left:,} characters ... {text[-_TAIL:]}"
