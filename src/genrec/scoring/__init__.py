"""Scoring: P(click) and P(like) of a pool of candidates, by one model with two heads."""
