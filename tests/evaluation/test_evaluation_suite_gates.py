"""Gates: a small language that says no to everything else, and verdicts by hand-made figures."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrec.errors import SettingsError
from genrec.evaluation.suite.gates import FEWEST, judge, parse

RECORD = {
    "systems": {"fused": {"ndcg@10": 0.12}, "ials": {"ndcg@10": 0.10}, "broken": {"ndcg@10": None}},
    "subsets": {"short": {"systems": {"fused": {"ndcg@10": 0.2}, "ials": {"ndcg@10": 0.3}}}},
    "validity": {"invalid": 0},
}


def passed(text, low=-0.01, high=0.05, record=RECORD):
    asked = []

    def difference(name, other, metric, subset):
        asked.append((name, other, metric, subset))
        return None if low is None else {"mean": 0.02, "low": low, "high": high}

    (verdict,) = judge([parse(text)], record, difference)
    return verdict.passed, asked


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fused.ndcg@10 >= 0.12", True),
        ("fused.ndcg@10 > 0.12", False),
        ("fused.ndcg@10 <= .12", None),
        ("fused.ndcg@10 < 0.13", True),
        ("validity.invalid == 0", True),
        ("validity.invalid != 0", False),
        ("fused.ndcg@10 >= ials.ndcg@10", True),
        ("ials.ndcg@10 > fused.ndcg@10", False),
        ("fused.ndcg@10 > ials.ndcg@10 on short", False),
        ("fused.ndcg@10 > 0.15 on short", True),
        ("fused.ndcg@10 > 0.15 on nobody", False),
        ("broken.ndcg@10 >= 0", False),
        ("fused.hr@10 >= 0", False),
        ("validity.duplicate == 0", False),
        ("validity.invalid == 0 on short", False),
    ],
)
def test_figures(text, expected):
    if expected is None:
        with pytest.raises(SettingsError, match="not a gate"):
            parse(text)
    else:
        assert passed(text)[0] is expected


@pytest.mark.parametrize(
    ("text", "low", "high", "expected"),
    [
        ("fused.ndcg@10 >= ials.ndcg@10 within interval", -0.05, 0.0, True),
        ("fused.ndcg@10 >= ials.ndcg@10 within interval", -0.05, -0.001, False),
        ("fused.ndcg@10 <= ials.ndcg@10 within interval", 0.0, 0.1, True),
        ("fused.ndcg@10 <= ials.ndcg@10 within interval", 0.001, 0.1, False),
        ("fused.ndcg@10 > ials.ndcg@10 significantly", 0.001, 0.1, True),
        ("fused.ndcg@10 > ials.ndcg@10 significantly", 0.0, 0.1, False),
        ("fused.ndcg@10 < ials.ndcg@10 significantly", -0.1, -0.001, True),
        ("fused.ndcg@10 < ials.ndcg@10 significantly", -0.1, 0.0, False),
        ("fused.ndcg@10 > ials.ndcg@10 significantly", None, None, False),
    ],
)
def test_intervals(text, low, high, expected):
    found, asked = passed(text, low, high)
    assert found is expected
    assert asked == [("fused", "ials", "ndcg@10", None)]


def test_a_subset_is_asked_for():
    assert passed("fused.ndcg@10 >= ials.ndcg@10  within  interval on short")[1] == [
        ("fused", "ials", "ndcg@10", "short")
    ]


def test_a_verdict_shows_the_figures():
    (verdict,) = judge([parse("fused.ndcg@10 >= 0.2")], RECORD, lambda *_: None)
    assert (verdict.passed, verdict.found) == (False, "0.12")
    (verdict,) = judge([parse("other.ndcg@10 >= 0.2")], RECORD, lambda *_: None)
    assert verdict.found == "other.ndcg@10 was not measured"


@pytest.mark.parametrize(
    ("weight", "read", "expected", "why"),
    [
        (0.0, 0, True, ": no slate was read, as the weight of the language model is 0"),
        (0.1, 0, False, ": no slate was read"),
        (0.0, 8, False, ""),
    ],
)
def test_what_was_not_measured_passes_only_where_the_language_model_has_no_weight(weight, read, expected, why):
    record = {**RECORD, "language_model": {"weight": weight, "read": read}}
    text = "label_position.shuffle_effect < 0.01"
    (verdict,) = judge([parse(text)], record, lambda *_: None)
    assert verdict.passed is expected
    assert verdict.found == f"label_position.shuffle_effect was not measured{why}"
    for other in ("fused.hr@10 >= 0", "candidate_recall.fused > 0"):
        assert not passed(other, record=record)[0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "fused",
        "fused.ndcg@10",
        "fused.ndcg@10 => 0.1",
        "fused.ndcg@10 >= ",
        "fused.ndcg@10 >= 0.1 significantly",
        "fused.ndcg@10 >= 1e999",
        "fused.ndcg@10 >= 0.1; import os",
        "__import__('os').system >= 0",
        "fused.ndcg@10 >= ials.hr@10",
        "fused.ndcg@10 >= ials.ndcg@10 significantly",
        "fused.ndcg@10 > ials.ndcg@10 within interval",
        "fused.ndcg@10 == ials.ndcg@10 within interval",
        "fused.ndcg@10 >= 0.1 on",
    ],
)
def test_what_is_no_gate_is_an_error_that_shows_it(text):
    with pytest.raises(SettingsError) as caught:
        parse(text)
    assert repr(text) in caught.value.message


@given(st.text(max_size=40))
def test_any_text_parses_or_is_refused(text):
    try:
        gate = parse(text)
    except SettingsError:
        return
    assert gate.text == text.strip()


def test_a_handful_of_users_shows_nothing_significant():
    text = "fused.ndcg@10 > ials.ndcg@10 significantly on short"
    for users, expected in ((FEWEST - 1, False), (FEWEST, True)):
        record = {"subsets": {"short": {"users": users, "systems": RECORD["systems"]}}}
        (verdict,) = judge([parse(text)], record, lambda *_: {"mean": 0.1, "low": 0.05, "high": 0.2})
        assert verdict.passed is expected
        assert (f"only {users} users" in verdict.found) is not expected
