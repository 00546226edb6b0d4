"""Suites: a file says what to measure, on which data, and what must hold; a run leaves figures, plots and a verdict."""
