"""The linear baseline: the mark to pass of a model that gives texts their labels or numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wellfit.diagnose.finding import Finding
from wellfit.report import measures

Known = Mapping[str, Any]

_OPENINGS = {
    "better": "Better than",
    "worse": "Worse than",
    "no difference seen": "Not surely better than",
}
_WAYS = {
    "ngrams": "model.kind: ngrams, which learns in seconds",
    "pretrained": "model.kind: pretrained, to start from a published model",
}
_AT_REST = ("well-fit", "overfit")  # more steps of the same model are not what to try


def beside_linear(finding: Finding, linear: Known, recipe: Known) -> Finding:
    """The verdict on fit, and how the model stands to a linear model on the texts of val.

    ``linear`` holds the baseline's metrics and ``against``: ours minus theirs by a bootstrap over
    the same texts (``evaluate.metric.compared``).  A model that rests below the baseline is
    underfit, for there was more to learn.
    """
    against = linear["against"]
    gain, (lo, hi), name = against["difference"], against["ci95"], against["metric"]
    if gain is None or lo is None:  # such as the correlation of a constant
        return finding
    theirs, text = linear["metrics"][name]["value"], measures.text_of(name)
    claim = (
        f"{_OPENINGS[against['verdict']]} a linear model that trains in seconds "
        f"({linear['name']}): {measures.name_of(name)} {text(theirs + gain)} against "
        f"{text(theirs)} on {against['n']:,} texts of val, {gain:+.3f} "
        f"(95%: {lo:+.3f} to {hi:+.3f})."
    )
    found = finding._replace(
        claim=f"{finding.claim} {claim}",
        evidence={**finding.evidence, "above_linear": gain, "above_linear_ci95": [lo, hi]},
    )
    return _behind(found, recipe) if against["verdict"] == "worse" else found


def _behind(finding: Finding, recipe: Known) -> Finding:
    """What to do about a model that loses."""
    kind, advice, change = recipe.get("model.kind"), finding.advice, finding.change
    ways = [way for name, way in _WAYS.items() if name != kind]
    better = f"Try {', or '.join(ways)}; or get more texts with labels."
    if finding.code in _AT_REST:
        advice = f"{better} {advice}"
        change = {} if kind == "ngrams" else {"model.kind": "ngrams"}
    else:
        advice = f"{advice} {better}"
    if finding.code == "well-fit":
        claim = finding.claim.replace("Well fit", "Underfit", 1)
        finding = finding._replace(code="underfit", claim=claim)
    return finding._replace(severity="warn", advice=advice, change=change)
