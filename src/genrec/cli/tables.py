"""Recommendations as tables for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from rich.markup import escape
from rich.table import Table

from genrec.domain import Recommendation


def recommendation_table(answer: Recommendation, reasons: Mapping[str, Sequence[str]] | None = None) -> Table:
    """Rank, title, P(click), P(like), what model and retriever said, where the item came from (or why), and its moves.

    `reasons` are those of the items by their ids.
    """
    made = answer.provenance
    agreement = "" if answer.agreement is None else f", agreement of model and P(click) {answer.agreement:+.2f}"
    by = f"fallback: {made.fallback}" if made.fallback else f"{made.ranker} on {made.model}"
    table = Table(title=f"{by}, policy {made.policy}{agreement}", title_justify="left", title_style="bold")
    if answer.nothing_left:
        table.caption = answer.nothing_left
    likes = any(line.p_like is not None for line in answer.items)
    # The value says more than P(click) only where the objective is another.
    values = any(line.value != line.p_click for line in answer.items)
    moved = any(line.moved for line in answer.items)
    columns: tuple[tuple[str, Literal["left", "right"], bool], ...] = (
        ("", "right", True),
        ("title", "left", True),
        ("value", "right", values),
        ("P(click)", "right", True),
        ("P(like)", "right", likes),
        ("model", "right", True),
        ("retrieval", "right", True),
        ("why" if reasons else "from", "left", True),
        ("moved", "left", moved),
    )
    for name, justify, shown in columns:
        if shown:
            table.add_column(name, justify=justify)
    for line in answer.items:
        cells = (
            str(line.rank),
            escape(line.item.title),
            f"{line.value:.3f}",
            f"{line.p_click:.3f}",
            "" if line.p_like is None else f"{line.p_like:.2f}",
            "" if line.llm_score is None else f"{line.llm_score:+.2f}",
            f"{line.retriever_score:.3f}",
            escape("; ".join(reasons[line.item.id])) if reasons else ", ".join(line.sources),
            escape("; ".join(line.moved)),
        )
        table.add_row(*(cell for cell, (_, _, shown) in zip(cells, columns, strict=True) if shown))
    return table
