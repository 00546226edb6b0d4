"""Experiments: which arm a user is in, who answers it, and what was found."""
