"""The contract, as checks that anyone can run on a scorer or selector."""

from .contract import EXACT, FINITE, SIGNED, Subject, checks, entry_of, options_of, skipped

__all__ = ["EXACT", "FINITE", "SIGNED", "Subject", "checks", "entry_of", "options_of", "skipped"]
