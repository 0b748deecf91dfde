"""Statistics of what was measured: numbers and their spread, no opinions."""

from wellfit.probe.bootstrap import Interval, Units, interval, mean_draws, units_of

__all__ = ["Interval", "Units", "interval", "mean_draws", "units_of"]
