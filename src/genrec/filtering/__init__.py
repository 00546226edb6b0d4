"""Rules that keep an item out of an answer, each with its reason."""
