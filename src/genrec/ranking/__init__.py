"""Ranking by a language model: prompts in, an order of the slate out."""
