"""Kinds of facts, one file each."""
