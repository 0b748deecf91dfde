"""One thing a diagnosis noticed."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

Severity = Literal["info", "warn", "stop"]
VerdictCode = Literal[
    "well-fit", "overfit", "underfit", "undertrained", "diverged", "no-signal", "undecided"
]


class Finding(NamedTuple):
    """What, how sure, what it rests on, what to try."""

    code: str  # stable, for scripts
    severity: Severity
    claim: str  # one sentence, in the user's terms
    evidence: dict[str, Any]  # the numbers the claim rests on
    advice: str  # one thing to try, and what it costs
    change: dict[str, Any]  # the advice as recipe keys and values; may be empty
    confidence: float | None = None  # 0..1; None where nothing calibrated it
    source: str = ""  # paper, or the part of the documentation, behind the rule

    def as_dict(self) -> dict[str, Any]:
        """As plain JSON, for the record and the command line."""
        return self._asdict()
