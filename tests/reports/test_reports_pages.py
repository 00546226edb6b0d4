"""The page of a run: every section of a suite's record, self-contained, well-formed and readable."""

import json
import re
from html.parser import HTMLParser
from importlib import resources

import numpy as np
import pytest

from genrec.evaluation.breakdown import breakdown, by_name
from genrec.evaluation.controls import DEFINITIONS
from genrec.evaluation.tables import value_table
from genrec.reports.figures import differences
from genrec.reports.pages import page as rendered
from genrec.reports.sections import flat

VOID = {"meta", "link", "br", "hr", "img", "input"}
METRICS = ["ndcg@10", "hr@10"]


def per_user(users=60):
    generator = np.random.default_rng(0)
    plain = generator.random((users, 2)) * 0.5
    better = plain + generator.normal(0.1, 0.05, plain.shape)
    return {"retriever": plain, "fused": better, "llm": generator.permutation(plain)}


@pytest.fixture(scope="module")
def record():
    """What a suite leaves, with everything that the page knows."""
    values = per_user()
    pairs = [("fused", "retriever"), ("llm", "retriever")]
    table = value_table(values, METRICS, pairs)
    table["fused"]["ndcg@10_seeds"] = {"sd": 0.0123, "values": [0.3, 0.32, 0.31]}
    for row in table.values():
        row |= {"user_gap@10": 0.25, "user_gap@10_ci": [0.2, 0.3], "novelty@10": 5.5, "novelty@10_ci": None}
    spoiled = {"llm": values["llm"], "no_history": values["llm"] * 0.5}
    buckets = by_name("Kind of <user>", np.repeat([0, 1], [50, 10]), ("new", "rare"))
    found = {
        "id": "20260101T000000-suite-abcdef",
        "kind": "suite",
        "created": "2026-01-01T00:00:00Z",
        "description": "What a <part> brings",
        "split": "temporal",
        "users": 1234,
        "items": 4321,
        "seeds": [0, 1, 2],
        "warnings": ["leak allowed: the adapter 'films' was trained with nothing held out"],
        "systems": table,
        "headline": METRICS,
        "definitions": {"ndcg": "a definition", "no_history": DEFINITIONS["no_history"]},
        "subsets": {"late_evening": {"users": 20, "systems": value_table(values, METRICS, pairs)}},
        "comparisons": [{"system": "never read"}],
        "gates": [
            {"gate": "fused.ndcg@10 >= 0.10", "passed": True, "found": "0.31"},
            {"gate": "fused.ndcg@10 > llm.ndcg@10 significantly", "passed": False, "found": "difference <0"},
        ],
        "controls": {"llm": value_table(spoiled, METRICS, [("no_history", "llm")])},
        "breakdown": breakdown(values, METRICS, {"kind": buckets}, pairs),
        "cost_curve": {
            "points": [{"share_llm": s, "ndcg@10": 0.1 + s / 50, "low": 0.09, "high": 0.13} for s in (0, 0.4, 1)],
            "default": {"share_llm": 0.4, "ndcg@10": 0.108},
        },
        "position_bias": {
            "llm": {
                "gain": [0.3, None, 0.5],
                "relevant": [12, 0, 9],
                "deviation": 0.1414,
                "shuffle_effect": {"mean": -0.004, "low": -0.011, "high": 0.003, "p": 0.4},
            }
        },
        "candidate_recall": {"fused": 0.4567},
        "validity": {"rankings": 1234, "invalid": 0, "duplicate": 0, "missing": 0},
        "fallbacks": {},
        "agreement": {"mean_tau": None, "users": 0},
        "tokens": {"prompt": 812.5},
        "latency_ms": {"requests": 60, "llm": {"median": 12.5, "p95": 20.0}},
        "served": {"llm": {"model": "smollm2-135m"}},
        "fingerprint": "f" * 64,
        "git_revision": "0123abcd+",
        "versions": {"genrec": "0.1.0"},
        "settings": {"model": {"name": "</pre><script>alert(1)</script>"}},
    }
    json.dumps(found, allow_nan=False)
    return found


@pytest.fixture(scope="module")
def page(record):
    return rendered(record)


class Checked(HTMLParser):
    """Notes what is open, every id, every attribute, and the text."""

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.open, self.ids, self.attributes, self.regions, self.text = [], [], [], [], []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        named = dict(attributes)
        self.attributes += [(tag, name, value) for name, value in attributes]
        self.ids += [named["id"]] if "id" in named else []
        if named.get("role") == "region":
            self.regions.append(named)
        if tag == "table":
            assert self.regions, "tables scroll in a container"
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.attributes += [(tag, name, value) for name, value in attributes]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def text_of(page):
    return " ".join(" ".join(Checked(page).text).split())


def test_tags_are_balanced_ids_unique_and_links_lead_somewhere(page):
    checked = Checked(page)
    assert len(checked.ids) == len(set(checked.ids))
    targets = [value for tag, name, value in checked.attributes if (tag, name) == ("a", "href")]
    assert targets
    assert all(target.startswith("#") and target[1:] in checked.ids for target in targets)
    labelled = [value for _, name, value in checked.attributes if name == "aria-labelledby"]
    assert set(labelled) <= set(checked.ids)


def test_it_needs_nothing_from_outside_and_runs_nothing(page):
    checked = Checked(page)
    assert not re.search(r"https?:|//[a-z]|url\(|@import", page)
    assert not {name for _, name, _ in checked.attributes} & {"src", "srcset", "data", "action", "style", "onclick"}
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_scrolling_tables_can_be_reached_by_keyboard_and_have_a_name(page):
    regions = Checked(page).regions
    assert len(regions) == page.count("<table")
    assert all(region["tabindex"] == "0" and region["aria-label"] for region in regions)


def test_every_section_shows_its_figures(page):
    text = text_of(page)
    for shown in (
        "What a <part> brings",
        "1,234 users",
        "4,321 items",
        "seeds 0, 1, 2",
        "Warning: leak allowed",
        "Gates: 1 of 2 hold",
        "✗ fails fused.ndcg@10 > llm.ndcg@10 significantly difference <0",
        "sd 0.0123",
        "user_gap@10 lower is better",
        "Recall of the candidates of fused, the ceiling of whatever orders them: 0.4567",
        "no_history − llm",
        DEFINITIONS["no_history"],
        "Kind of <user>",
        "new (50 users)",
        "rare (10 users, too few)",
        "40.0 % (default) 0.1080",
        "Standard deviation over labels: 0.1414.",
        "-0.40 % (-1.10 % to +0.30 %)",
        "1 0.3000 12 2 – 0 3 0.5000 9",
        "validity, rankings 1,234",
        "agreement, mean tau –",
        "latency ms, llm, median 12.5",
        "late evening (20 users)",
        "0123abcd+",
        "smollm2-135m",
    ):
        assert shown in text, shown
    assert "never read" not in text


def test_a_bucket_with_few_users_is_in_the_table_but_not_drawn(page):
    drawings = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert any("new (50 users)" in one for one in drawings)
    assert not any("rare (10 users" in one for one in drawings)


def test_differences_say_what_they_show():
    def one(mean, p, p_holm, column="ndcg@10"):
        row = {f"{column}_vs_b": {"mean": mean, "low": 0.0, "high": 0.0, "p": p, "p_holm": p_holm}}
        (found,) = differences({"a": row, "b": {}})
        return found["shows"]

    assert one(0.1, 0.01, 0.02) == "better"
    assert one(-0.1, 0.01, 0.02) == "worse"
    assert one(0.1, 0.01, 0.06) == "not told apart", "adjusted p decides"
    assert one(-0.1, 0.01, 0.02, "user_gap@10") == "better"
    (plain,) = differences({"a": {"auc_vs_b": {"mean": 0.1, "low": 0, "high": 0, "p": 0.04}}})
    assert (plain["system"], plain["baseline"], plain["metric"], plain["shows"]) == ("a", "b", "auc", "better")


def test_a_record_of_the_least_is_a_page_too():
    least = {
        "id": "x",
        "kind": "retrieval",
        "created": "now",
        "split": "temporal",
        "users": 3,
        "warnings": [],
        "systems": {"popular": {"ndcg@10": 0.5, "ndcg@10_ci": [0.4, 0.6]}},
        "headline": ["ndcg@10"],
        "definitions": {},
    }
    page = rendered(least)
    headings = re.findall(r"<h2[^>]*>(.*?)</h2>", page)
    assert [heading.split(" <")[0] for heading in headings] == ["All test users", "Definitions", "Where it came from"]
    assert "0.4000 to 0.6000" in text_of(page)
    assert "Controls" not in page
    assert rendered({**least, "headline": [], "systems": {}}).startswith("<!doctype html>")


def test_nested_figures_become_lines():
    assert flat({"latency_ms": {"llm": {"p95": 1234.5}}, "none": None, "engine": "vllm"}) == [
        ("latency ms, llm, p95", "1,234.5"),
        ("none", "–"),
        ("engine", "vllm"),
    ]


def luminance(colour):
    """Relative luminance of sRGB as WCAG 2 has it."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_colours_can_be_told_from_the_background_in_both_modes():
    style = resources.files("genrec.reports").joinpath("style.css").read_text("utf-8")
    light, dark = style.split("@media (prefers-color-scheme: dark)")
    for mode in (light, dark.split("* {")[0]):
        colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", mode))
        assert len(colours) == 15
        for name in ("ink", "muted", "good", "bad", "focus"):
            assert contrast(colours[name], colours["bg"]) >= 4.5, name
        assert contrast(colours["ink"], colours["warn-bg"]) >= 4.5
        for name in ("s0", "s1", "s2", "s3", "s4", "warn"):
            assert contrast(colours[name], colours["bg"]) >= 3, name
