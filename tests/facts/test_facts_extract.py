"""Fact by hand on a tiny log, at the edges of its buckets, and without what is to be foreseen."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from genrec.data.interactions import Interactions
from genrec.data.item_statistics import ItemStatistics
from genrec.data.labels import rated_rows
from genrec.data.store import Exposure
from genrec.domain import Candidate, Candidates, Fact, History, HistoryEntry, Item
from genrec.facts.extract import FactExtractor
from genrec.fitting.holdout import HeldOutPositions
from genrec.retrieval.retrievers.covisit import CovisitRetriever
from genrec.training.examples import ExampleSettings, SlateSource
from genrec.training.exposures import ExposureSource
from genrec.training.pools import TrainingPools

ITEMS = [
    Item("a", "Alien", {"director": ("Scott",), "genres": ("Horror",), "year": "1979"}),
    Item("b", "Blade Runner", {"director": ("Scott",), "genres": ("Drama",), "year": "1982"}),
    Item("c", "Casablanca", {"genres": ("Drama",), "studio": "Warner"}),
    Item("d", "Dune", {"genres": ("Drama",), "studio": "Warner", "plot": "A boy " * 20}),
]
# user, item, time, value: a and b stand next to each other twice, and once with c between them.
EVENTS = [(0, 0, 0, 5), (0, 1, 1, 4), (1, 0, 0, 5), (1, 1, 1, 4), (2, 0, 0, 4), (2, 2, 50, 3), (2, 1, 100, 3)]


def log_of(events: list[tuple[int, int, float, float]], items: list[Item]) -> Interactions:
    user, item, time, value = (np.array(column) for column in zip(*events, strict=True))
    users = np.array([f"u{n}" for n in range(int(user.max()) + 1)], dtype=object)
    return Interactions.from_columns(users, np.array([i.id for i in items], dtype=object), user, item, time, value)


def history(*items: Item, values: tuple[float | None, ...] = ()) -> History:
    given = values or (None,) * len(items)
    entries = [
        HistoryEntry(item, float(n), "rating", value) for n, (item, value) in enumerate(zip(items, given, strict=True))
    ]
    return History("u", tuple(entries))


def slate(*items: Item) -> Candidates:
    return Candidates(tuple(Candidate(item, 0.0) for item in items))


def kinds(maker: FactExtractor, past: History, item: Item) -> dict[str, Fact]:
    ((facts),) = maker.of_candidates(past, slate(item))
    assert len({fact.kind for fact in facts}) == len(facts)
    return {fact.kind: fact for fact in facts}


@pytest.fixture
def maker() -> FactExtractor:
    return FactExtractor.of_log(log_of(EVENTS, ITEMS), ITEMS, 4.0)


def test_transitions_name_the_title_that_goes_with_the_candidate_most(maker: FactExtractor) -> None:
    a, b, c, d = ITEMS
    # a with b: 1 + 1 + 1/2 over 3 + 20 is 0.109; c with b: 1 over 1 + 20 is 0.048
    assert kinds(maker, history(a, c), b)["transitions"] == Fact("transitions", "often", "Alien")
    assert kinds(maker, history(c), b)["transitions"] == Fact("transitions", "rarely", "Casablanca")
    assert "transitions" not in kinds(maker, history(a, b, c), d)
    assert "transitions" not in kinds(maker, history(), b)
    assert "transitions" not in kinds(maker, history(b), b), "a title says nothing of itself"


def test_popularity_by_share_of_events(maker: FactExtractor) -> None:
    # 3, 3, 1 and 0 of 7 events; before them are 0, 3/7, 6/7
    found = [kinds(maker, history(), item)["popularity"].bucket for item in ITEMS]
    assert found == ["very popular", "popular", "little known", "new"]
    assert kinds(maker, history(), Item("unheard", "Of"))["popularity"].bucket == "new"


def test_graph_names_the_newest_title_that_shares_the_rarest_value(maker: FactExtractor) -> None:
    a, b, c, d = ITEMS
    assert kinds(maker, history(a, c), b)["shared_attribute"] == Fact("shared_attribute", "same", "Alien", "director")
    assert kinds(maker, history(c), d)["shared_attribute"] == Fact("shared_attribute", "same", "Casablanca", "studio")
    assert "shared_attribute" not in kinds(maker, history(a), d), "neither years nor descriptions are shared"
    assert "shared_attribute" not in kinds(maker, history(d), d)
    again = Item("e", "Dark Star", {"director": ("Scott",)})
    assert kinds(maker, history(a, b), again)["shared_attribute"].related == "Blade Runner"


def test_what_much_of_the_catalogue_shares_says_nothing() -> None:
    items = [Item(str(n), f"Film {n}", {"genres": ("Drama",), "domain": "video"}) for n in range(6)]
    maker = FactExtractor.of_log(log_of([(0, 0, 0, 5), (0, 1, 1, 5)], items), items, 4.0)
    assert "shared_attribute" not in kinds(maker, history(items[0]), items[1])
    assert "shared_attribute" in kinds(
        FactExtractor.of_log(log_of(EVENTS, ITEMS), items[:5], 4.0), history(items[0]), items[1]
    )


def fake(**columns: Any) -> FactExtractor:
    """Statistics of one item 'x' (and of the unknown one), as given."""
    known = {"liked": 4.0, "value_mean": 3.0, "value_scale": 1.0, "newest": 100.0, "span": 100.0}
    arrays = {"count": [0, 0], "recent": [0, 0], "first": [0, 0], "deviation": [0, 0]}
    together = columns.pop("together", 0.0)
    statistics = SimpleNamespace(
        **known,
        **{name: np.array(columns.get(name, values), dtype=float) for name, values in arrays.items()},
    )
    covisit = SimpleNamespace(together=lambda source, target, count: np.full((len(source), len(target)), together))
    return FactExtractor(lambda: statistics, ["x"], lambda: [], lambda: covisit)  # type: ignore[arg-type,return-value]


X = Item("x", "X")


@pytest.mark.parametrize(
    ("together", "bucket"), [(2.0, "often"), (1.99, "sometimes"), (1.0, "sometimes"), (0.99, "rarely"), (0.0, None)]
)
def test_edges_of_transitions(together: float, bucket: str | None) -> None:
    found = kinds(fake(together=together), history(X), X).get("transitions")
    assert (found and found.bucket) == bucket


def test_without_co_visitation_nothing_is_said_of_transitions() -> None:
    events = log_of(EVENTS, ITEMS)
    log = FactExtractor.of_log(events, ITEMS, 4.0)
    statistics = ItemStatistics.fit(events, rated_rows(events, 4.0), 4.0)
    without = FactExtractor(lambda: statistics, list("abcd"), lambda: ITEMS, lambda: None)
    assert "transitions" in kinds(log, history(ITEMS[0]), ITEMS[1])
    assert "transitions" not in kinds(without, history(ITEMS[0]), ITEMS[1])


def test_edges_of_popularity() -> None:
    items = [Item(name, name) for name in "abc"]
    equal = FactExtractor.of_log(log_of([(0, n, n, 5) for n in (0, 1, 2)], items), items, 4.0)
    # 0, 1/3 and 2/3 of the events are about items before; the last one was first chosen at the end of the log
    assert [kinds(equal, history(), item)["popularity"].bucket for item in items] == ["very popular", "popular", "new"]


@pytest.mark.parametrize(
    ("recent", "count", "bucket"),
    [(15, 10, "rising"), (14.9, 10, None), (5.1, 10, None), (5, 10, "fading"), (9, 4, None)],
)
def test_edges_of_recency(recent: float, count: float, bucket: str | None) -> None:
    # of all other events everything is recent: 1000 - recent of 1000 - count, so that the share is 1
    maker = fake(count=[count, 1000 - count], recent=[recent, 1000 - recent])
    found = kinds(maker, history(), X).get("recency")
    assert (found and found.bucket) == bucket


@pytest.mark.parametrize(
    ("deviation", "count", "values", "bucket"),
    [
        (0.3, 5, (3,) * 5, "above"),
        (0.29, 5, (3,) * 5, None),
        (-0.3, 5, (3,) * 5, "below"),
        (0.3, 4, (3,) * 5, None),
        (0.3, 5, (3,) * 4, None),
        # five ratings of 5 are 2 above the mean each: 10 over 5 + 5 is 1
        (1.31, 5, (5,) * 5, "above"),
        (0.69, 5, (5,) * 5, "below"),
    ],
)
def test_edges_of_ratings(deviation: float, count: int, values: tuple[float, ...], bucket: str | None) -> None:
    past = history(*[Item(f"o{n}", "O") for n in range(len(values))], values=values)
    found = kinds(fake(deviation=[deviation, 0], count=[count, 9]), past, X).get("ratings")
    assert (found and found.bucket) == bucket


def test_play_times_are_no_ratings() -> None:
    entries = tuple(HistoryEntry(Item(f"o{n}", "O"), float(n), "play", 400.0) for n in range(9))
    maker = fake(deviation=[2, 0], count=[9, 9])
    assert "ratings" not in kinds(maker, History("u", entries), X)
    assert not any("ratings" in fact.bucket for fact in maker.of_history(History("u", entries)))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((5,) * 7 + (1,) * 3, ["high ratings"]),
        ((5,) * 6 + (1,) * 4, ["mixed ratings"]),
        ((5,) * 3 + (1,) * 7, ["low ratings"]),
        ((5,) * 4, []),
    ],
)
def test_habits_of_rating(values: tuple[float, ...], expected: list[str]) -> None:
    # one item of two is known and has all events: what else is chosen is new, so only ratings are looked at here
    items = [Item(f"o{n}", "O") for n in range(len(values))]
    found = [fact.bucket for fact in fake(count=[9, 0]).of_history(history(*items, values=values))]
    assert [bucket for bucket in found if "ratings" in bucket] == expected


def test_habits_of_choosing(maker: FactExtractor) -> None:
    a, b, _, d = ITEMS
    buckets = lambda *items: [fact.bucket for fact in maker.of_history(history(*items))]  # noqa: E731
    strangers = [Item(f"s{n}", "S") for n in range(5)]
    assert buckets(a, a, a, a, b) == ["well known", "returns"]
    assert buckets(*strangers) == ["little known"]
    assert buckets(a, a, a, a) == []
    assert buckets(d, *strangers[:4]) == ["little known"]


def test_nothing_is_found_before_it_is_read() -> None:
    asked = []

    def fit() -> Any:
        asked.append(1)
        log = log_of(EVENTS, ITEMS)
        return ItemStatistics.fit(log, rated_rows(log, 4.0), 4.0)

    covisit = CovisitRetriever.fit(log_of(EVENTS, ITEMS), ITEMS)
    extractor = FactExtractor(fit, list("abcd"), lambda: ITEMS, lambda: covisit)
    past, pool = extractor.attached(history(ITEMS[0]), slate(*ITEMS[1:]))
    assert not asked
    assert [fact.kind for fact in pool.items[0].evidence] == ["transitions", "popularity", "shared_attribute"]
    assert len(past.evidence) == 0
    assert past.evidence == ()
    assert pool.items[0].evidence[0].bucket == "often"
    assert asked == [1], "fitted once"
    copied = copy.deepcopy(pool.items[0].evidence)
    assert type(copied) is tuple
    assert copied == tuple(pool.items[0].evidence)
    assert repr(pool.items[0].evidence) == repr(copied)
    assert hash(pool.items[0].evidence) == hash(copied)


def test_an_empty_slate_and_unknown_items(maker: FactExtractor) -> None:
    assert maker.of_candidates(history(ITEMS[0]), slate()) == []
    stranger = Item("s", "S")
    assert kinds(maker, history(stranger), stranger) == {"popularity": Fact("popularity", "new")}


def test_training_knows_nothing_of_the_target() -> None:
    """Only the event that is to be foreseen takes anyone from a to d."""
    events = [*EVENTS, (3, 0, 200.0, 5), (3, 3, 201.0, 5)]
    whole = log_of(events, ITEMS)
    row = int(np.flatnonzero(whole.item == 3)[0])
    keep = np.arange(len(whole)) != row
    positions = HeldOutPositions(whole, whole.select(keep), np.array([row]), np.array([], dtype=np.int64))
    table = np.array([[3, 1]], dtype=np.int32)
    pools = TrainingPools(
        np.array([row]), np.zeros(1, np.int32), table, np.ones((1, 2), np.float32), np.ones((1, 2), np.float32), 1, 1
    )
    source = SlateSource(positions, ITEMS, pools, ExampleSettings(candidates=2), liked=4.0)
    example = source.example(0, 0, 1.0)
    assert example.evidence is not None
    _, known = example.evidence.attached(example.history, example.candidates)
    target = next(candidate for candidate in known.items if candidate.item.id == "d")
    assert [fact.kind for fact in target.evidence] == ["popularity"]
    cheated = FactExtractor.of_log(whole, ITEMS, 4.0)
    assert "transitions" in kinds(cheated, example.history, ITEMS[3])


def test_clicks_on_shown_lists_are_not_among_what_is_known() -> None:
    events = [*EVENTS, (3, 0, 200.0, 5), (3, 3, 202.0, 5)]
    shown = [(Exposure("r", "u3", ("d", "b"), 201.0), {"d"})]
    for validation in (False, True):
        source = ExposureSource(log_of(events, ITEMS), ITEMS, shown, validation=validation)
        if len(source):
            example = source.example(0, 0, 1.0)
            break
    assert example.evidence is not None
    assert "transitions" not in kinds(example.evidence, example.history, ITEMS[3])
