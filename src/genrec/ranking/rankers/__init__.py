"""Rankers, one file each: a way to read an order out of a language model."""
