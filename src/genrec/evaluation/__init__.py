"""Offline evaluation: what each part of the system is worth, measured on the path that is served."""
