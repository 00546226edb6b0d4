"""Fusion: what retrieval, P(click), popularity and the history say of a pool, and what the language model adds."""
