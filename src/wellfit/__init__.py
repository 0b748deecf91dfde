"""Wellfit trains, watches, explains and tests language models from one recipe file."""

__version__ = "0.1.0"
