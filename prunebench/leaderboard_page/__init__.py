"""The leaderboard as a folder of pages that opens from disk: no network, no framework, readable without scripts."""

from .writer import write_page as write_page
