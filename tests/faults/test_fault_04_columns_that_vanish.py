"""Columns that are not used are named, with how to use them; booleans and amounts are kept for what they are."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genrec.artifacts.workspace import Workspace
from genrec.data.describe import understood
from genrec.data.importer import import_source
from genrec.data.sources.tables import Tables
from genrec.data.store import open_store


def imported(folder, columns, rows, value_column=None, parquet=False):
    """The lines that an import of a table says, and the store."""
    file = folder / ("log.parquet" if parquet else "log.csv")
    if parquet:
        pq.write_table(pa.table(dict(zip(columns, map(list, zip(*rows, strict=True)), strict=True))), file)
    else:
        file.write_text("\n".join([",".join(columns), *(",".join(map(str, row)) for row in rows)]) + "\n", "utf-8")
    workspace = Workspace.create(folder / "w")
    report = import_source(Tables(file, value_column=value_column), workspace)
    return understood(report), report, open_store(workspace)


NAMED = ("user_id", "item_id", "timestamp")


@pytest.mark.parametrize("parquet", [False, True])
def test_unused_columns_are_named(tmp_path, parquet) -> None:
    rows = [("u", "a", 1_600_000_000, "text", 1200), ("u", "b", 1_600_000_100, "text", 900)]
    lines, report, _ = imported(tmp_path, (*NAMED, "review", "ms_played"), rows, parquet=parquet)
    assert report.unused_columns == ("review", "ms_played")
    assert "not used: review, ms_played; to use one as value: --value-column ms_played" in lines


@pytest.mark.parametrize("parquet", [False, True])
def test_a_boolean_is_a_value(tmp_path, parquet) -> None:
    rows = [("u", "a", 1_600_000_000, True), ("u", "b", 1_600_000_100, False)]
    lines, report, store = imported(tmp_path, (*NAMED, "recommended"), rows, "recommended", parquet)
    assert report.unused_columns == ()
    assert store.interactions().value.tolist() == [1.0, 0.0]
    assert store.scale().liked == 0.75
    assert "ratings: 0 to 1; liked from 0.75; set it by liked in the settings" in lines


def test_an_amount_is_an_amount(tmp_path) -> None:
    rows = [("u", "a", 1_600_000_000, 12), ("u", "b", 1_600_000_100, 30)]
    lines, _, store = imported(tmp_path, (*NAMED, "playtime_forever"), rows, "playtime_forever")
    assert np.isnan(store.interactions().value).all()
    assert [(entry.event_type, entry.value) for entry in store.history("u").entries] == [("play", 12.0), ("play", 30.0)]
    assert "event types: play 2" in lines


def test_values_too_large_for_ratings_are_amounts(tmp_path) -> None:
    rows = [("u", "a", 1_600_000_000, 1200), ("u", "b", 1_600_000_100, 3)]
    lines, _, store = imported(tmp_path, (*NAMED, "value"), rows)
    assert "ratings: up to 1200: amounts, not ratings" in lines
    assert np.isnan(store.interactions().value).all()
    assert not store.interactions().noes.any()


def test_types_repeats_and_strange_times_are_said(tmp_path) -> None:
    rows = [("u", "a", 0, "wobble"), ("u", "a", 0, "wobble"), ("u", "b", 1, "like"), ("u", "c", 2, "dislike")]
    lines, report, _ = imported(tmp_path, (*NAMED, "event_type"), rows)
    assert report.repeated_events == 1
    assert "event types: wobble 2, like 1, dislike 1 (no)" in lines
    assert any(line.startswith("not known: wobble: taken for a yes") for line in lines)
    assert "timestamps go from 0 to 2: taken for positions, not for dates" in lines


def test_a_year_to_come_is_said(tmp_path) -> None:
    lines, _, _ = imported(tmp_path, NAMED, [("u", "a", 9_500_000_000)])
    assert "the newest event is of 2271-01-16, which is yet to come: check the unit" in lines
