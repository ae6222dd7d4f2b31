"""Scores and selections outside of a run: arrays, files, training loops and data sets of others."""
