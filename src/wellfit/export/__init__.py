"""Trained models in the formats of other tools."""

from wellfit.export.formats import export_run
from wellfit.export.hf import ExportReport

__all__ = ["ExportReport", "export_run"]
