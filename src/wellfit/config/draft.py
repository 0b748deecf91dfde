"""A first recipe for someone's data and machine, with the reason for each choice beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from wellfit.config.fields import show
from wellfit.config.recipe import Recipe
from wellfit.config.structure import kind_of, one_of, variants
from wellfit.config.suggest import nearest
from wellfit.config.writing import write_partly
from wellfit.errors import ConfigError
from wellfit.units import format_bytes

# Fewer documents than this and a share of 5% is a handful of them, or none.
FEW_DOCUMENTS = 200
# Below this a BPE vocabulary would have too few examples of most of its tokens.
SMALL_BYTES = 2_000_000
# Alphabets have fewer; more is a script or a mixture in which each character is rare.
MOST_CHARACTERS = 256
# Text that a model of 4 blocks reads many times over within minutes.
BIG_BYTES = 50_000_000

_HEAD = """\
# A Wellfit recipe.  What is not written here has its default:
#   wellfit config explain {name}   every value, and where it comes from
#   wellfit check {name}            audit the data, take one step, tell time and memory
#   wellfit train {name}            train; any key can be set there, as in train.seed=2
"""


class Choice(NamedTuple):
    """A value of the draft, and why."""

    value: Any
    reason: str = ""


def draft(
    data_facts: Mapping[str, Any],
    machine_facts: Mapping[str, Any],
    task: str = "language-model",
    *,
    name: str = "RECIPE",
) -> str:
    """A commented recipe for data and a machine of which these facts are known.

    ``data_facts``: path, n_bytes, n_documents, n_characters_distinct, formats, and where they
    differ from the defaults, text (the column) and encoding.  ``machine_facts``: cores,
    memory_bytes, gpu (its name, or None).  Facts that are absent are not used.

    Raises ``ConfigError`` for a task that is not on offer.
    """
    kinds = [str(kind_of(v)) for v in variants(Recipe.model_fields["task"].annotation)]
    if task not in kinds:
        near = nearest(task, kinds)
        hint = f"did you mean {near}?" if near else f"write --task {kinds[0]}"
        raise ConfigError([f"--task {task}: {show(task)} is not {one_of(kinds)}; {hint}"])
    choices = {
        "task.kind": Choice(task),
        **_data(data_facts),
        **_tokenizer(data_facts),
        **_size(data_facts, machine_facts),
        "train.seed": Choice(1),
        "optim.kind": Choice("muon"),
        "schedule.kind": Choice("linear"),
        "regularize.dropout": Choice(0.0, "raise to 0.1 or 0.2 if the verdict is overfit"),
        "stop.patience": Choice(5),
        "checkpoint.every": Choice("5 minutes"),
    }
    notes = {key: choice.reason for key, choice in choices.items() if choice.reason}
    return _HEAD.format(name=name) + "\n" + write_partly(_nested(choices), notes)


def _data(facts: Mapping[str, Any]) -> dict[str, Choice]:
    n_documents, n_bytes = facts.get("n_documents") or 0, facts.get("n_bytes")
    many = "one document" if n_documents == 1 else f"{n_documents:,} documents"
    counted = [many] if n_documents else []
    counted += [format_bytes(n_bytes)] if n_bytes else []
    counted += [", ".join(facts["formats"])] if facts.get("formats") else []
    choices = {"data.path": Choice(facts["path"], "; ".join(counted))}
    for key in ("text", "encoding"):
        if facts.get(key):
            choices[f"data.{key}"] = Choice(facts[key])
    few = 0 < n_documents < FEW_DOCUMENTS
    reason = "each document is on one side whole; more documents later do not move it"
    if few:
        reason = f"{many}: too few to choose among, so the end of the text is kept back"
    return choices | {
        "data.split.kind": Choice("tail" if few else "hash", reason),
        "data.split.val": Choice(0.05),
        "data.split.test": Choice(0.05),
    }


def _tokenizer(facts: Mapping[str, Any]) -> dict[str, Choice]:
    n_bytes, distinct = facts.get("n_bytes"), facts.get("n_characters_distinct")
    if n_bytes is None or n_bytes >= SMALL_BYTES:
        return {
            "tokenizer.kind": Choice("bpe", "enough text to learn words and parts of words"),
            "tokenizer.vocab": Choice("auto"),
        }
    small = f"{format_bytes(n_bytes)} is little text for a learned vocabulary"
    if distinct is not None and distinct <= MOST_CHARACTERS:
        return {"tokenizer.kind": Choice("char", f"{small}; {distinct} distinct characters")}
    return {"tokenizer.kind": Choice("byte", f"{small}, and it has many distinct characters")}


def _size(facts: Mapping[str, Any], machine: Mapping[str, Any]) -> dict[str, Choice]:
    n_bytes, gpu, cores = facts.get("n_bytes") or 0, machine.get("gpu"), machine.get("cores")
    where = str(gpu) if gpu else f"{cores} cores and no GPU" if cores else "no GPU"
    is_big = n_bytes >= BIG_BYTES
    depth = (12 if is_big else 8) if gpu else (6 if is_big else 4)
    amount = f"{format_bytes(n_bytes)} of text, {where}" if n_bytes else where
    return {
        "model.depth": Choice(depth, amount),
        "train.budget": Choice("30 minutes" if is_big else "10 minutes"),
    }


def _nested(choices: Mapping[str, Choice]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, choice in choices.items():
        *sections, last = key.split(".")
        inner = values
        for section in sections:
            inner = inner.setdefault(section, {})
        inner[last] = choice.value
    return values
