"""Trained models in the formats of other tools."""

from wellfit.export.hf import ExportReport, export_run

__all__ = ["ExportReport", "export_run"]
