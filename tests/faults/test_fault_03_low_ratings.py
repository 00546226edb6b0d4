"""One star does not lead to what five stars lead to."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrec.data.histories import HistoryArrays
from genrec.data.interactions import Interactions
from genrec.data.ratings import RatingScale
from genrec.domain import History, HistoryEntry, Item
from genrec.retrieval.base import RETRIEVERS as ALL

PULLING = ("covisit", "item_knn", "ease", "ials", "bpr", "repeat")


def two_worlds() -> Interactions:
    """60 users; half of them take items 0 to 9 and half 10 to 19, and all rate them 3 to 5."""
    generator = np.random.default_rng(0)
    user = np.repeat(np.arange(60), 6)
    item = np.concatenate([generator.choice(10, 6, replace=False) + 10 * (n % 2) for n in range(60)])
    ids = [np.array([f"{name}{n}" for n in range(size)], dtype=object) for name, size in (("u", 60), ("i", 20))]
    value = generator.integers(3, 6, len(user)).astype(float)
    value[:2] = 1.0, 5.0  # the ends of the scale
    return Interactions.from_columns(*ids, user, item, np.tile(np.arange(6.0), 60), value)


@pytest.mark.parametrize("name", PULLING)
def test_what_is_near_to_one_star_goes_down_and_near_to_five_up(name: str) -> None:
    log = two_worlds()
    fitted = ALL.find(name).fit(log, [Item(item_id, item_id) for item_id in log.item_ids])
    index = {item_id: place for place, item_id in enumerate(log.item_ids)}

    def lead(stars: float | None) -> float:
        """How far the world of item 0 is above the other."""
        entries = () if stars is None else (HistoryEntry(Item("i0", "0"), 9.0, "rating", stars),)
        scores = fitted.scores(HistoryArrays.of(History("new", entries), index, 10.0, log.scale))
        return float(scores[:10].mean() - scores[10:].mean())

    assert lead(5.0) > max(lead(None), lead(1.0))
    assert lead(1.0) < lead(None) or (name == "ials" and lead(1.0) == lead(None))  # which it does not pull
    assert lead(5.0) == lead(3.0)


def test_one_star_is_no_popularity() -> None:
    ids = np.array(["a", "b"], dtype=object)
    users = np.array([f"u{n}" for n in range(6)], dtype=object)
    columns = np.arange(6), np.array([0, 0, 0, 0, 1, 1]), np.arange(6.0)
    log = Interactions.from_columns(users, ids, *columns, np.array([1.0, 1.0, 1.0, 1.0, 5.0, 4.0]))
    scores = ALL.find("popular").fit(log, [Item("a", "A"), Item("b", "B")]).scores(None)  # type: ignore[arg-type]
    assert scores[1] > scores[0] == 0


def test_low_is_meant_by_scale_and_user() -> None:
    scale = RatingScale.of(1.0, 5.0)
    assert scale.noes(np.array([1.0, 5.0, 3.0, np.nan])).tolist() == [True, False, False, False]
    strict = np.array([1.0] * 30 + [2.0])
    assert scale.noes(strict).tolist() == [True] * 30 + [False]
    assert RatingScale.of(0.0, 100.0).noes(np.array([40.0, 60.0])).tolist() == [True, False]


@given(st.lists(st.sampled_from([1.0, 2.0, 3.0, 4.0, 5.0]), min_size=1, max_size=30))
def test_users_are_judged_by_their_own_ratings_only(values: list[float]) -> None:
    scale, value = RatingScale.of(1.0, 5.0), np.array(values)
    alone = scale.noes(value)
    twice = scale.noes(np.concatenate([value, np.full(9, 5.0)]), np.repeat([0, 1], [len(value), 9]))
    assert twice[: len(value)].tolist() == alone.tolist()
    assert not alone[value >= scale.middle].any()
