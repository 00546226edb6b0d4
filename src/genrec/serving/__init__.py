"""HTTP serving on vLLM's own server."""
