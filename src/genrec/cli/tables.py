"""Recommendations as tables for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.markup import escape
from rich.table import Table

from genrec.domain import Recommendation


def recommendation_table(answer: Recommendation, reasons: Mapping[str, Sequence[str]] | None = None) -> Table:
    """Rank, title, P(click), what the model and the retriever said, and where the item came from, or why it is there.

    `reasons` are those of the items by their ids.
    """
    made = answer.provenance
    agreement = "" if answer.agreement is None else f", agreement of model and P(click) {answer.agreement:+.2f}"
    by = f"fallback: {made.fallback}" if made.fallback else f"{made.ranker} on {made.model}"
    table = Table(title=f"{by}, policy {made.policy}{agreement}", title_justify="left", title_style="bold")
    for name, justify in (
        ("", "right"),
        ("title", "left"),
        ("P(click)", "right"),
        ("model", "right"),
        ("retrieval", "right"),
        ("why" if reasons else "from", "left"),
    ):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for line in answer.items:
        table.add_row(
            str(line.rank),
            escape(line.item.title),
            f"{line.p_click:.3f}",
            "" if line.llm_score is None else f"{line.llm_score:+.2f}",
            f"{line.retriever_score:.3f}",
            escape("; ".join(reasons[line.item.id])) if reasons else ", ".join(line.sources),
        )
    return table
