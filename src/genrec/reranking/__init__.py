"""From a ranking to the final list."""
