"""The answer: its lines from a re-ranked list, its exposure for the log, and why it is empty where nothing is left."""

from __future__ import annotations

import math

from genrec.data.store import Exposure
from genrec.data.traces import Trace
from genrec.domain import Recommendation, RecommendedItem
from genrec.pipeline.slate import Slate
from genrec.reranking.base import Ranked
from genrec.reranking.exploration import Drawn


def lines(ranked: Ranked, k: int) -> tuple[RecommendedItem, ...]:
    """The k best of a list as the lines of an answer."""
    return tuple(
        RecommendedItem(
            item=one.candidate.item,
            rank=rank,
            p_click=one.p_click,
            p_like=one.p_like,
            value=one.value,
            llm_score=one.llm_score,
            retriever_score=one.candidate.score,
            sources=tuple(one.candidate.sources),
            moved=one.moved,
        )
        for rank, one in enumerate(ranked.items[:k], start=1)
    )


def exposure_of(answer: Recommendation, now: float, drawn: Drawn | None, trace: Trace | None) -> Exposure:
    """What is logged of an answer that was given at this moment, with the odds of its list if it was drawn."""
    template = answer.provenance.template
    return Exposure(
        request_id=answer.request_id,
        user_id=answer.user_id,
        item_ids=tuple(line.item.id for line in answer.items),
        # In the clock of the log, and behind what the user did last: clicks on the list come after it.
        timestamp=math.nextafter(now, math.inf),
        template_id=template.id if template else None,
        template_version=template.version if template else None,
        template_hash=template.hash if template else None,
        propensities=tuple(drawn.place.tolist()) if drawn else None,
        prefix_propensities=tuple(drawn.prefix.tolist()) if drawn else None,
        assignment=answer.provenance.assignment,
        trace=trace,
    )


def nothing_left(slate: Slate, ranked: Ranked) -> str | None:
    """Why an answer has no item, in words; None where it has one."""
    if ranked.items:
        return None
    counts: dict[str, int] = {}
    for one in (*slate.candidates.dropped, *ranked.dropped):
        counts[one.reason] = counts.get(one.reason, 0) + 1
    if not counts:
        return "nothing is left to recommend: no candidates were found"
    said = ", ".join(f"{reason} ({count})" for reason, count in sorted(counts.items(), key=lambda pair: -pair[1]))
    return f"nothing is left to recommend; left out: {said}"
