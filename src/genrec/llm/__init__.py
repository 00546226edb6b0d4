"""Language models: one module for each engine."""

from genrec.llm.loading import load

__all__ = ["load"]
