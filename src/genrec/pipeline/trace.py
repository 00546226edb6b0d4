"""The trace of an answer: what is logged beside the list, so that it can be asked later why."""

from __future__ import annotations

from genrec import __version__
from genrec.data.traces import LeftOut, Trace, TracedItem
from genrec.domain import Recommendation
from genrec.pipeline.slate import Slate
from genrec.reranking.base import Ranked

LEFT_OUT = 20
"""So many of the best items that got a score and were not shown are kept in a trace."""
FILTERED = 10
"""So many of the best items that a filter refused are kept; those that were seen last, as the store knows them."""


def trace_of(answer: Recommendation, slate: Slate, ranked: Ranked) -> Trace:
    """What the stages did to the items of an answer, and to the best that are not in it."""
    before = {one.item.id: float(p) for one, p in zip(slate.candidates.items, slate.scores.p_click, strict=True)}
    sources = {one.item.id: one.sources for one in slate.candidates.items}
    shown = tuple(
        TracedItem(
            line.item.id,
            sources[line.item.id],
            line.retriever_score,
            line.p_click,
            line.p_like,
            line.value,
            line.llm_score,
            before[line.item.id] if line.llm_score is not None else None,
            line.moved,
        )
        for line in answer.items
    )
    made = answer.provenance
    return Trace(
        shown,
        left_out(answer, slate, ranked),
        {"pool": len(slate.pool), "candidates": made.candidates, "history": made.history_events},
        {
            "genrec": __version__,
            "workspace": made.workspace_version,
            "retriever": made.retriever,
            "ranker": made.ranker,
            "model": made.model,
            "adapter": made.adapter,
            "policy": made.policy,
            "fallback": made.fallback,
        },
    )


def left_out(answer: Recommendation, slate: Slate, ranked: Ranked) -> tuple[LeftOut, ...]:
    """The best that were scored and not shown, by P(click), and behind them the best that a filter refused."""
    shown = {line.item.id for line in answer.items}
    k = len(answer.items)
    behind = [
        LeftOut(one.id, "list", f"behind the {k} that were shown", one.p_click)
        for one in ranked.items
        if one.id not in shown
    ]
    before = {one.item.id: float(p) for one, p in zip(slate.candidates.items, slate.scores.p_click, strict=True)}
    dropped = [LeftOut(one.item_id, one.stage, one.reason, before.get(one.item_id)) for one in ranked.dropped]
    scored = sorted([*behind, *dropped, *slate.cut], key=lambda one: -(one.p_click or 0.0))[:LEFT_OUT]
    filtered = sorted(slate.candidates.dropped, key=lambda one: one.reason == "seen")[:FILTERED]
    return (*scored, *(LeftOut(one.item_id, one.stage, one.reason) for one in filtered))
