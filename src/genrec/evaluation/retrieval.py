"""How well each retriever, and all of them together, find what users did next: full ranking over the catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from genrec.data.interactions import IntArray
from genrec.data.splits import Split
from genrec.data.store import Store
from genrec.evaluation.protocol import prepare
from genrec.evaluation.tables import definitions, ranking_table
from genrec.retrieval.scoring import Scorer, batches, queries_of, score_batch, top_k
from genrec.retrieval.tuning import fit_hybrid
from genrec.settings import Settings
from genrec.text.encoders import Encoder, Progress

KS = (10, 20, 50, 100)
METRICS = ("ndcg", "hr", "recall", "mrr")
HEADLINE = ("ndcg@10", "hr@10", "mrr@10", "recall@100")


def evaluate_retrieval(
    store: Store,
    settings: Settings,
    split: str = "temporal",
    users: Sequence[str] | None = None,
    *,
    ks: Sequence[int] = KS,
    encoder: Encoder | None = None,
    cache_folder: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Fits the retrievers of the settings and their blend on the training part and judges them on the test users.

    Hyper-parameters and weights are chosen on a split of the training part of the same kind. Returns `systems` (one for
    each retriever, and `blend`), `users`, `warnings`, `definitions` and what was chosen. Raises DataError without test
    users.
    """
    interactions = store.interactions()
    protocol = prepare(interactions, split, users)
    blend = fit_hybrid(
        protocol.held.fit_on,
        list(store.all_items()),
        settings=settings,
        encoder=encoder,
        cache_folder=cache_folder,
        split=protocol.held.validation,
        progress=progress,
    )
    systems: dict[str, Scorer] = {**blend.parts, "blend": blend}
    ranked = {name: ranked_lists(system, protocol.split, max(ks), name, progress) for name, system in systems.items()}
    columns = [(metric, k) for metric in METRICS for k in ks]
    return {
        "systems": ranking_table(ranked, protocol.split.targets, columns),
        "users": len(protocol.split.users),
        "split": split,
        "items": interactions.n_items,
        "warnings": list(protocol.warnings),
        "headline": [column for column in HEADLINE if int(column.split("@")[1]) in ks],
        "definitions": definitions(columns),
        "fitted": blend.record,
    }


def ranked_lists(scorer: Scorer, split: Split, k: int, name: str = "", progress: Progress | None = None) -> IntArray:
    """Item positions of the k best of the whole catalogue for each test user [m, k], without what the user has seen.

    Best first, of equal scores the smaller position first; padded with -1 where the catalogue has no more.
    """
    ranked = np.full((len(split.users), k), -1, dtype=np.int32)
    for rows in batches(split, range(len(split.users))):
        queries = queries_of(split, rows)
        for row, query, scores in zip(rows, queries, score_batch(scorer, queries), strict=True):
            best = top_k(scores, k, query.item)
            ranked[row, : len(best)] = best
        if progress:
            progress(f"ranking with {name}", rows[-1] + 1, len(ranked))
    return ranked
