"""Engines, one file each: what runs a language model."""
