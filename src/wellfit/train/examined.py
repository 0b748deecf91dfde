"""What ``wellfit check`` tells of a task's examples: what is lost, and what would spoil the run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from wellfit.data import Sources, places_of, too_long
from wellfit.train.job import Job

_NAMED = 100
_SHOWN = 5
_FEW_TEXTS = 5  # of a class in train
_MUCH_LOST_FRAC = 0.05


def inspected(job: Job, sources: Sources) -> dict[str, Any]:
    """The audit of the data; of examples also what this context holds, and what files they are."""
    audit, context = dict(job.data.audit), job.shape.context
    if "examples" not in audit:
        return audit
    long = {}
    for name, split in job.data.splits.items():
        over = too_long(split, context)
        long[name] = {**job.fitted[name], "at": places_of(sources, split, over[:_NAMED])}
    formats = sorted({file.format for file in sources.files})
    more = {"formats": formats, "context": context, "long": job.recipe.data.long, "fitted": long}
    return {**audit, "examples": {**audit["examples"], **more}}


def example_problems(audit: Mapping[str, Any]) -> Iterator[str]:
    """What would spoil training on these examples, each with what to do."""
    if (found := audit.get("examples")) is None:
        return
    for split, counts in found.get("learned", {}).items():
        if counts["without"]:
            at = _some(counts["without_at"], counts["without"])
            yield f"{counts['without']:,} examples of {split} have nothing to learn ({at})"
        answers = found["fitted"][split]["examples"] - counts["without"]
        if (lacking := answers - counts["ends"]) > 0:
            yield (
                f"{lacking:,} answers of {split} do not end in a token that is learned, so the "
                "model would not stop: write task.template=chatml"
            )
    for split, counts in found["fitted"].items():
        share = (counts["cut"] + counts["dropped"]) / counts["examples"]
        if share > _MUCH_LOST_FRAC:
            what = "cut" if counts["cut"] else "left out"
            longest = found["lengths"][split]["longest"]
            yield (
                f"{share:.0%} of the examples of {split} are {what}, because they are longer than "
                f"{found['context']} tokens (the longest has {longest:,}): raise model.context"
            )
    yield from _class_problems(found.get("labels", {}))


def _class_problems(labels: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    few = {name: n for name, n in labels.get("train", {}).items() if n < _FEW_TEXTS}
    if few:
        names = _some([f"{name!r} {n}" for name, n in few.items()], len(few))
        yield (
            f"classes with fewer than {_FEW_TEXTS} texts in train ({names}) cannot be learned: "
            "add texts, or leave them out"
        )
    if unseen := [repr(name) for name, n in labels.get("val", {}).items() if not n]:
        yield (
            f"val has no text of {_some(unseen, len(unseen))}, so nothing tells how well that is "
            "learned: raise data.split.val, or add texts"
        )


def _some(names: list[str], n: int) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {n - _SHOWN:,} more" if n > _SHOWN else "")
