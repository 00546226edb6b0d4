"""Drawings put values where they belong, and can be read without seeing them."""

import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from genrec.reports.charts import WIDTH, Mark, Panel, Row, curve, intervals


def circles(drawing):
    return [(float(one.get("cx")), float(one.get("cy"))) for one in drawing.iter("circle")]


def one_panel(*marks, **options):
    rows = tuple(Row(f"row {place}", (mark,)) for place, mark in enumerate(marks))
    return ET.fromstring(intervals([Panel("ndcg@10", rows)], "A title", **options))


def test_dots_and_whiskers_stand_on_one_scale_from_zero():
    drawing = one_panel(Mark(0.1, 0.05, 0.15), Mark(0.2), None)
    (first, _), (second, _) = circles(drawing)
    whisker = next(line for line in drawing.iter("line") if "whisker" in line.get("class"))
    ticks = {text.text: float(text.get("x")) for text in drawing.iter("text") if text.get("class") == "muted"}
    assert list(ticks) == ["0.00", "0.05", "0.10", "0.15", "0.20"]
    assert first == pytest.approx(ticks["0.10"], abs=0.11)
    assert second == pytest.approx(ticks["0.20"], abs=0.11)
    assert float(whisker.get("x1")) == pytest.approx(ticks["0.05"], abs=0.11)
    assert float(whisker.get("x2")) == pytest.approx(ticks["0.15"], abs=0.11)
    assert "row 2" not in "".join(drawing.itertext()), "a row without a value is not drawn"


def test_differences_have_a_line_at_zero_and_signs():
    drawing = one_panel(Mark(-0.01, -0.03, 0.01), Mark(-0.02, -0.03, -0.01), zero=True)
    (zero,) = [line for line in drawing.iter("line") if line.get("class") == "zero"]
    assert zero.get("x1") == zero.get("x2")
    assert all(x < float(zero.get("x1")) for x, _ in circles(drawing))
    assert "-0.0100" in [text.text for text in drawing.iter("text")]
    positive = one_panel(Mark(0.02, 0.01, 0.03), zero=True)
    assert [line for line in positive.iter("line") if line.get("class") == "zero"], "zero is inside of the axis"


def test_series_differ_in_mark_and_have_a_legend():
    rows = (Row("few", (Mark(1.0), Mark(2.0))), Row("many", (None, Mark(3.0))))
    drawing = ET.fromstring(intervals([Panel("x", rows)], "t", ("fused", "plain")))
    assert len(circles(drawing)) == 2, "one in the legend, one value"
    assert len(list(drawing.iter("rect"))) == 3
    texts = [text.text for text in drawing.iter("text")]
    assert texts[:2] == ["fused", "plain"]
    alone = ET.fromstring(intervals([Panel("x", (Row("few", (Mark(1.0),)),))], "t", ("fused − plain",)))
    assert "fused − plain" in [text.text for text in alone.iter("text")]


def test_what_is_drawn_is_said():
    drawing = one_panel(Mark(0.1, 0.05, 0.15), Mark(0.2))
    assert drawing.get("role") == "img"
    assert drawing[0].tag == "title"
    assert drawing[0].text == "A title"
    assert drawing[1].tag == "desc"
    assert "row 0: 0.1000 (0.0500 to 0.1500)" in drawing[1].text
    assert "row 1: 0.2000" in drawing[1].text


def test_nothing_is_drawn_of_nothing():
    assert intervals([], "t") == ""
    assert intervals([Panel("x", (Row("a", (None,)),))], "t") == ""
    assert curve([], "t", x_name="x", y_name="y", x_text=str) == ""


def test_a_curve_has_its_points_in_order_its_band_and_the_chosen_point():
    points = [(1.0, Mark(0.3, 0.2, 0.4)), (0.0, Mark(0.1, 0.0, 0.2)), (0.5, Mark(0.2, 0.1, 0.3))]
    drawing = ET.fromstring(
        curve(
            points,
            "t",
            x_name="share",
            y_name="ndcg",
            x_text=lambda x: f"{100 * x:.0f} %",
            chosen=(0.5, 0.2),
            chosen_name="default",
            level=0.1,
        )
    )
    ring = next(one for one in drawing.iter("circle") if one.get("class") == "ring")
    dots = [(float(c.get("cx")), float(c.get("cy"))) for c in drawing.iter("circle") if c.get("class") == "s0"]
    assert [x for x, _ in dots] == sorted(x for x, _ in dots)
    assert [y for _, y in dots] == sorted((y for _, y in dots), reverse=True), "higher values are further up"
    assert (float(ring.get("cx")), float(ring.get("cy"))) == dots[1]
    level = next(line for line in drawing.iter("line") if line.get("class") == "zero")
    assert float(level.get("y1")) == dots[0][1]
    band = next(path for path in drawing.iter("path") if path.get("class") == "band")
    assert len(re.findall(r"[\d.]+ [\d.]+", band.get("d"))) == 6
    assert "default" in "".join(drawing.itertext())
    assert "0 %: 0.1000 (0.0000 to 0.2000); 50 %" in drawing.find("desc").text


numbers = st.floats(-1e6, 1e6).map(lambda x: round(x, 6))


@given(
    st.lists(st.tuples(st.text(max_size=30), numbers, st.floats(0, 10), st.floats(0, 10)), min_size=1, max_size=6),
    st.booleans(),
)
@example([("", 0.0, 0.0, 5e-324)], False)
def test_whatever_is_drawn_parses_and_stays_inside(given_rows, zero):
    rows = tuple(Row(label, (Mark(value, value - below, value + above),)) for label, value, below, above in given_rows)
    drawing = ET.fromstring(intervals([Panel("m", rows)], "t", zero=zero))
    _, _, width, height = map(float, drawing.get("viewBox").split())
    assert width == WIDTH
    for x, y in circles(drawing):
        assert 0 <= x <= WIDTH
        assert 0 <= y <= height
    for line in drawing.iter("line"):
        assert all(-0.1 <= float(line.get(end)) <= WIDTH + 0.1 for end in ("x1", "x2"))
    assert len(list(drawing.iter("line"))) < 60
