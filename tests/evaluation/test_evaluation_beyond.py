"""Metrics beyond accuracy against values computed by hand, against loops, and on lists that are repeated."""

import math
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.data.interactions import Interactions
from genrec.data.splits import Split
from genrec.domain import Item
from genrec.errors import DataError
from genrec.evaluation import groups, metrics
from genrec.evaluation.catalogue import CatalogueFacts, catalogue_facts
from genrec.evaluation.lists import Lists
from genrec.evaluation.metrics import item_gap, user_gap

# Item 0 is the head (a fifth of six). Genres are A and B; items 4 and 5 have none.
GENRES = np.array([[0, 1], [1, 0], [1, 0], [1, 1], [0, 0], [0, 0]], dtype=bool)
VECTORS = np.array([[1, 0], [0.6, 0.8], [1, 0], [0, 1], [1, 0], [0, 0]], dtype=np.float32)
FACTS = CatalogueFacts(
    item_users=np.array([4, 3, 2, 1, 0, 0], dtype=np.int32),
    n_users=4,
    histories=(np.array([0, 1], dtype=np.int32), np.array([2], dtype=np.int32)),
    item_group=np.array([0, 1, 1, 1, 2, 2], dtype=np.int32),
    user_group=np.array([0, 0], dtype=np.int32),
    vectors=VECTORS,
    genres=GENRES,
)
RANKED = np.array([[4, 2, 3], [0, 1, -1]], dtype=np.int32)
TARGETS = [np.array([4, 3], dtype=np.int32), np.array([0], dtype=np.int32)]
# The mix of the first list is that of items 2 (A) and 3 (half A, half B); of the history half and half.
MIXES = [
    0.5 * math.log(0.5 / (0.99 * 0.75 + 0.005)) + 0.5 * math.log(0.5 / (0.99 * 0.25 + 0.005)),
    math.log(1 / (0.99 * 0.5 + 0.01)),
]

BY_HAND = {
    ("popularity", 3): [(0 + 2 / 4 + 1 / 4) / 3, (1 + 3 / 4) / 2],
    ("popularity", 1): [0, 1],
    ("novelty", 3): [-(math.log2(1 / 5) + math.log2(3 / 5) + math.log2(2 / 5)) / 3, -math.log2(4 / 5) / 2],
    ("diversity", 3): [1 - 1 / 3, 1 - 0.6],
    ("diversity", 1): [math.nan, math.nan],
    ("genre_diversity", 3): [1 - 1 / 2, 1],
    ("genre_diversity", 2): [math.nan, 1],
    ("genre_calibration", 3): MIXES,
    ("genre_calibration", 1): [math.nan, math.log(1 / 0.01)],
    # The first user's most popular unseen items are 2, 3, 4, 5; the second's 0, 1, 3, 4, 5.
    ("serendipity", 1): [1, 0],
    ("serendipity", 2): [1 / 2, 0],
    ("serendipity", 3): [0, 0],
    ("tail_exposure", 1): [1, 0],
    ("tail_exposure", 3): [1, 1 / 2],
}
# Over both users, and where the first counts twice and the second never.
OVER_BOTH = {
    ("coverage", 3): [5 / 6, 3 / 6],
    ("coverage", 1): [2 / 6, 1 / 6],
    # Shown 0, 1, 1, 1, 1, 1 times; and 0, 0, 0, 2, 2, 2 times.
    ("gini", 3): [(-3 - 1 + 1 + 3 + 5) / 5 / 5, (1 + 3 + 5) / 3 / 5],
    ("gini", 1): [(3 + 5) / 2 / 5, 1],
    ("popularity_lift", 3): [(0.25 + 0.875) / (0.875 + 0.5) - 1, 0.25 / 0.875 - 1],
}


BEYOND = [name for name in metrics.names("user") if metrics.reads(name) != "targets"]


def over_lists(name, ranked, targets, facts, k, weights):
    return metrics.metric(name).over_lists(Lists(ranked, targets, k, facts), np.array(weights, dtype=float))


def per_user(name, ranked, targets, facts, k):
    return metrics.metric(name).per_user(Lists(ranked, targets, k, facts))


@pytest.mark.parametrize(("name", "k"), BY_HAND)
def test_values_computed_by_hand(name, k):
    values = per_user(name, RANKED, TARGETS, FACTS, k)
    assert values == pytest.approx(BY_HAND[name, k], nan_ok=True)


@pytest.mark.parametrize(("name", "k"), OVER_BOTH)
def test_values_over_all_lists_computed_by_hand(name, k):
    assert over_lists(name, RANKED, TARGETS, FACTS, k, [[1, 1], [2, 0]]) == pytest.approx(OVER_BOTH[name, k])


def test_every_metric_is_checked_by_hand():
    assert {name for name, _ in BY_HAND} == set(BEYOND)
    assert {name for name, _ in OVER_BOTH} | {"user_gap", "item_gap"} == set(metrics.names("set"))


@st.composite
def worlds(draw):
    """Facts about 9 items and some users, and lists of up to 6 items, by a generator that hypothesis seeds."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    n_users, n_items = draw(st.integers(1, 5)), 9
    item_users = generator.integers(0, 4, n_items).astype(np.int32)
    vectors = generator.normal(size=(n_items, 3)).astype(np.float32)
    facts = CatalogueFacts(
        item_users=item_users,
        n_users=4,
        histories=tuple(
            generator.choice(n_items, generator.integers(1, 5), replace=False).astype(np.int32) for _ in range(n_users)
        ),
        item_group=groups.by_popularity(item_users),
        user_group=generator.integers(0, 2, n_users).astype(np.int32),
        vectors=vectors / np.linalg.norm(vectors, axis=1, keepdims=True),
        genres=generator.random((n_items, 3)) < 0.4,
    )
    ranked = np.full((n_users, 6), -1, dtype=np.int32)
    for row in range(n_users):
        length = generator.integers(0, 7)
        ranked[row, :length] = generator.choice(n_items, length, replace=False)
    targets = [generator.choice(n_items, generator.integers(1, 4), replace=False) for _ in range(n_users)]
    return ranked, [target.astype(np.int32) for target in targets], facts


def pairwise_mean(items, distance):
    found = [distance(a, b) for a, b in combinations(items, 2)]
    return sum(found) / len(found) if found else math.nan


def jaccard(a, b):
    return 1 - (a & b).sum() / (a | b).sum()


@given(worlds(), st.integers(1, 7))
def test_diversity_is_the_mean_over_pairs(world, k):
    ranked, targets, facts = world
    lists = [[item for item in row[:k] if item >= 0] for row in ranked]
    by_vectors = [pairwise_mean(items, lambda a, b: 1 - facts.vectors[a] @ facts.vectors[b]) for items in lists]
    with_genres = [[item for item in items if facts.genres[item].any()] for items in lists]
    by_genres = [pairwise_mean(items, lambda a, b: jaccard(facts.genres[a], facts.genres[b])) for items in with_genres]
    found = per_user("diversity", ranked, targets, facts, k)
    assert found == pytest.approx(by_vectors, nan_ok=True, abs=1e-5)
    found = per_user("genre_diversity", ranked, targets, facts, k)
    assert found == pytest.approx(by_genres, nan_ok=True)


@given(worlds(), st.integers(1, 7))
def test_serendipity_leaves_out_what_the_most_popular_would_have_found(world, k):
    ranked, targets, facts = world
    order = sorted(range(facts.n_items), key=lambda item: (-facts.item_users[item], item))
    expected = [
        len(set(row[:k]) & set(target) - set([item for item in order if item not in history][:k])) / k
        for row, target, history in zip(ranked.tolist(), targets, facts.histories, strict=True)
    ]
    assert per_user("serendipity", ranked, targets, facts, k) == pytest.approx(expected)


@given(worlds(), st.integers(1, 7))
def test_gini_is_the_mean_absolute_difference(world, k):
    ranked, targets, facts = world
    shown = np.bincount(ranked[:, :k][ranked[:, :k] >= 0], minlength=facts.n_items)
    mean = shown.mean() or math.nan
    expected = np.abs(shown[:, None] - shown).sum() / (2 * facts.n_items * (facts.n_items - 1) * mean)
    assert over_lists("gini", ranked, targets, facts, k, [np.ones(len(ranked))]) == pytest.approx(
        [expected], nan_ok=True
    )


@pytest.mark.parametrize("name", metrics.names("set"))
@given(world=worlds(), k=st.integers(1, 7), draw=st.data())
@settings(max_examples=40)
def test_a_weight_counts_as_a_repeated_user(name, world, k, draw):
    ranked, targets, facts = world
    weights = np.array(draw.draw(st.lists(st.integers(1, 3), min_size=len(ranked), max_size=len(ranked))))
    rows = np.repeat(np.arange(len(ranked)), weights)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(groups, "FEW", 0)
        weighted = over_lists(name, ranked, targets, facts, k, [weights])
        repeated = facts.restrict(rows)
        plain = over_lists(name, ranked[rows], [targets[row] for row in rows], repeated, k, [np.ones(len(rows))])
    assert weighted == pytest.approx(plain, nan_ok=True)


@pytest.mark.parametrize("name", BEYOND)
@given(world=worlds(), k=st.integers(1, 7))
@settings(max_examples=40)
def test_users_are_judged_one_by_one(name, world, k):
    ranked, targets, facts = world
    together = per_user(name, ranked, targets, facts, k)
    alone = [
        per_user(name, ranked[[row]], [targets[row]], facts.restrict(np.array([row])), k)[0]
        for row in range(len(ranked))
    ]
    assert together == pytest.approx(alone, nan_ok=True)


@pytest.mark.parametrize("name", [*BEYOND, *metrics.names("set")])
def test_empty_lists_and_no_users_are_no_error(name):
    for rows, width in ((2, 0), (0, 3)):
        ranked, facts = np.full((rows, width), -1, dtype=np.int32), FACTS.restrict(np.arange(rows))
        targets = TARGETS[:rows]
        if name in metrics.names("set"):
            assert over_lists(name, ranked, targets, facts, 3, np.ones((1, rows))).shape == (1,)
        else:
            assert per_user(name, ranked, targets, facts, 3).shape == (rows,)


def test_large_sets_of_users_are_read_in_parts(monkeypatch):
    monkeypatch.setattr("genrec.evaluation.metrics.diversity.CHUNK", 1)
    monkeypatch.setattr("genrec.evaluation.metrics.genre_diversity.CHUNK", 1)
    for name in ("diversity", "genre_diversity"):
        assert per_user(name, RANKED, TARGETS, FACTS, 3) == pytest.approx(BY_HAND[name, 3])


def test_metrics_that_need_vectors_or_genres_say_so():
    bare = replace(FACTS, vectors=None, genres=None)
    with pytest.raises(DataError, match="vectors"):
        per_user("diversity", RANKED, TARGETS, bare, 3)
    for name in ("genre_diversity", "genre_calibration"):
        with pytest.raises(DataError, match="genres"):
            per_user(name, RANKED, TARGETS, bare, 3)


def test_gap_between_users_leaves_out_small_groups():
    # 30 users found at place 1, 20 at place 2, and 19, too few to say anything, not at all.
    sizes = (30, 20, 19)
    ranked = np.repeat(np.array([[0, 1], [1, 0], [1, 2]], dtype=np.int32), sizes, axis=0)
    targets = [np.array([0], dtype=np.int32)] * 69
    facts = replace(
        FACTS,
        histories=(np.array([5], dtype=np.int32),) * 69,
        user_group=np.repeat(np.arange(3), sizes).astype(np.int32),
        user_groups=("a", "b", "c"),
    )
    everyone = np.ones((1, 69))
    assert over_lists("user_gap", ranked, targets, facts, 2, everyone) == pytest.approx([1 - 1 / math.log2(3)])
    values = per_user("hr", ranked, targets, facts, 1)
    assert user_gap.by_group(values, facts, everyone)[0] == pytest.approx([1, 0, math.nan], nan_ok=True)
    nobody = replace(facts, user_group=np.full(69, -1, dtype=np.int32))
    assert np.isnan(over_lists("user_gap", ranked, targets, nobody, 2, everyone)).all()


def test_gap_between_items_compares_recall_of_their_targets():
    # Every user is shown items 0 (head) and 1 (tail); half of the relevant tail items are item 2, none untouched.
    ranked = np.repeat(np.array([[0, 1]], dtype=np.int32), 40, axis=0)
    targets = [np.array([0, 1 + user % 2], dtype=np.int32) for user in range(40)]
    facts = replace(FACTS, histories=(np.array([5], dtype=np.int32),) * 40)
    everyone = np.ones((1, 40))
    recall = item_gap.by_group(Lists(ranked, targets, 2, facts), everyone)
    assert recall[0] == pytest.approx([1, 0.5, math.nan], nan_ok=True)
    assert over_lists("item_gap", ranked, targets, facts, 2, everyone) == pytest.approx([0.5])


def test_groups_of_users_and_items():
    lengths = np.array([1, 5, 6, 20, 21, 100, 101], dtype=np.int32)
    assert groups.by_history(lengths).tolist() == [0, 0, 1, 1, 2, 2, 3]
    assert groups.by_popularity(np.array([1, 7, 0, 7, 7, 2, 0, 1, 1, 1])).tolist() == [1, 0, 2, 0, 1, 1, 2, 1, 1, 1]


def log_of_three():
    """u0 has item 0 twice and item 1, u1 item 0, u2 nothing; of three items, item 2 untouched."""
    names = np.array(["u0", "u1", "u2"], dtype=object), np.array(["i0", "i1", "i2"], dtype=object)
    train = Interactions.from_columns(*names, np.array([0, 0, 0, 1]), np.array([0, 0, 1, 0]), np.arange(4.0))
    users, targets = np.array([0, 1], dtype=np.int32), (np.array([2]), np.array([1]))
    return Split("temporal", train, users, targets, np.array([9.0, 9.0]), leaks=False)


def test_facts_come_from_the_training_part():
    items = [
        Item("i0", "a", {"genres": ("x", "y")}),
        Item("i1", "b", {"genres": ("y",), "kind": "film"}),
        Item("i2", "c", {"kind": "book"}),
    ]
    facts = catalogue_facts(log_of_three(), items, np.array([[3, 4], [0, 0], [0, 2]], dtype=np.float32))
    assert facts.item_users.tolist() == [2, 1, 0]
    assert facts.n_users == 2
    assert facts.popularity.tolist() == [1, 0.5, 0]
    assert [history.tolist() for history in facts.histories] == [[0, 1], [0]]
    assert facts.user_group.tolist() == [0, 0]
    assert facts.item_group.tolist() == [0, 1, 2]
    assert facts.vectors == pytest.approx(np.array([[0.6, 0.8], [0, 0], [0, 1]]))
    assert facts.genres.tolist() == [[True, True], [False, True], [False, False]]
    assert facts.history_matrix.toarray().tolist() == [[1, 1, 0], [1, 0, 0]]
    assert facts.restrict(np.array([False, True])).history_matrix.toarray().tolist() == [[1, 0, 0]]


def test_items_are_counted_in_what_is_fitted_on_and_histories_are_whole():
    split = log_of_three()
    facts = catalogue_facts(split, [], fit_on=split.train.select(split.train.user == 1))
    assert (facts.item_users.tolist(), facts.n_users) == ([1, 0, 0], 1)
    assert [history.tolist() for history in facts.histories] == [[0, 1], [0]]
    assert facts.item_group.tolist() == [0, 2, 2]


def test_groups_and_genres_can_be_named():
    items = [Item("i0", "a", {"kind": "film"}), Item("i1", "b"), Item("i2", "c", {"kind": "book"})]
    facts = catalogue_facts(log_of_three(), items, genre_field="kind", user_groups=["old", "new"])
    assert facts.user_groups == ("new", "old")
    assert facts.user_group.tolist() == [1, 0]
    some = catalogue_facts(log_of_three(), items, user_groups=["old", None])
    assert (some.user_groups, some.user_group.tolist()) == (("old",), [0, -1])
    assert facts.genres.tolist() == [[False, True], [False, False], [True, False]]
    assert catalogue_facts(log_of_three(), items).genres is None
    assert catalogue_facts(log_of_three(), items).vectors is None
