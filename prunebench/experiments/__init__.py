"""Figures and tables of papers as data: what is run, what it ends in, and what was published."""

PROFILES = ("cpu", "gpu", "paper")  # how much of a recipe is run
