"""Findings from a run's record: what, on what evidence, and what to do."""

from wellfit.diagnose.finding import Finding, Severity, VerdictCode
from wellfit.diagnose.fit import Trajectory, verdict

__all__ = ["Finding", "Severity", "Trajectory", "VerdictCode", "verdict"]
