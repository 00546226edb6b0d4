"""The fitted fusion: a second stage over the pool, and the weight of the language model beside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from genrec.data.interactions import FloatArray
from genrec.domain import Reader
from genrec.errors import WorkspaceError
from genrec.fusion.language_model import Gate, LanguageModelWeights, Slate, fit_language_model, ndcg_of
from genrec.fusion.linear import Weights, fit_weights
from genrec.fusion.network import MonotoneNetwork
from genrec.fusion.pools import MONOTONE, Pool, columns, matrix
from genrec.fusion.request import RequestWeights, fit_request_weights
from genrec.text.encoders import Progress

ENOUGH_POOLS = 300
"""With fewer training pools no network is fitted."""
_K = 10

Lesson = tuple[Pool, int]
"""A pool and the position of the item that the user then chose."""


@dataclass(frozen=True, eq=False)
class Fusion:
    """Scores of a pool, comparable within it only.

    The second stage is `network` where validation found it best, else the weighted sum `linear`, and on top of it what
    a request in words adds. `record` says how it was chosen.
    """

    linear: Weights = field(default_factory=Weights)
    network: MonotoneNetwork | None = None
    parts: tuple[str, ...] = ()
    """Retrievers of which the network reads the scores, in its order."""
    request: RequestWeights = field(default_factory=RequestWeights)
    llm: LanguageModelWeights = field(default_factory=LanguageModelWeights)
    """Of the reader in use; see `read_by`."""
    weighed: Mapping[Reader, LanguageModelWeights] = field(default_factory=dict)
    """Of every reader that was weighed on validation, the default one first."""
    record: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def fit(
        cls,
        train: Sequence[Lesson],
        validation: Sequence[Lesson],
        progress: Progress | None = None,
        seed: int = 0,
    ) -> Self:
        """Learns on pools of training users and takes what is best on those of validation users.

        Compared by NDCG@10: the retriever's order, the weighted sum, the network. Of equals the simplest. Without
        validation pools the weighted sum is taken. `seed` draws the start of the network and the order of its batches.
        """
        train = [(pool, target) for pool, target in train if len(pool) > 1]
        linear = fit_weights([pool for pool, _ in train], [target for _, target in train])
        parts = tuple(dict.fromkeys(name for pool, _ in train for name in pool.parts))
        tried = {"retriever": cls(), "linear": cls(linear)}
        if len(train) >= ENOUGH_POOLS and validation and all(pool.p_click is not None for pool, _ in train):
            tried["network"] = cls(linear, _network(train, parts, progress, seed), parts)
        reached = {name: _ndcg(fusion.base, validation) for name, fusion in tried.items()} if validation else {}
        best = max(reached, key=lambda name: reached[name]) if reached else "linear"
        record = {
            "second_stage": best,
            "pools": len(train),
            "validation_pools": len(validation),
            f"validation_ndcg@{_K}": {name: round(value, 6) for name, value in reached.items()},
        }
        return replace(tried[best], record=record)

    def with_requests(self, asked: Sequence[Lesson]) -> Self:
        """The same second stage with weights for requests in words, learned on pools of validation users who asked."""
        return replace(self, request=fit_request_weights(asked, self._second_stage))

    def with_reader(self, reader: Reader, read: Sequence[Slate]) -> Self:
        """The same second stage with weights for one more reader, learned on slates of validation users."""
        weighed = {**self.weighed, reader: fit_language_model(read, _K)}
        return replace(self, llm=next(iter(weighed.values())), weighed=weighed)

    def read_by(self, reader: Reader) -> Self:
        """The same fusion with the weights of this reader.

        Another template takes those of the same model and ranker: what it says is of the same kind. A model, adapter or
        ranker that was not weighed breaks ties: what others said tells nothing of it.
        """
        return replace(self, llm=self._weights_of(reader) or LanguageModelWeights()) if self.weighed else self

    def unweighed(self, reader: Reader) -> str | None:
        """What to say of a reader of which no validation slate was read, though others were weighed."""
        if not self.weighed or reader in self.weighed:
            return None
        effect = "breaks ties" if self._weights_of(reader) is None else "has the weights of another template"
        # A fit weighs whom it is given, and forgets the others.
        alike = [known for known in self.weighed if replace(known, adapter=reader.adapter) == reader]
        named = dict.fromkeys(f"--adapter {one.adapter or 'base'}" for one in (*alike, reader))
        return (
            f"{reader} was not weighed on validation and {effect}: genrec fit {' '.join(named)}, with the model, "
            "ranker and template that are served, weighs it"
        )

    def _weights_of(self, reader: Reader) -> LanguageModelWeights | None:
        alike = [known for known in self.weighed if replace(known, template=reader.template) == reader]
        return self.weighed[reader if reader in alike else alike[0]] if alike else None

    def base(self, pool: Pool) -> FloatArray:
        """Scores [n] without the language model."""
        return self._second_stage(pool) + self.request.bonus(pool)

    def _second_stage(self, pool: Pool) -> FloatArray:
        if not len(pool):
            return np.zeros(0)
        if self.network is None or pool.p_click is None:
            return self.linear.scores(pool)
        return self.network.scores(matrix(pool, self.parts))

    def save(self, folder: Path) -> None:
        """Writes fusion.json, and the network as safetensors."""
        from safetensors.numpy import save_file

        if self.network is not None:
            save_file(self.network.weights, folder / "network.safetensors")
        data = {
            "linear": asdict(self.linear),
            "network": self.network is not None,
            "columns": columns(self.parts),
            "parts": self.parts,
            "request": asdict(self.request),
            "readers": [[asdict(reader), asdict(weights)] for reader, weights in self.weighed.items()],
            "record": self.record,
        }
        (folder / "fusion.json").write_text(json.dumps(data, indent=1), "utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Reads what `save` wrote; WorkspaceError if it cannot be read, or reads other features than this version."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            data = json.loads((folder / "fusion.json").read_text("utf-8"))
            parts = tuple(data["parts"])
            if data["columns"] != columns(parts):
                raise ValueError("other features")
            network = MonotoneNetwork(load_file(folder / "network.safetensors")) if data["network"] else None
            weighed = {Reader(**reader): _language_model_weights(weights) for reader, weights in data["readers"]}
            llm = next(iter(weighed.values()), LanguageModelWeights())
            request = RequestWeights(**data["request"])
            return cls(Weights(**data["linear"]), network, parts, request, llm, weighed, data["record"])
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise WorkspaceError(f"{folder} has no readable fusion weights", "run genrec fit again") from error


def _language_model_weights(data: Mapping[str, Any]) -> LanguageModelWeights:
    return LanguageModelWeights(**{**data, "gate": Gate(**data["gate"])})


def _network(train: Sequence[Lesson], parts: tuple[str, ...], progress: Progress | None, seed: int) -> MonotoneNetwork:
    from genrec.fusion.training import Training, fit_network

    monotone = np.isin(columns(parts), MONOTONE)
    return fit_network(
        [matrix(pool, parts) for pool, _ in train],
        [target for _, target in train],
        monotone,
        Training(seed=seed),
        progress,
    )


def _ndcg(score: Callable[[Pool], FloatArray], lessons: Sequence[Lesson]) -> float:
    return float(np.mean([ndcg_of(score(pool), target, _K) for pool, target in lessons]))
