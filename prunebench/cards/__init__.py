"""Method cards: what there is to know of a method, without importing it."""
