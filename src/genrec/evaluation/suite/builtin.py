"""Built-in suites: `genrec eval retrieval` and `genrec eval rank`, on a workspace's own log."""

from __future__ import annotations

from typing import Any

from genrec.evaluation.suite.base import suite_of
from genrec.evaluation.suite.schema import Suite

KS = (10, 20, 50, 100)
ORDERS = ("retriever", "slate", "llm", "fused_without_llm", "fused")


def retrieval_suite(retrievers: tuple[str, ...], split: str) -> Suite:
    """Each retriever and their blend, over the whole catalogue without what users have seen."""
    alone = {name.replace(".", "_"): {"retriever": name} for name in retrievers}
    return suite_of(
        {
            "name": "retrieval",
            "description": "Each retriever and their blend: the whole catalogue is ranked.",
            "split": {"name": split},
            "metrics": [f"{metric}@{k}" for k in KS for metric in ("ndcg", "hr", "mrr", "recall")],
            "systems": {**alone, "blend": {"blend": list(retrievers)}},
            "baseline": "blend",
        },
        Suite,
        "eval retrieval",
    )


def rank_suite(split: str, limit: int, seed: int, served: dict[str, Any]) -> Suite:
    """What the language model adds: the orders of one slate. `served` says which model, ranker and template read it."""
    pairs = [[name, "retriever"] for name in ORDERS[1:]]
    return suite_of(
        {
            "name": "rank",
            "description": "The language model's order, and all scores fused, against the retriever.",
            "split": {"name": split},
            "users": {"limit": limit, "seed": seed},
            "systems": {order: {"served": {**served, "orders": order}} for order in ORDERS},
            "comparisons": [*pairs, ["llm", "slate"], ["fused", "fused_without_llm"]],
        },
        Suite,
        "eval rank",
    )
