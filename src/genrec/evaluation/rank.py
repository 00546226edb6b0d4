"""What the language model adds: slates as they are served, read by a ranker, fused, and compared with the retriever."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from genrec.data.interactions import IntArray
from genrec.data.splits import Split
from genrec.data.store import Store
from genrec.evaluation.fits import fitted_on, reader_name
from genrec.evaluation.hits import hits
from genrec.evaluation.metrics import agreement, validity
from genrec.evaluation.protocol import prepare, sampled
from genrec.evaluation.replay import Answer, Replay
from genrec.evaluation.suite.leak import check_adapter
from genrec.evaluation.tables import Table, definitions, ranking_table
from genrec.fitting.llm_scores import loaded_reader
from genrec.fitting.workspace import Fitted
from genrec.llm.base import LanguageModel
from genrec.llm.cached import CachedModel, Load
from genrec.ranking.base import Ranker
from genrec.ranking.loading import ranker_for
from genrec.settings import Settings
from genrec.text.encoders import Encoder, Progress

COLUMNS = (("ndcg", 10), ("hr", 10), ("mrr", 10))
HEADLINE = ("ndcg@10", "hr@10", "mrr@10")
SYSTEMS = {
    "retriever": "the blend's own best items",
    "slate": "the items that the click scorer left for the model, in the retriever's order",
    "click": "the slate by P(click)",
    "llm": "the slate in the model's order",
    "fused without llm": "the slate by the learned weights of retriever score and P(click)",
    "fused": "the slate by the learned weights of retriever score, P(click) and the model's score: what is served",
}
"""Systems that are compared, and what they are."""

COMPARISONS = (
    *((name, "retriever") for name in SYSTEMS if name != "retriever"),
    ("llm", "slate"),
    ("fused", "fused without llm"),
)
RankerOf = Callable[[LanguageModel, Settings], Ranker]


def evaluate_rank(
    store: Store,
    settings: Settings,
    split: str = "temporal",
    users: Sequence[str] | None = None,
    *,
    load: Load,
    fingerprint: str,
    cache_folder: Path,
    limit: int | None = 200,
    seed: int = 0,
    encoder: Encoder | None = None,
    ranker_of: RankerOf = ranker_for,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Walks the served path for a seeded sample of test users, with everything fitted on the training part.

    `load` gives the language model whose `fingerprint` names weights, engine and dtype; its reads are kept in
    `cache_folder`, so a run that was interrupted goes on where it stopped. Besides `systems` (over all sampled users,
    and in `subsets` over those who have a target in the slate) it returns the ceiling (`candidate_recall`), validity,
    agreement, tokens, and latency of the requests that were not answered from the cache. Raises DataError without test
    users, SettingsError for an adapter that may know them, ModelError if the model answers nothing.
    """
    protocol = prepare(store.interactions(), split, users)
    check_adapter(settings, protocol.held, store.fingerprint())
    sample, drawn = sampled(protocol.split, limit, seed)
    with asyncio.Runner() as runner:
        model = runner.run(CachedModel.open(load, cache_folder / "reads.sqlite", fingerprint))
        try:
            ranker = ranker_of(model, settings)
            # Outside of the loop, where an interruption takes effect at once.
            fitted = fitted_on(
                protocol.held.fit_on,
                list(store.all_items()),
                settings,
                protocol.held.validation,
                data=store.fingerprint(),
                cache_folder=cache_folder,
                readers=loaded_reader(model, ranker, settings, runner.run, progress),
                reader=reader_name(fingerprint, ranker, settings),
                encoder=encoder,
                progress=progress,
            )
            answers = runner.run(Replay(store, settings, fitted, sample, ranker, model).answers(progress))
        finally:
            runner.run(model.close())
    return {
        **_tables(answers, sample, fitted),
        "users": len(sample.users),
        "split": split,
        "warnings": [*protocol.warnings, *drawn, *_reservations(answers)],
        "headline": list(HEADLINE),
        "definitions": {**definitions(COLUMNS), **SYSTEMS},
        **_costs(answers),
        "fitted": fitted.record,
    }


def _tables(answers: Sequence[Answer], sample: Split, fitted: Fitted) -> dict[str, Any]:
    index = fitted.blend.index
    width = max(len(ids) for answer in answers for ids in answer.lists.values())
    ranked = {name: np.full((len(answers), width), -1, dtype=np.int32) for name in SYSTEMS}
    for row, answer in enumerate(answers):
        for name, ids in answer.lists.items():
            ranked[name][row, : len(ids)] = [index[item_id] for item_id in ids]
    found = hits(ranked["slate"], sample.targets, width)
    inside = found.any(axis=1)
    share = found.sum(axis=1) / [len(target) for target in sample.targets]
    return {
        "systems": ranking_table(ranked, sample.targets, COLUMNS, comparisons=COMPARISONS),
        "subsets": {"target_in_slate": {"users": int(inside.sum()), "systems": _subset(ranked, sample, inside)}},
        "in_slate": int(inside.sum()),
        "candidate_recall": round(float(share.mean()), 6),
    }


def _subset(ranked: dict[str, IntArray], sample: Split, inside: Any) -> Table:
    targets = [target for target, keep in zip(sample.targets, inside, strict=True) if keep]
    return ranking_table(
        {name: lists[inside] for name, lists in ranked.items()},
        targets,
        COLUMNS,
        comparisons=COMPARISONS if targets else (),
    )


def _reservations(answers: Sequence[Answer]) -> list[str]:
    fallbacks = sum(answer.recommendation.provenance.fallback is not None for answer in answers)
    return [f"{fallbacks} of {len(answers)} requests were answered without the language model"] if fallbacks else []


def _costs(answers: Sequence[Answer]) -> dict[str, Any]:
    made = [answer.recommendation.provenance for answer in answers]
    fallbacks = Counter(one.fallback for one in made if one.fallback is not None)
    template = made[0].template
    return {
        "ranker": made[0].ranker,
        "model": {"name": made[0].model, "adapter": made[0].adapter},
        "template": None
        if template is None
        else {"id": template.id, "version": template.version, "hash": template.hash},
        "validity": validity.over_answers(
            [validity.Wrong.of(answer.validity) for answer in answers], sum(one.fallback is None for one in made)
        ),
        "fallbacks": dict(fallbacks),
        "agreement": agreement.over_answers([answer.recommendation.agreement for answer in answers]),
        "tokens": {
            kind: round(float(np.mean([getattr(one.usage, kind) for one in made])), 1)
            for kind in ("prompt", "computed", "generated")
        },
        "latency_ms": _latency([one.stage_ms for one, answer in zip(made, answers, strict=True) if answer.fresh]),
    }


def _latency(stages: Sequence[Any]) -> dict[str, Any]:
    """Median and p95 of each stage and of their sum, over the requests of which no read came from the cache."""
    measured: dict[str, Any] = {"requests": len(stages)}
    for stage in dict.fromkeys(name for one in stages for name in one):
        times = [one.get(stage, 0.0) for one in stages]
        measured[stage] = {
            "median": round(float(np.median(times)), 2),
            "p95": round(float(np.quantile(times, 0.95)), 2),
        }
    if stages:
        sums = [sum(one.values()) for one in stages]
        measured["total"] = {
            "median": round(float(np.median(sums)), 2),
            "p95": round(float(np.quantile(sums, 0.95)), 2),
        }
    return measured
