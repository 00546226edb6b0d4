"""Catalogue, event log, sources, splits."""
