"""Language models: one module for each engine."""
