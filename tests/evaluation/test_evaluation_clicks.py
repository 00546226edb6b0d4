"""Click probabilities: metrics over rows, intervals over users, on held-out events only."""

import json

import numpy as np
import pytest

from genrec.data.sqlite.store import SqliteStore
from genrec.domain import Event
from genrec.errors import DataError
from genrec.evaluation import likes
from genrec.evaluation.clicks import click_table, evaluate_clicks
from genrec.evaluation.protocol import LEAK
from genrec.settings import Settings

NAMES = ("auc", "log_loss", "calibration_error")


def made_up_rows(n_users=40, each=25, seed=0):
    generator = np.random.default_rng(seed)
    user = np.repeat(np.arange(n_users), each)
    p = generator.uniform(0.05, 0.95, len(user))
    return user, (generator.random(len(user)) < p).astype(float), p


def test_better_probabilities_are_found_better_with_an_interval_that_says_so():
    user, clicked, p = made_up_rows()
    systems = {"genrec": p, "constant": np.full(len(p), clicked.mean())}
    table = click_table(user, clicked, systems, NAMES, comparisons=[("genrec", "constant")])
    assert table["constant"]["auc"] == 0.5
    assert table["constant"]["log_loss"] == pytest.approx(
        -(clicked.mean() * np.log(clicked.mean()) + (1 - clicked.mean()) * np.log(1 - clicked.mean())), abs=1e-6
    )
    for name in NAMES[:2]:
        low, high = table["genrec"][f"{name}_ci"]
        assert low < table["genrec"][name] < high
    assert table["genrec"]["auc_vs_constant"]["low"] > 0
    assert table["genrec"]["log_loss_vs_constant"]["high"] < 0
    assert "auc_vs_constant" not in table["constant"]


def test_intervals_are_over_users_not_rows():
    user, clicked, p = made_up_rows()
    repeated = [np.concatenate([values] * 10) for values in (user, clicked, p)]
    once = click_table(user, clicked, {"genrec": p}, ["log_loss"], comparisons=[])
    tenfold = click_table(repeated[0], repeated[1], {"genrec": repeated[2]}, ["log_loss"], comparisons=[])
    assert tenfold["genrec"]["log_loss_ci"] == pytest.approx(once["genrec"]["log_loss_ci"], abs=1e-6)


def test_what_is_within_users_has_intervals_over_users_too():
    # Ten users of four rows are in order, one of three rows is not: (10 * 4 * 1 + 3 * 0) / 43.
    user = np.concatenate([np.repeat(np.arange(10), 4), np.full(3, 10)])
    clicked = np.concatenate([np.tile([0.0, 0, 1, 1], 10), [1.0, 0, 0]])
    p = np.concatenate([np.tile([0.1, 0.2, 0.3, 0.4], 10), [0.1, 0.5, 0.5]])
    table = click_table(
        user, clicked, {"genrec": p, "half": np.full(43, 0.5)}, ["grouped_auc"], comparisons=[("genrec", "half")]
    )
    assert table["genrec"]["grouped_auc"] == pytest.approx(40 / 43, abs=1e-6)
    assert table["half"]["grouped_auc"] == 0.5
    low, high = table["genrec"]["grouped_auc_ci"]
    assert low < 40 / 43 < high == 1
    assert table["genrec"]["grouped_auc_vs_half"]["p_holm"] < 0.05


def test_a_metric_that_is_undefined_is_none():
    table = click_table(np.arange(3), np.ones(3), {"genrec": np.full(3, 0.5)}, ["auc", "log_loss"], comparisons=[])
    assert table["genrec"]["auc"] is None
    assert table["genrec"]["auc_ci"] is None
    assert table["genrec"]["log_loss"] == pytest.approx(np.log(2), abs=1e-6)


def evaluate(workspace, *arguments):
    with SqliteStore(workspace.database) as store:
        return evaluate_clicks(store, Settings.load(workspace.settings_file), *arguments)


@pytest.mark.parametrize("split", ["temporal", "leave-one-out"])
def test_judges_held_out_events_of_a_log(workspace, split):
    result = evaluate(workspace, split)
    assert list(result["systems"]) == ["genrec", "item + user rate"]
    assert result["rows"] == 60
    assert result["systems"]["genrec"]["auc"] > 0.8
    assert 0 < result["click_rate"] < 1
    assert "log_loss_vs_item + user rate" in result["systems"]["genrec"]
    assert (LEAK in result["warnings"]) == (split == "leave-one-out")
    assert set(NAMES) <= set(result["definitions"])
    json.dumps(result, allow_nan=False)


def test_noes_after_the_event_that_is_held_out_are_judged_and_not_fitted_on(workspace, monkeypatch):
    fitted = []
    fit = likes.fit_log

    def watched(train, *arguments, **named):
        fitted.append(train)
        return fit(train, *arguments, **named)

    monkeypatch.setattr(likes, "fit_log", watched)
    with SqliteStore(workspace.database) as store:
        # u0 did i0 to i9 before, u1 i1 to i10: the last of these stay their last ones that are no noes.
        store.append([Event("u0", f"i{item}", 20_000.0 + item, "rating", 1.0) for item in (20, 21)])
        store.append([Event("u1", "i21", 20_000.0, "rating", 1.0)])
    result = evaluate(workspace, "leave-one-out", ["u0", "u1", "u2"])
    assert (result["users"], result["rows"]) == (3, 3 + 1 + 2)
    (train,) = fitted
    assert [len(train.item[train.rows_of(user)]) for user in range(60)] == [9] * 60
    assert train.timestamp.max() < 20_000
    assert not train.noes.any()


def test_only_the_users_asked_for(workspace):
    result = evaluate(workspace, "leave-one-out", ["u1", "u2", "nobody"])
    assert result["users"] == result["rows"] == 2
    with pytest.raises(DataError, match="none of the 1 given users"):
        evaluate(workspace, "leave-one-out", ["nobody"])
