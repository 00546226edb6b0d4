"""Validation users: the same ones no matter who else is in the log."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from genrec.data.splits import validation_mask

IDS = [f"user {number}" for number in range(20_000)]


def test_the_share_is_about_what_was_asked_for() -> None:
    for fraction in (0.05, 0.2, 0.5):
        assert abs(validation_mask(IDS, fraction).mean() - fraction) < 0.01
    assert not validation_mask(IDS, 0.0).any()
    assert validation_mask(IDS, 1.0).all()


def test_a_larger_share_keeps_the_users_of_a_smaller_one() -> None:
    assert not (validation_mask(IDS, 0.1) & ~validation_mask(IDS, 0.2)).any()


def test_another_seed_chooses_other_users() -> None:
    both = validation_mask(IDS, 0.2) & validation_mask(IDS, 0.2, seed=1)
    assert abs(both.mean() - 0.04) < 0.01


def test_the_hash_is_fixed_across_processes_and_versions() -> None:
    # Adapters of earlier runs rest on it: another hash would mix their training users into validation.
    assert np.flatnonzero(validation_mask(IDS[:20])).tolist() == [5, 8, 13]


@given(st.lists(st.text(min_size=1), unique=True, max_size=30), st.randoms())
def test_order_and_company_do_not_matter(ids: list[str], random) -> None:
    sides = dict(zip(ids, validation_mask(ids), strict=True))
    shuffled = ids[:]
    random.shuffle(shuffled)
    assert validation_mask(shuffled).tolist() == [sides[user] for user in shuffled]
    assert validation_mask(shuffled[::2]).tolist() == [sides[user] for user in shuffled[::2]]
