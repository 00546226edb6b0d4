"""Baselines of chance: fitted anew for each seed, with what was chosen once."""

import numpy as np
import pytest

from genrec.data.sqlite.store import SqliteStore
from genrec.errors import SettingsError
from genrec.evaluation.protocol import prepare
from genrec.evaluation.suite import retrievers
from genrec.evaluation.suite.context import EvaluationContext
from genrec.evaluation.suite.schema import System
from genrec.settings import Settings


@pytest.fixture
def bench(workspace):
    with SqliteStore(workspace.database) as store:
        log = store.interactions()
        protocol = prepare(log, "leave-one-out")
        settings = Settings.load(workspace.settings_file)
        yield EvaluationContext(
            workspace.root,
            store,
            store.fingerprint(),
            log,
            list(store.all_items()),
            protocol.held,
            protocol.split,
            settings,
            20,
        )


@pytest.fixture
def fits(monkeypatch):
    """How often each function of fitting was called."""
    counts = {"fit_hybrid": 0, "refit_blend": 0}
    for name in counts:
        original = getattr(retrievers, name)

        def counted(*arguments, original=original, name=name, **named):
            counts[name] += 1
            return original(*arguments, **named)

        monkeypatch.setattr(retrievers, name, counted)
    return counts


class Chance:
    """A retriever that scores by chance."""

    name = "chance"
    grid = ({"spread": 1.0}, {"spread": 2.0})

    def __init__(self, scores):
        self._scores = scores

    @classmethod
    def fit(cls, interactions, items, *, spread=1.0, seed=0):
        generator = np.random.default_rng(seed)
        return cls((spread * generator.random(interactions.n_items)).astype(np.float32))

    def scores(self, query):
        return self._scores

    def save(self, folder):
        raise NotImplementedError

    @classmethod
    def load(cls, folder):
        raise NotImplementedError


def test_what_has_chance_in_it_is_tuned_once_and_fitted_for_each_seed(bench, fits):
    chance = System(retriever=f"{__name__}.Chance")
    system = retrievers.Retrieval("chance", chance, bench)
    first, second = system.lists(0), system.lists(1)
    assert fits == {"fit_hybrid": 1, "refit_blend": 1}
    assert (first != second).any()
    again = retrievers.Retrieval("chance", chance, bench)
    assert (again.lists(1) == second).all()
    assert fits == {"fit_hybrid": 1, "refit_blend": 1}
    made = again.record["parts"][f"{__name__}.Chance"]
    assert len(made["ndcg@10"]) == 2


def test_what_has_none_is_fitted_once(bench, fits):
    system = retrievers.Retrieval("covisit", System(retriever="covisit"), bench)
    assert (system.lists(0) == system.lists(7)).all()
    assert fits == {"fit_hybrid": 1, "refit_blend": 0}


def test_given_hyper_parameters_are_not_tuned(bench, fits):
    system = System(retriever="covisit", hyper_parameters={"window": 1, "decay": 0.5})
    found = retrievers.Retrieval("covisit", system, bench)
    found.lists(0)
    made = found.record["parts"]["covisit"]
    assert (made["hyper_parameters"]["window"], made["hyper_parameters"]["decay"]) == (1, 0.5)
    assert not made["ndcg@10"]


def test_hyper_parameters_that_a_retriever_does_not_have_are_named(bench):
    system = System(retriever="covisit", hyper_parameters={"lambda": 3})
    with pytest.raises(SettingsError, match="covisit has no hyper-parameter 'lambda'") as caught:
        retrievers.Retrieval("covisit", system, bench).lists(0)
    assert "window" in caught.value.hint


def test_values_that_a_retriever_cannot_be_fitted_with_are_named(bench):
    system = System(retriever="covisit", hyper_parameters={"window": "many"})
    with pytest.raises(SettingsError, match="covisit cannot be fitted with window: 'many'") as caught:
        retrievers.Retrieval("mine", system, bench).lists(0)
    assert "mine" in caught.value.hint


def test_a_retriever_of_ones_own_that_was_edited_is_fitted_again(bench, fits, monkeypatch):
    for source, made in (("as it was", 1), ("as it was", 1), ("edited", 2)):
        monkeypatch.setattr(retrievers.RETRIEVERS, "source_hash", lambda name, source=source: source)
        retrievers.Retrieval("popular", System(retriever="popular"), bench).lists(0)
        assert fits["fit_hybrid"] == made


def test_a_broken_file_of_the_cache_is_made_anew(bench, fits):
    system = System(retriever="popular")
    first = retrievers.Retrieval("popular", system, bench).lists(0)
    (file,) = (bench.cache / "lists").iterdir()
    file.write_bytes(b"broken")
    assert (retrievers.Retrieval("popular", system, bench).lists(0) == first).all()
    assert fits["fit_hybrid"] == 2


def test_the_quick_store_is_the_store(bench):
    ids = ["i3", "i1"]
    assert bench.quick_store.items(ids) == bench.store.items(ids)
    assert bench.quick_store.n_items() == 30
    assert bench.quick_store.blocked("u1") == frozenset()
