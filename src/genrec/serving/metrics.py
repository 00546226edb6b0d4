"""Prometheus metrics of the recommender, beside the engine's own at /metrics."""

from __future__ import annotations

from contextlib import AbstractContextManager

from prometheus_client import Counter, Gauge, Histogram

from genrec.domain import Recommendation

_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32)
_answers = Counter("genrec_recommendations", "Answers by policy and fallback.", ["policy", "fallback"])
_stages = Histogram("genrec_stage_seconds", "Wall time of each stage of an answer.", ["stage"], buckets=_SECONDS)
_tokens = Counter("genrec_prompt_tokens", "Prompt tokens that the language model computed for rankings.")
_events = Counter("genrec_events", "New events stored.")
_in_flight = Gauge("genrec_in_flight", "Recommendations being made.")


def observe(answer: Recommendation) -> None:
    """Counts an answer."""
    _answers.labels(answer.provenance.policy, answer.provenance.fallback or "none").inc()
    _tokens.inc(answer.provenance.usage.computed)
    for stage, milliseconds in answer.provenance.stage_ms.items():
        _stages.labels(stage).observe(milliseconds / 1000)


def events(count: int) -> None:
    """Counts stored events."""
    _events.inc(count)


def in_flight() -> AbstractContextManager[None]:
    """Counts a recommendation while it is being made."""
    return _in_flight.track_inprogress()
