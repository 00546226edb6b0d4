import json
from xml.etree import ElementTree

import pytest

from genrec.data.describe import describe, describe_html, describe_text
from genrec.data.sqlite.store import SqliteStore
from genrec.domain import Event, Item

DAY = 86_400.0
START = 1_700_006_400.0  # a midnight


@pytest.fixture
def store(tmp_path):
    with SqliteStore(tmp_path / "genrec.db", create=True) as opened:
        yield opened


def _fill(store, events, items="abcd"):
    store.put_items(Item(name, f"<{name}>") for name in items)
    store.append([Event(user, item, at, value=value) for user, item, at, value in events])


def test_figures_by_hand(store):
    _fill(
        store,
        [
            ("u", "a", START, 4.0),
            ("u", "b", START + DAY, 5.0),
            ("u", "a", START + 2.5 * DAY, 4.0),
            ("v", "a", START + 100, None),
        ],
    )
    d = describe(store)
    assert (d["users"], d["items"], d["events"]) == (2, 4, 4)
    assert d["density"] == 4 / 8
    assert d["cold_item_share"] == 0.5
    assert d["short_history_share"] == 1.0
    assert d["activity"]["mean"] == 2.0
    assert d["activity"]["quantiles"]["0.5"] == 2.0
    assert d["activity"]["histogram"] == [[1, 1, 1], [2, 3, 1]]
    assert d["popularity"]["quantiles"]["1"] == 3.0
    # popularity 0, 0, 1, 3: 2 * (3 * 1 + 4 * 3) / (4 * 4) - 5 / 4
    assert d["popularity"]["gini"] == 0.625
    assert d["values"] == {
        "count": 3,
        "mean": 13 / 3,
        "minimum": 4.0,
        "maximum": 5.0,
        "distribution": [[4.0, 2], [5.0, 1]],
    }
    assert d["time"]["days"] == 2.5
    assert d["time"]["events_per_day"] == 4 / 2.5
    assert d["time"]["events_over_time"] == [[START, 2], [START + DAY, 1], [START + 2 * DAY, 1]]


def test_positions_are_no_dates(store):
    _fill(store, [("u", "a", float(n), None) for n in range(61)])
    d = describe(store)
    assert d["time"]["unit"] == "positions"
    assert d["time"]["days"] is None
    assert sum(count for _, count in d["time"]["events_over_time"]) == 61
    assert d["values"] is None
    assert "position 60" in dict(describe_text(d))["time"]


def test_many_values_are_binned(store):
    _fill(store, [("u", "a", 1.0, n / 10) for n in range(100)])
    distribution = describe(store)["values"]["distribution"]
    assert [count for _, count in distribution] == [5] * 20
    assert distribution[0][0] == 0.0


def test_long_spans_keep_every_event(store):
    _fill(store, [("u", "a", START + n * 100 * DAY, None) for n in range(80)])
    over_time = describe(store)["time"]["events_over_time"]
    assert len(over_time) <= 61
    assert sum(count for _, count in over_time) == 80


@pytest.mark.parametrize("items", ["", "ab"])
def test_nothing_yet(store, items):
    _fill(store, [], items)
    d = describe(store)
    assert (d["events"], d["density"], d["popularity"]["gini"]) == (0, None, None)
    assert json.loads(json.dumps(d, allow_nan=False)) == d
    assert dict(describe_text(d))["users"] == "0"
    assert "<svg" not in describe_html(d)


@pytest.mark.parametrize("events", [1, 30])
@pytest.mark.parametrize("value", [None, 3.0])
def test_the_page_stands_alone(store, events, value):
    _fill(store, [("u", "a", START + n * DAY, value) for n in range(events)])
    page = describe_html(describe(store))
    svgs = page.split("<figure>")[1:]
    assert len(svgs) == (3 if value is None else 4)
    for svg in svgs:
        ElementTree.fromstring(svg.split("</figure>")[0])
    assert "<script" not in page
    assert 'src="' not in page


def test_equal_popularity_has_gini_zero(store):
    _fill(store, [("u", item, 1.0, None) for item in "abcd"])
    assert describe(store)["popularity"]["gini"] == pytest.approx(0.0)
