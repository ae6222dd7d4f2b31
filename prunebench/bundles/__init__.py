"""Bundles: the records of a store packed for others, who check every claim in them before it stands on a board."""
