"""Figures of views, drawn with matplotlib: a file per figure."""
