"""Dislikes, skips and the like are learned as a no, by everything that reads a log."""

import numpy as np
import pytest

from genrec.data.cold_splits import held_out
from genrec.data.histories import HistoryArrays
from genrec.data.interactions import Interactions
from genrec.data.sqlite.store import SqliteStore
from genrec.domain import Event, HistoryEntry, Item
from genrec.fitting.holdout import hold_out
from genrec.prompting.event_verbs import rating, verb
from genrec.retrieval.base import RETRIEVERS as ALL
from genrec.retrieval.scoring import queries_of

RETRIEVERS = ("covisit", "item_knn", "ease", "ials", "bpr", "popular")
BAD, GOOD = 10, 40


@pytest.fixture(scope="module", params=["dislike", "skip", "hide", "thumbs_down", "return", "unsubscribe", "my_no"])
def store(request, tmp_path_factory):
    """150 users who like 8 of 40 items and refuse 3 of 10 others."""
    opened = SqliteStore(tmp_path_factory.mktemp("log") / "genrec.db", create=True, event_types={"my_no": "dislike"})
    opened.put_items(Item(f"bad{n}", f"Bad {n}") for n in range(BAD))
    opened.put_items(Item(f"good{n}", f"Good {n}") for n in range(GOOD))
    generator = np.random.default_rng(0)
    events = []
    for user in range(150):
        good, bad = generator.choice(GOOD, 8, replace=False), generator.choice(BAD, 3, replace=False)
        names = [*((f"good{n}", "like") for n in good), *((f"bad{n}", request.param) for n in bad)]
        for step, place in enumerate(generator.permutation(len(names))):
            item, kind = names[place]
            events.append(Event(f"u{user}", item, 1.6e9 + 300.0 * step + user, kind))
    opened.append(events)
    yield opened
    opened.close()


@pytest.mark.parametrize("name", RETRIEVERS)
def test_what_is_only_refused_leads_no_list(store: SqliteStore, name: str) -> None:
    log, items = store.interactions(), list(store.all_items())
    fitted = ALL.find(name).fit(log, items)
    index = {item_id: place for place, item_id in enumerate(log.item_ids)}
    for user in range(0, 150, 30):
        query = HistoryArrays.of(store.history(f"u{user}"), index, 1.7e9, log.scale)
        scores = fitted.scores(query)
        unseen = np.setdiff1d(np.arange(len(items)), query.item)
        best = unseen[np.argsort(-scores[unseen], kind="stable")][:10]
        assert not [log.item_ids[place] for place in best if log.item_ids[place].startswith("bad")]


def test_labels_of_the_log_are_yes_and_no(store: SqliteStore) -> None:
    log = store.interactions()
    bad = np.array([item_id.startswith("bad") for item_id in log.item_ids])[log.item]
    assert log.scale.source == "types"
    assert (log.value[bad] < log.scale.liked).all()
    assert (log.value[~bad] >= log.scale.liked).all()
    assert (log.noes == bad).all()


@pytest.mark.parametrize("name", ["leave-one-out", "temporal", "cold-items", "cold-users"])
def test_what_is_refused_is_nothing_to_be_found(store: SqliteStore, name: str) -> None:
    log = store.interactions()
    split = held_out(name, log, of="leave-one-out" if name == "cold-users" else "temporal", at_most=1000).split
    assert split.targets
    found = {log.item_ids[place] for target in split.targets for place in target}
    assert all(item_id.startswith("good") for item_id in found)
    assert len(queries_of(split)) == len(split.users)


def test_no_position_to_learn_from_is_a_refusal(store: SqliteStore) -> None:
    log = store.interactions()
    positions = hold_out(log, -np.inf)
    rows = [*positions.train, *positions.validation]
    assert not log.noes[rows].any()


@pytest.mark.parametrize(
    ("kind", "english"),
    [
        ("dislike", "disliked"),
        ("Skip", "skipped"),
        ("hide", "hid"),
        ("thumbs_down", "disliked"),
        ("return", "returned"),
        ("unsubscribe", "unsubscribed from"),
        ("play", "played"),
        ("mystery", "chose"),
    ],
)
def test_the_prompt_says_what_was_done(kind: str, english: str) -> None:
    assert verb(HistoryEntry(Item("a", "A"), 1.0, kind), "en") == english


@pytest.mark.parametrize("plays", [1.0, 9.0, 2.0, 30.0])
def test_amounts_are_no_ratings(tmp_path, plays: float) -> None:
    with SqliteStore(tmp_path / "genrec.db", create=True) as store:
        store.put_items([Item("a", "A")])
        store.append([Event("u", "a", 1.0, "play", plays, request_id="r")])
        assert np.isnan(store.interactions().value).all()
        assert store.clicked() == {"r": {"a"}}
        assert rating(store.history("u").entries[0]) == ""


def test_a_log_without_types_has_no_refusals() -> None:
    ids = np.array(["a", "b"], dtype=object)
    log = Interactions.from_columns(ids, ids, np.array([0, 0]), np.array([0, 1]), np.array([1.0, 2.0]))
    assert not log.noes.any()
    assert log.positive() is log
