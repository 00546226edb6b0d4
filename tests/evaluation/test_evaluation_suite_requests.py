"""Requests in words of a suite: simulated ones, and those of a file."""

from types import SimpleNamespace

import numpy as np
import pytest

from genrec.data.interactions import Interactions
from genrec.data.splits import leave_one_out
from genrec.domain import Item
from genrec.errors import DataError
from genrec.evaluation.suite.requests import given_requests, requests_of, simulated_requests
from genrec.evaluation.suite.schema import Suite
from genrec.settings import Settings


def test_a_simulated_request_is_about_the_target_and_the_same_whoever_is_asked_beside():
    genres = ("comedy", "drama", "horror", "western", "musical")
    items = [Item(f"i{n}", f"No {n}", {"genres": (genres[n % 5],)}) for n in range(30)]
    users = np.array([f"u{n}" for n in range(30)], dtype=object)
    ids = np.array([item.id for item in items], dtype=object)
    everyone, late = np.repeat(np.arange(30), 2), np.tile([0.0, 1.0], 30)
    picked = (everyone * 7 + late.astype(int)) % 30
    split = leave_one_out(Interactions.from_columns(users, ids, everyone, picked, late))
    found = simulated_requests(SimpleNamespace(items=items, split=split, settings=Settings()))
    assert "simulated" in found.warnings[0]
    for text, target in zip(found.texts, split.targets, strict=True):
        assert genres[int(target[0]) % 5] in text
    few = simulated_requests(
        SimpleNamespace(items=items, split=split.restrict(["u3", "u9"]), settings=Settings())
    ).texts
    assert few == [found.texts[3], found.texts[9]]


@pytest.fixture
def bench():
    users = np.array([f"u{n}" for n in range(3)], dtype=object)
    items = np.array(["a", "b"], dtype=object)
    log = Interactions.from_columns(users, items, np.repeat(np.arange(3), 2), np.tile([0, 1], 3), np.arange(6.0))
    return SimpleNamespace(split=leave_one_out(log))


@pytest.fixture
def file(tmp_path):
    def write(text):
        (tmp_path / "said.tsv").write_bytes(text.encode())
        return tmp_path / "said.tsv"

    return write


def suite(folder, **given):
    content = {"name": "s", "description": "", "systems": {"p": {"retriever": "popular"}}, "folder": folder, **given}
    return Suite.model_validate(content)


def test_requests_of_a_file_go_to_the_users_who_said_them(bench, file):
    said = file("\ufeffuser\tquery\r\nu2\t  etwas Ruhiges \r\nu0\tsomething loud\r\n\r\nu9\tnobody asks\r\n")
    found = requests_of(suite(said.parent, queries=said.name), bench)
    assert found.texts == ["something loud", None, "etwas Ruhiges"]
    assert found.warnings == [
        "said.tsv: 1 of 3 test users have no request there and say nothing",
        "said.tsv: 1 users with a request are no test users here; ignored",
    ]


def test_requests_have_the_name_of_what_is_said_whatever_the_order_of_the_lines(bench, file):
    name = given_requests(file("user\tquery\nu0\tx\nu1\ty\n"), bench).name
    assert given_requests(file("user_id\trequest\nu1\ty\nu0\tx\n"), bench).name == name
    assert given_requests(file("user\tquery\nu0\ty\nu1\tx\n"), bench).name != name


def test_no_requests_are_none_for_everybody(bench, tmp_path):
    found = requests_of(suite(tmp_path), bench)
    assert (found.texts, found.name, found.warnings) == ([None] * 3, "none", [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: the header must name user and query"),
        ("user\titem\nu0\ta\n", "line 1: the header must name user and query"),
        ("user\tquery\nu0\n", "line 2: 2 columns expected, 1 found"),
        ("user\tquery\nu0\ta\tb\n", "line 2: 2 columns expected, 3 found"),
        ("user\tquery\nu0\t \n", "line 2: user and query must not be empty"),
        ("user\tquery\nu0\tx\nu0\ty\n", "line 3: this user has a query already"),
        ("user\tquery\nu9\tx\n", "has no request of any test user"),
    ],
)
def test_a_file_that_is_none_says_where_and_what_to_write(bench, file, text, message):
    with pytest.raises(DataError, match=message) as caught:
        given_requests(file(text), bench)
    assert "user<TAB>query" in caught.value.hint


def test_a_word_that_is_no_kind_of_requests_is_taken_for_a_file_that_is_missing(bench, tmp_path):
    with pytest.raises(DataError, match="cannot be read") as caught:
        requests_of(suite(tmp_path, queries="simulatd"), bench)
    assert "simulated" in caught.value.hint
