"""Statistics of what was measured: numbers and their spread, no opinions."""

from wellfit.probe.bootstrap import DRAWS, Interval, interval, mean_draws, resamples, units_of

__all__ = ["DRAWS", "Interval", "interval", "mean_draws", "resamples", "units_of"]
