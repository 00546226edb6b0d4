"""Lists of other tools: read as declared or refused by line, and judged without what the user has seen."""

import numpy as np
import pytest

from genrec.data.interactions import Interactions
from genrec.data.splits import leave_one_out
from genrec.errors import DataError
from genrec.evaluation.suite.external import ranked_by, read_lists


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "lists.tsv"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


def test_by_rank_and_by_score(file):
    ranks = read_lists(file("user\titem\trank\nu1\ta\t2\nu1\tb\t1\nu2\tc\t1\n"))
    assert ranks.of_user == {"u1": ["b", "a"], "u2": ["c"]}
    scores = read_lists(file("user_id\titem_id\tscore\r\nu1\ta\t-0.5\r\nu1\tb\t1e-3\r\nu1\tc\t1e-3\r\n"))
    assert scores.of_user == {"u1": ["b", "c", "a"]}


def test_ids_may_hold_what_unicode_counts_as_the_end_of_a_line(file):
    assert read_lists(file("user\titem\trank\nu\u2028x\ta\x0bb\t1\n")).of_user == {"u\u2028x": ["a\x0bb"]}


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("u1\ta", "3 columns expected, 2 found"),
        ("u1\ta\t1\t2", "3 columns expected, 4 found"),
        ("\ta\t1", "must not be empty"),
        ("u1\ta\t0", "whole number from 1"),
        ("u1\ta\t1.5", "whole number from 1"),
        ("u1\tz\t2", "rank is taken"),
        ("u1\tb\t3", "stands in the user's list already"),
    ],
)
def test_bad_rows_are_refused_by_file_and_line(file, row, problem):
    with pytest.raises(DataError) as caught:
        read_lists(file(f"user\titem\trank\nu1\tb\t2\n{row}\n"))
    assert "lists.tsv, line 3: " in caught.value.message
    assert problem in caught.value.message


def test_scores_must_be_finite(file):
    for score in ("nan", "inf", "much"):
        with pytest.raises(DataError, match="line 2: the score must be a number"):
            read_lists(file(f"user\titem\tscore\nu1\ta\t{score}\n"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "line 1: the header"),
        ("u1\ta\t1\n", "line 1: the header"),
        ("user,item,rank\n", "line 1: the header"),
        ("user\titem\trank\n", "no ranked items"),
        (b"user\titem\trank\n\xff\ta\t1\n", "not UTF-8"),
    ],
)
def test_a_file_that_is_wrong_as_a_whole(file, text, problem):
    with pytest.raises(DataError, match=problem):
        read_lists(file(text))


def test_a_missing_file(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_lists(tmp_path / "none.tsv")


def test_seen_and_unknown_items_are_left_out_and_counted(file):
    users = np.array(["u0", "u1"], dtype=object)
    items = np.array(["a", "b", "c"], dtype=object)
    log = Interactions.from_columns(users, items, np.array([0, 0, 1, 1]), np.array([0, 1, 1, 2]), np.arange(4.0))
    lists = read_lists(file("user\titem\trank\nu0\tx\t1\nu0\ta\t2\nu0\tc\t3\nu0\tb\t4\nu9\ta\t1\n"))
    ranked, said = ranked_by(lists, leave_one_out(log), 2)
    assert ranked.tolist() == [[2, 1], [-1, -1]]
    assert said == [
        "lists.tsv: 1 test users have no list there and count 0",
        "lists.tsv: 1 listed items are not in the catalogue; left out",
        "lists.tsv: 1 listed items the user has seen already; left out",
        "lists.tsv: 1 users with a list are no test users here; ignored",
    ]
    assert ranked_by(lists, leave_one_out(log), 1)[0].tolist() == [[2], [-1]]
