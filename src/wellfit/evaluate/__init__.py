"""Losses with their intervals, metrics, and the baselines they are held against."""
