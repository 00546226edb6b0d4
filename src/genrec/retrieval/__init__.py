"""Retrievers: one module for each."""
