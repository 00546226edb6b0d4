"""What hostile data gains: attacks on the prompts of every template, and what they do to the order of a slate."""

from genrec.evaluation.injection.runner import run_injection
from genrec.evaluation.injection.schema import InjectionSuite

__all__ = ["InjectionSuite", "run_injection"]
