"""Estimators on the Open Bandit logs: the value of a served policy lies in the interval from the other log."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from genrec.artifacts import downloads, models
from genrec.errors import DataError, SettingsError

EVAL = Path(__file__).parents[2] / "eval"
sys.path.insert(0, str(EVAL))
open_bandit = importlib.import_module("bench_open_bandit")
BTS, BTS_PRIOR, RANDOM, SINGLE = open_bandit.BTS, open_bandit.BTS_PRIOR, open_bandit.RANDOM, open_bandit.SINGLE
evaluate_open_bandit = open_bandit.evaluate_open_bandit


@pytest.fixture(scope="module")
def folder():
    return models.fetch("open-bandit", progress=False)


@pytest.mark.parametrize(
    ("policy", "campaign", "clicks", "n_items"),
    [
        ("random", "all", 38, 80),
        ("random", "men", 46, 34),
        ("random", "women", 46, 46),
        ("bts", "all", 42, 80),
        ("bts", "men", 69, 34),
        ("bts", "women", 46, 46),
    ],
)
def test_the_logs_are_read_whole(folder, policy, campaign, clicks, n_items):
    log = open_bandit.load(folder, policy, campaign)
    assert len(log.item) == len(log.position) == len(log.propensity) == 10_000
    assert (int(log.click.sum()), log.n_items) == (clicks, n_items)
    assert sorted(set(log.position.tolist())) == [0, 1, 2]
    assert set(log.item.tolist()) == set(range(n_items))
    if policy == "random":
        assert log.propensity == pytest.approx(np.full(10_000, 1 / n_items))
    assert log.shares().sum(axis=0) == pytest.approx(np.ones(3))


@pytest.mark.parametrize("campaign", open_bandit.CAMPAIGNS)
def test_what_was_served_lies_in_the_interval_from_the_other_log(folder, campaign):
    result = evaluate_open_bandit(folder, campaign)
    assert [check for check in result["checks"] if not check["inside"]] == []
    assert {(check["system"], check["estimator"]) for check in result["checks"]} == {
        (name, estimator) for name in (BTS, RANDOM) for estimator in SINGLE
    }
    served = {name: open_bandit.load(folder, name, campaign).click.mean() for name in open_bandit.POLICIES}
    for check in result["checks"]:
        assert check["served"] == pytest.approx(served["bts" if check["system"] == BTS else "random"])
    systems = result["systems"]
    for name in SINGLE:
        low, high = systems[BTS_PRIOR][f"{name}_ci"]
        assert low < served["bts"] < high * 1.01
    assert result["unsupported"][BTS] == 0.0
    # The uniform log supports all; its weights have mean 1 whatever is judged.
    low, high = result["diagnosis"][BTS]["list"]["mean_ci"]
    assert 0.9 < low < high < 1.1


def test_wrong_propensities_would_be_found(folder):
    """The check can fail: the log of bts read as if it were uniform gives the value of bts for random."""
    log = open_bandit.load(folder, "bts", "men")
    wrong = open_bandit.BanditLog(log.item, log.position, log.click, np.full(10_000, 1 / log.n_items), log.n_items)
    rounds = wrong.rounds(log.shares())
    assert rounds.prefix.mean() > 2  # not 1


def test_thompson_sampling_by_hand(tmp_path):
    """Two items with known odds: P(a > b) of Beta(1, 1) and Beta(2, 1) is 1/3."""
    prior = {"all": {"alpha": [1, 2, 1], "beta": [1, 1, 10_000]}}
    (tmp_path / "prior_bts.yaml").write_text(yaml.safe_dump(prior))
    shares = open_bandit.thompson(tmp_path, "all", simulations=30_000)
    expected = [[1 / 3, 2 / 3, 0.0], [2 / 3, 1 / 3, 0.0], [0.0, 0.0, 1.0]]
    assert shares == pytest.approx(np.array(expected), abs=0.01)


def test_the_uniform_policy_and_weights_by_hand():
    log = open_bandit.BanditLog(np.array([0, 1]), np.array([0, 2]), np.array([1.0, 0.0]), np.array([0.25, 0.5]), 2)
    assert log.shares()[:, 0].tolist() == [1.0, 0.0]
    rounds = log.rounds(open_bandit.uniform(2))
    assert rounds.prefix[:, 0].tolist() == rounds.place[:, 0].tolist() == [2.0, 1.0]


def test_unknown_names_and_broken_files_are_data_errors(folder, tmp_path):
    with pytest.raises(DataError, match="no campaign 'kids'"):
        open_bandit.load(folder, "bts", "kids")
    with pytest.raises(DataError, match="no policy"):
        open_bandit.load(folder, "greedy", "all")
    with pytest.raises(DataError, match=r"all\.csv") as raised:
        open_bandit.load(tmp_path, "bts", "all")
    assert "genrec data fetch open-bandit" in raised.value.hint
    file = tmp_path / "bts" / "all" / "all.csv"
    file.parent.mkdir(parents=True)
    for text in ("", "item_id,position\n1,2\n", "item_id,position,click,propensity_score\nx,1,0,0.1\n"):
        file.write_text(text)
        with pytest.raises(DataError, match=r"all\.csv"):
            open_bandit.load(tmp_path, "bts", "all")
    with pytest.raises(SettingsError, match="clipped"):
        evaluate_open_bandit(folder, "men", clip=0.0)


def test_the_command_leaves_a_record_and_a_page(folder, tmp_path, monkeypatch):
    result, page = tmp_path / "result.json", tmp_path / "page.html"
    arguments = ["--campaign", "men", "--clip", "100", "--json", str(result), "--html", str(page)]
    monkeypatch.setattr(sys, "argv", ["bench_open_bandit.py", *arguments])
    open_bandit.main()
    found = json.loads(result.read_text())
    assert (found["kind"], found["campaign"], found["clip"]) == ("policy", "men", 100.0)
    assert found["fingerprint"] == json.loads((folder / downloads.MARKER).read_text())["source"]
    assert "random, from bts" in page.read_text()
    assert "doubly_robust" in page.read_text()


def test_unsupported_by_hand():
    assert open_bandit.unsupported([[0.5, 0.2], [0.5, 0.8]], [[0.0, 0.1], [1.0, 0.9]]) == pytest.approx(0.25)
