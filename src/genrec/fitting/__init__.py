"""Fitting a workspace."""
