"""A first recipe for someone's data and machine, with the reason for each choice beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from wellfit.config.reading import Origin, plain, tree_of
from wellfit.config.writing import write_partly
from wellfit.units import format_bytes

FEW_DOCUMENTS = 200  # a share of 5% of fewer is a handful of them, or none
SMALL_BYTES = 2_000_000  # of less, a BPE vocabulary has too few examples of most of its tokens
MOST_CHARACTERS = 256  # alphabets have fewer; in more of them each is rare
SMALL_EXAMPLES_BYTES = 50_000  # words tell more of a label or an answer than characters do
LONGEST = 1024  # tokens of a context that is drafted; a longer one is for the user to ask for
BIG_BYTES = 50_000_000  # a model of 4 blocks reads less many times over within minutes

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
    gpu (its name, or None).  Facts that are absent are not used.
    """
    if task != "language-model":
        data_facts = {**data_facts, "are_examples": True}
    guesses = {key: Choice(*guess) for key, guess in (data_facts.get("guesses") or {}).items()}
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
        **_context(data_facts),
        **guesses,
    }
    if guesses.get("data.split.kind"):  # its keys are those of another kind of split
        mine = {key for key in choices if key.startswith("data.split.")} - guesses.keys()
        choices = {key: choice for key, choice in choices.items() if key not in mine}
    values = {key: choice.value for key, choice in choices.items()}
    notes = {key: choice.reason for key, choice in choices.items()}
    whole = plain(tree_of(values, Origin("default"), []))
    return _HEAD.format(name=name) + "\n" + write_partly(whole, notes)


def _data(facts: Mapping[str, Any]) -> dict[str, Choice]:
    n_documents, n_bytes = facts.get("n_documents") or 0, facts.get("n_bytes")
    many = "one document" if n_documents == 1 else f"{n_documents:,} documents"
    counted = [many] if n_documents else []
    counted += [format_bytes(n_bytes)] if n_bytes else []
    counted += [", ".join(facts["formats"])] if facts.get("formats") else []
    choices = {"data.path": Choice(facts["path"], "; ".join(counted))}
    choices |= {f"data.{k}": Choice(facts[k]) for k in ("text", "encoding") if facts.get(k)}
    kind = Choice("hash", "each document is on one side whole; more documents later do not move it")
    if 0 < n_documents < FEW_DOCUMENTS and not facts.get("are_examples"):
        reason = f"{many}: too few to choose among, so the end of the text is kept back"
        kind = Choice("tail", reason)
    return choices | {
        "data.split.kind": kind,
        "data.split.val": Choice(0.05),
        "data.split.test": Choice(0.05),
    }


def _tokenizer(facts: Mapping[str, Any]) -> dict[str, Choice]:
    n_bytes, distinct = facts.get("n_bytes"), facts.get("n_characters_distinct")
    small_bytes = SMALL_EXAMPLES_BYTES if facts.get("are_examples") else SMALL_BYTES
    if n_bytes is None or n_bytes >= small_bytes:
        return {
            "tokenizer.kind": Choice("bpe", "enough text to learn words and parts of words"),
            "tokenizer.vocab": Choice("auto"),
        }
    small = f"{format_bytes(n_bytes)} is little text for a learned vocabulary"
    if distinct is not None and distinct <= MOST_CHARACTERS:
        return {"tokenizer.kind": Choice("char", f"{small}; {distinct} distinct characters")}
    return {"tokenizer.kind": Choice("byte", f"{small}, and it has many distinct characters")}


def _context(facts: Mapping[str, Any]) -> dict[str, Choice]:
    """Of examples: as many tokens as nearly all have, by a guess of what a token holds."""
    if not (n_characters := facts.get("n_characters")):
        return {}
    per_token = 2 if _tokenizer(facts)["tokenizer.kind"].value == "bpe" else 1
    context = min(LONGEST, 32 * -(-(n_characters // per_token + 16) // 32))
    reason = f"99% of the examples have at most {n_characters:,} characters"
    return {
        "model.context": Choice(context, reason),
        "data.long": Choice("cut", "wellfit check counts the examples that lose something"),
    }


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
