"""The scale of ratings is seen, stored and said, and `liked` follows it."""

import json

import numpy as np
import pytest

from genrec.data.ratings import FILE, with_liked
from genrec.data.sqlite.store import SqliteStore
from genrec.data.store import open_store
from genrec.domain import Event, Item
from genrec.settings import Settings


@pytest.mark.parametrize(
    ("values", "source", "liked"),
    [
        ((1, 5, 3), "ratings", 4.0),
        ((0.5, 5, 3), "ratings", 4.0),
        ((2, 8), "ratings", 7.75),
        ((0, 100, 50), "ratings", 75.0),
        ((0, 1), "ratings", 0.75),
        ((0.2, 0.9), "ratings", 0.75),
        ((-10, 10), "ratings", 5.0),
        ((-1, 1), "ratings", 0.5),
        ((1, 1), "constant", 1.0),
        ((0, 0), "constant", 0.0),
        ((5, 86_400), "amounts", 0.0),
    ],
)
def test_liked_follows_the_scale(tmp_path, values, source, liked) -> None:
    with SqliteStore(tmp_path / "genrec.db", create=True) as store:
        store.put_items([Item("a", "A")])
        store.append([Event(f"u{n}", "a", float(n), "rating", float(value)) for n, value in enumerate(values)])
        scale = store.scale()
        assert (scale.source, scale.liked) == (source, liked)
        assert with_liked(Settings(), store).scoring.liked == liked
        best = store.interactions().value[np.argmax(values)]
        assert np.isnan(best) or best >= liked


def test_what_is_set_stays(tmp_path) -> None:
    with SqliteStore(tmp_path / "genrec.db", create=True) as store:
        store.put_items([Item("a", "A")])
        store.append([Event("u", "a", float(n), "rating", 20.0 * n) for n in range(5)])
        said = Settings.load(None, {"scoring": {"liked": 30.0}})
        assert with_liked(said, store) == said
    url = f"sqlite:///{tmp_path}/genrec.db"
    with open_store(url, said) as store:
        assert store.scale().liked == 30.0
        assert store.interactions().noes.tolist() == [True, True, False, False, False]


def test_the_stored_scale_holds_when_the_next_ratings_are_lower(tmp_path) -> None:
    with SqliteStore(tmp_path / "genrec.db", create=True) as store:
        store.put_items([Item("a", "A")])
        store.append([Event("u", "a", 1.0, "rating", 80.0), Event("u", "a", 2.0, "rating", 20.0)])
        store.scale().write(tmp_path)
        assert json.loads((tmp_path / FILE).read_text("utf-8"))["liked"] == 75.0
        store.append([Event("u", "a", 3.0, "rating", -100.0)])
        assert store.scale().liked == 75.0
