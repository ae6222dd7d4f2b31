"""The command line: each command parses, calls one library function, prints. Nothing is computed here."""

from .program import cli, main

__all__ = ["cli", "main"]
