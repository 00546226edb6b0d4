"""Who is in a subset of a suite, and in a group of users that the suite names."""

from types import SimpleNamespace

import numpy as np
import pytest

from genrec.data.interactions import Interactions
from genrec.data.splits import leave_one_out
from genrec.errors import DataError
from genrec.evaluation.suite.judge import subset_masks
from genrec.evaluation.suite.requests import groups_of
from genrec.evaluation.suite.schema import Subset, Suite

HOURS = np.array([0, 3, 4, 12, 21, 22, 23])
MIDNIGHT = 1_600_041_600.0  # 2020-09-14, UTC


def bench(start=MIDNIGHT):
    """One user for each of the hours, whose last event is then."""
    n = len(HOURS)
    times = np.stack([np.full(n, start), start + 86_400 + 3600 * HOURS + 59], axis=1)
    users, items = np.array([f"u{n}" for n in range(n)], dtype=object), np.array(["a", "b"], dtype=object)
    log = Interactions.from_columns(users, items, np.repeat(np.arange(n), 2), np.tile([0, 1], n), times.ravel())
    return SimpleNamespace(split=leave_one_out(log), interactions=log)


@pytest.mark.parametrize(("hours", "inside"), [((4, 22), [4, 12, 21]), ((22, 4), [0, 3, 22, 23]), ((23, 24), [23])])
def test_hours_hold_the_first_and_not_the_last_and_may_go_over_midnight(hours, inside):
    mask = subset_masks({"some": Subset(hours=hours)}, bench())["some"]
    assert HOURS[mask].tolist() == inside


def test_positions_have_no_hours():
    with pytest.raises(DataError, match="the subset some asks for hours"):
        subset_masks({"some": Subset(hours=(4, 22))}, bench(0.0))


def suite(folder):
    content = {"name": "s", "description": "", "systems": {"p": {"retriever": "popular"}}, "folder": folder}
    return Suite.model_validate({**content, "metrics": ["user_gap@5"], "groups": "ages.tsv"})


def test_groups_of_a_file_go_to_the_test_users(tmp_path):
    (tmp_path / "ages.tsv").write_text("user\tgroup\nu3\told\nu0\tyoung\nstranger\told\n")
    found, said = groups_of(suite(tmp_path), bench())
    assert found == ["young", None, None, "old", None, None, None]
    assert said == ["ages.tsv: 5 of 7 test users are in no group there"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("user\tage\nu0\told\n", "line 1: the header must name user and group"),
        ("user\tgroup\nu0\told\nu0\tyoung\n", "line 3"),
        ("user\tgroup\nstranger\told\n", "has the group of no test user"),
    ],
)
def test_a_file_of_groups_that_says_nothing_or_two_things_is_an_error(tmp_path, text, said):
    (tmp_path / "ages.tsv").write_text(text)
    with pytest.raises(DataError, match=said):
        groups_of(suite(tmp_path), bench())
