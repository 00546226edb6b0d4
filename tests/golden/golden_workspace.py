"""The fixed workspace of the golden test: parts with weights drawn by a seed, recommenders that share them.

Nothing is trained, as training differs from CPU to CPU. No weight acts on principal components, whose signs do as well.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from golden_catalogue import ITEMS, catalogue, events, save_tokenizer

from genrec.data.interactions import Interactions
from genrec.data.item_statistics import ItemStatistics
from genrec.data.labels import rated_rows
from genrec.data.sqlite.store import SqliteStore
from genrec.domain import Item, LlmRankerKey, RankedItem, Ranking
from genrec.llm.scripted import ScriptedModel
from genrec.pipeline.recommender import Recommender
from genrec.prompting.library import TemplateLibrary
from genrec.prompting.tokenizer import load_tokenizer
from genrec.ranking.base import Ranker, RankingTask
from genrec.ranking.loading import load_ranker
from genrec.retrieval.tuning import fit_hybrid
from genrec.scoring.calibration import Calibration, PoolCalibration
from genrec.scoring.features import MONOTONE, PAIR_FEATURES, column_names
from genrec.scoring.heads import Heads
from genrec.scoring.item_texts import ItemTexts
from genrec.scoring.llm_evidence import LlmWeights
from genrec.scoring.network import Network
from genrec.scoring.query import QueryWeights
from genrec.scoring.scorer import Scorer
from genrec.settings import Settings
from genrec.text.encoders import HashingEncoder

RETRIEVERS = ("covisit", "semantic", "item_knn", "popular")
SAID = (
    "It goes well with what you chose before, and it is as calm.",
    "Its mood suits a quiet evening very well.",
    "People who like Silent Harbour like it too.",
    "It is the **sequel** of “Midnight Parade”.",
    "Yes.",
)
"""What the model writes about an item: the first two stand the check, the others do not or may not."""


@dataclass
class Heard:
    """What the scripted model is given, and says: both follow from the prompt alone."""

    read: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)

    def score(self, prompt: Sequence[int], token_ids: Sequence[int]) -> list[float]:
        """Log-probabilities from a hash of prompt and token."""
        digest = _digest(prompt)
        self.read.append(digest)
        hashes = [hashlib.sha256(f"{digest} {token}".encode()).digest() for token in token_ids]
        return [-1.0 - 9.0 * int.from_bytes(one[:6], "big") / 2**48 for one in hashes]

    def text(self, prompt: Sequence[int]) -> str:
        """Numbered sentences, chosen by a hash of the prompt."""
        digest = _digest(prompt)
        self.written.append(digest)
        said = SAID[:2] if int(digest[0], 16) % 2 else SAID
        return "\n".join(f"{n}. {said[int(digit, 16) % len(said)]}" for n, digit in enumerate(digest, start=1))

    def clear(self) -> None:
        """Forgets what it was given."""
        self.read.clear()
        self.written.clear()


def _digest(prompt: Sequence[int]) -> str:
    """The first 16 digits of the SHA-256 of the token ids."""
    return hashlib.sha256(np.asarray(prompt, "<i4").tobytes()).hexdigest()[:16]


@dataclass(frozen=True)
class Service:
    """One way to serve the workspace: sections of the settings and options of the scripted model (None: without it).

    `scored`: with click scorer and second stage. `invents`: the ranker names an item that the slate does not have.
    """

    sections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    model: Mapping[str, Any] | None = field(default_factory=dict)
    scored: bool = True
    invents: bool = False


def _ranked(ranker: str, template: str | None = None, **options: Any) -> Service:
    return Service({"ranking": {"ranker": ranker, "template": template, **options}})


SOUND: Mapping[str, Service] = {
    "pointwise": Service(),
    "pointwise where useful": Service({"llm": {"read": "useful"}}),
    "listwise where useful": Service({"ranking": {"ranker": "listwise"}, "llm": {"read": "useful"}}),
    "pointwise, terse": _ranked("pointwise", "rank/pointwise.terse"),
    "pointwise, cards": _ranked("pointwise", "rank/pointwise.cards"),
    "pointwise, evidence": _ranked("pointwise", "rank/pointwise.evidence"),
    "pointwise, Chinese": _ranked("pointwise", "rank/pointwise.zh"),
    "pointwise, Chinese evidence": _ranked("pointwise", "rank/pointwise.evidence.zh"),
    "single pass": _ranked("single_pass"),
    "single pass, three orders, evidence": _ranked("single_pass", "rank/listwise.evidence", orders=3),
    "single pass, Chinese cards": _ranked("single_pass", "rank/listwise.cards.zh", seed=3),
    "listwise": _ranked("listwise"),
    "listwise, Chinese": _ranked("listwise", "rank/listwise.zh"),
    "listwise, Chinese evidence": _ranked("listwise", "rank/listwise.evidence.zh"),
    "pointwise, nothing scored": Service(scored=False),
    # So cold that what is drawn is the order: the draw itself depends on the request id.
    "explored": Service({"exploration": {"temperature": 1e-6}}),
}
FAULTY: Mapping[str, Service] = {
    "without a model": Service(model=None),
    "the engine fails": Service(model={"fail_at": 0}),
    "the engine fails halfway": replace(_ranked("listwise"), model={"fail_after_labels": 3}),
    "the prompt is too long": Service(model={"context": 300}),
    "too slow": Service({"llm": {"deadline_s": 0.05}}, {"latency_s": 60.0}),
    "the ranker invents": Service(invents=True),
}


class Inventing:
    """A ranker that names an item which the slate does not have."""

    def __init__(self, ranker: Ranker) -> None:
        self._ranker = ranker
        self.name, self.default_template, self.template = ranker.name, ranker.default_template, ranker.template
        self.render = ranker.render

    async def rank(
        self, task: RankingTask, k: int | None = None, on_item: Callable[[RankedItem], None] | None = None
    ) -> Ranking:
        """The ranking of the other, behind an invented item."""
        ranking = await self._ranker.rank(task, k)
        return replace(ranking, items=(RankedItem("invented", 9.0), *ranking.items))


class GoldenWorkspace:
    """The workspace in a folder, with one recommender for each service."""

    def __init__(self, folder: Path) -> None:
        self.heard = Heard()
        self.items, self.database = catalogue(), folder / "genrec.db"
        self._model_folder = folder / "model"
        save_tokenizer(self._model_folder)
        store = SqliteStore(self.database, create=True)
        store.put_items(self.items)
        store.append(events())
        for user in (3, 10, 17):
            store.block(f"u{user}", [f"i{n}" for n in range(user % 4, ITEMS, 4)])
        log, settings = store.interactions(), self._settings({})
        blend = fit_hybrid(log, self.items, settings=settings, encoder=HashingEncoder(96), tune=False)
        drawn = drawn_scorer(log, self.items, settings)

        def without_model(store: SqliteStore, scorer: Scorer) -> Recommender:
            return Recommender(
                store=store, retriever=blend, ranker=None, scorer=scorer, settings=settings, version="golden"
            )

        self._scored = without_model(store, drawn)
        self._unscored = without_model(SqliteStore(self.database), replace(drawn, heads=Heads()))
        self.recommenders = {name: self._recommender(service) for name, service in {**SOUND, **FAULTY}.items()}

    def close(self) -> None:
        """Waits for the exposures and closes the stores."""
        self._scored.close()
        self._unscored.close()

    def _settings(self, sections: Mapping[str, Mapping[str, Any]]) -> Settings:
        common: dict[str, dict[str, Any]] = {
            "model": {"name": str(self._model_folder)},
            "retrieval": {"retrievers": RETRIEVERS, "pool": 24, "candidates": 10},
            "llm": {"read": "always", "deadline_s": 600.0},
            "policy": {"threshold": 0.3},
        }
        names = {**common, **sections}
        return Settings.load(None, {name: {**common.get(name, {}), **sections.get(name, {})} for name in names})

    def _recommender(self, service: Service) -> Recommender:
        if service.model is None:
            return self._scored
        options = {"block": 16, "score": self.heard.score, "text": self.heard.text, **service.model}
        model, settings = ScriptedModel(**options), self._settings(service.sections)
        ranker: Any = load_ranker(settings.ranking, model, load_tokenizer(self._model_folder), TemplateLibrary())
        base = self._scored if service.scored else self._unscored
        return base.with_ranker(Inventing(ranker) if service.invents else ranker, settings, model)


def drawn_scorer(log: Interactions, items: Sequence[Item], settings: Settings) -> Scorer:
    """Heads with drawn weights over the statistics of the log and drawn item vectors, and language-model weights for
    each ranker.
    """
    generator = np.random.default_rng(3)
    vector, width, hidden, pairs, names = 8, 6, 12, len(PAIR_FEATURES), column_names(RETRIEVERS)

    def drawn(*shape: int, scale: float = 0.4) -> Any:
        return (scale * generator.standard_normal(shape)).astype(np.float32)

    def monotone(weight: Any) -> Any:
        free = np.append(~np.isin(names, MONOTONE), False)[: weight.shape[1]]
        return np.where(free, weight, np.abs(weight))

    weights = {
        "query.weight": drawn(width, vector),
        "key.weight": drawn(width, vector + 2),
        "value.weight": drawn(width, vector + 2),
        "value.bias": drawn(width),
        "item.weight": drawn(width, vector),
        "item.bias": drawn(width),
        "empty_key": drawn(width),
        "empty_value": drawn(width),
        "age": np.float32(-0.3),
        "affinity.0.weight": drawn(hidden, 3 * width),
        "affinity.0.bias": drawn(hidden),
        "affinity.3.weight": drawn(1, hidden),
        "affinity.3.bias": drawn(1),
        "click_a.weight": monotone(drawn(hidden, len(names) + 1, scale=0.15)),
        "click_a.bias": drawn(hidden),
        "click_b.weight": np.abs(drawn(hidden, hidden, scale=0.2)),
        "click_b.bias": drawn(hidden),
        "click_c.weight": np.abs(drawn(1, hidden)),
        "click_skip.weight": monotone(drawn(1, len(names), scale=0.15)),
        "click_mean": np.zeros(len(names), np.float32),
        "click_scale": np.ones(len(names), np.float32),
        "like.0.weight": drawn(2 * hidden, 3 * width + pairs),
        "like.0.bias": drawn(2 * hidden),
        "like.3.weight": drawn(hidden, 2 * hidden),
        "like.3.bias": drawn(hidden),
        "like.6.weight": drawn(1, hidden),
        "like.6.bias": drawn(1),
        "like_linear.weight": drawn(1, pairs),
        "like_linear.bias": drawn(1),
        "like_mean": np.zeros(pairs, np.float32),
        "like_scale": np.ones(pairs, np.float32),
    }
    vectors = np.concatenate([drawn(len(items), vector, scale=0.35), np.zeros((1, vector), np.float32)])
    liked = settings.scoring.liked
    llm_weights = {
        LlmRankerKey("scripted", None, ranker, template): LlmWeights(0.8, short, 1.2, scale, 60)
        for ranker, template, short, scale in (
            ("pointwise", "rank/pointwise", 0.0, 3.5),
            ("single_pass", "rank/listwise", 0.6, 2.5),
            ("listwise", "rank/listwise", 0.0, 0.25),
        )
    }
    return Scorer(
        tuple(log.item_ids.tolist()),
        ItemStatistics.fit(log, rated_rows(log, liked), liked),
        replace(ItemTexts.of(items, vectors[:-1]), vectors=vectors),
        settings.retrieval.history,
        Heads(
            "network",
            network=Network(weights),
            parts=RETRIEVERS,
            query=QueryWeights(nearness=0.7, words=0.9, alone=1.1),
            calibration=PoolCalibration(0.9, (0.4, -0.2, 0.5, 0.6)),
            like=Calibration(slope=0.6, intercept=-0.5),
        ),
        llm_weights=llm_weights,
    )
