"""Rankers: one module for each reading of the model."""
