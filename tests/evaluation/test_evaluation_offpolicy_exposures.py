"""From exposures of a workspace to the value of its policies."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from genrec.cli.main import app
from genrec.data.sqlite.store import SqliteStore
from genrec.data.store import Exposure
from genrec.domain import Event, Item
from genrec.errors import DataError, NotFoundError, SettingsError
from genrec.evaluation.offpolicy.evaluate import evaluate_policies
from genrec.evaluation.offpolicy.exposures import logged_lists
from genrec.evaluation.offpolicy.policies import FUSED, RETRIEVER, answers, fitted_before, policies_of
from genrec.evaluation.suite.external import Lists
from genrec.reranking.exploration import epsilon_greedy
from genrec.settings import Settings

CATALOGUE = ["a", "b", "c", "d"]


@pytest.fixture
def store(tmp_path):
    with SqliteStore(tmp_path / "genrec.db", create=True) as opened:
        opened.put_items(Item(name, name) for name in CATALOGUE)
        yield opened


def show(store, request, user, items, place=None, prefix=None, clicks=()):
    store.log_exposure(Exposure(request, user, tuple(items), 10.0, propensities=place, prefix_propensities=prefix))
    store.append([Event(user, item, 11.0, request_id=request) for item in clicks])


def test_logged_lists_by_hand(store):
    show(store, "r1", "u", "abc", (0.5, 0.25, 0.2), (0.5, 0.1, 0.05), clicks="b")
    show(store, "r2", "v", "da", (0.4, 0.8), (0.4, 0.2), clicks="da")
    show(store, "r3", "u", "c", (0.1,), (0.1,))
    show(store, "r4", None, "c", (0.1,), (0.1,))
    show(store, "r5", "w", "ab")
    log = logged_lists(store)
    assert log.reward.tolist() == [[0, 1, 0], [1, 1, 0], [0, 0, 0]]
    assert log.owner.tolist() == [0, 1, 0]
    assert log.place.tolist() == [[0.5, 0.25, 0.2], [0.4, 0.8, 1], [0.1, 1, 1]]
    assert log.prefix.tolist() == [[0.5, 0.1, 0.05], [0.4, 0.2, 0.2], [0.1, 0.1, 0.1]]
    assert log.left_out == 2
    rounds = log.rounds([["a", "b", "d"], ["d", "b", "a"], []], CATALOGUE)
    assert rounds.place.tolist() == [[2, 4, 0], [2.5, 0, 1], [0, 1, 1]]
    assert rounds.prefix.tolist() == pytest.approx(np.array([[2, 10, 0], [2.5, 0, 0], [0, 0, 0]]))
    assert rounds.shown.tolist() == [[True, True, True], [True, True, False], [True, False, False]]
    assert rounds.expected[2].tolist() == [0.0, 0.0, 0.0]
    assert rounds.predicted[2, 1:].tolist() == [0.0, 0.0]


def test_whole_matching_lists_keep_the_weight_of_their_last_place(store):
    show(store, "r1", "u", "ab", (0.5, 0.5), (0.5, 0.25))
    show(store, "r2", "u", "abc", (0.5, 0.5, 0.5), (0.5, 0.25, 0.125))
    rounds = logged_lists(store).rounds([["a", "b", "c"], ["a", "b", "c"]], CATALOGUE)
    assert rounds.prefix.tolist() == [[2, 4, 4], [2, 4, 8]]
    assert rounds.place.tolist() == [[2, 2, 1], [2, 2, 2]]


def test_only_the_given_users(store):
    for user in "uvw":
        show(store, user, user, "ab", (0.5, 0.5))
    log = logged_lists(store, ["v"])
    assert [exposure.user_id for exposure in log.exposures] == ["v"]
    assert (log.prefix, log.left_out) == (None, 0)


def test_logs_that_can_judge_nothing_are_errors_that_say_why(store):
    with pytest.raises(DataError, match="none of the 0 logged lists has propensities"):
        logged_lists(store)
    show(store, "r1", "u", "ab")
    with pytest.raises(DataError, match="none of the 1 logged lists") as raised:
        logged_lists(store)
    assert "exploration.temperature" in raised.value.hint
    show(store, "r2", "u", "ab", (1.0, 1.0), (1.0, 1.0))
    with pytest.raises(DataError, match="probability 1: nothing was explored"):
        logged_lists(store)
    show(store, "r3", "u", "ab", (1.0, 0.5))
    assert len(logged_lists(store).exposures) == 2


@pytest.mark.parametrize(
    ("policies", "files", "name"),
    [
        ([RETRIEVER], ["retriever.tsv"], "retriever"),
        ([], ["a/mine.tsv", "b/mine.tsv"], "mine"),
        ([], ["logged.tsv"], "logged"),
        ([FUSED, FUSED], [], FUSED),
    ],
)
def test_two_policies_of_one_name_are_refused(store, tmp_path, policies, files, name):
    lists = [Lists(Path(file), {}) for file in files]
    with pytest.raises(SettingsError, match=f"two policies are called '{name}'"):
        evaluate_policies(store, Settings(), policies=policies, lists=lists, cache_folder=tmp_path)


@pytest.mark.parametrize(
    ("name", "said"),
    [("oracle", "there is no estimator 'oracle'"), ("shop_of_oracles.first", "needs the package divining")],
)
def test_an_estimator_is_refused_before_anything_is_fitted(store, tmp_path, monkeypatch, name, said):
    (tmp_path / "shop_of_oracles").mkdir()
    (tmp_path / "shop_of_oracles" / "first.py").write_text("import divining")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(NotFoundError, match=said):
        evaluate_policies(store, Settings(), estimators=["ips", name], cache_folder=tmp_path)


# A workspace that explored. User u does items u, u + 1, ... (see conftest): what comes next is what they would click.

PLACES, CANDIDATES, EPSILON, LISTS = 3, 5, 0.7, 420
LOOKS = (0.9, 0.5, 0.2)


def wanted(user, item):
    return item == f"i{(user + 10) % 30}"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Where the database of `explored` is kept once it was made."""
    return tmp_path_factory.mktemp("explored") / "genrec.db"


@pytest.fixture
def explored(workspace, made):
    """Lists of 3 of 5 candidates, one of them the next item of the user's chain, at a random place of the ranking."""
    if not made.exists():
        with SqliteStore(workspace.database) as store:
            explore(store)
        shutil.copy(workspace.database, made)
    shutil.copy(made, workspace.database)
    return workspace


def explore(store):
    generator = np.random.default_rng(0)
    for number in range(LISTS):
        user = number % 60
        candidates = [f"i{(user + 10 + step) % 30}" for step in np.roll(np.arange(CANDIDATES), 1)]
        drawn = epsilon_greedy(CANDIDATES, PLACES, EPSILON, generator)
        items = tuple(candidates[place] for place in drawn.order)
        odds = {"propensities": tuple(drawn.place.tolist()), "prefix_propensities": tuple(drawn.prefix.tolist())}
        store.log_exposure(Exposure(f"r{number}", f"u{user}", items, 50_000.0 + number, **odds))
        for item, look in zip(items, LOOKS, strict=True):
            if wanted(user, item) and generator.random() < look:
                # In nobody's chain, so that what comes next stays what it is.
                store.append([Event("clicker", item, 60_000.0 + number, "click", request_id=f"r{number}")])


def test_the_value_of_each_policy_lies_in_its_interval(explored):
    settings = Settings.load(explored.settings_file)
    names = [RETRIEVER, FUSED, "popular"]
    with SqliteStore(explored.database) as store:
        result = evaluate_policies(store, settings, policies=names, cache_folder=explored.root / "cache")
        log = logged_lists(store)
        fitted = fitted_before(log, store, settings, "temporal", cache_folder=explored.root / "cache")
        lists = answers(log, store, policies_of(fitted, store, settings, names))
    assert (result["users"], result["lists"], result["clicks"]) == (60, LISTS, int(log.reward.sum()))
    for name in names:
        gained = [
            look
            for exposure, items in zip(log.exposures, lists[name], strict=True)
            for item, look in zip(items, LOOKS, strict=True)
            if wanted(int(exposure.user_id[1:]), item)
        ]
        truth = sum(gained) / len(log.exposures)
        row = result["systems"][name]
        for estimator in ("ips", "independent_ips", "reward_interaction_ips"):
            low, high = row[f"{estimator}_ci"]
            assert low - 0.01 <= truth <= high + 0.01, (name, estimator, truth, row)
        low, high = row["doubly_robust_ci"]
        warned = any(word.startswith(f"{name}: ") and "below 1" in word for word in result["warnings"])
        # Of what was never shown the reward model alone speaks; then a warning is due.
        assert low <= truth <= high or warned, (name, truth, row)
        assert warned or name != "popular"  # which is among the candidates of few
    served, new = result["systems"]["logged"], result["systems"][RETRIEVER]
    assert served["ips"] == pytest.approx(log.reward.sum() / LISTS, abs=1e-6)
    assert new["independent_ips_vs_logged"]["low"] > 0  # the log put the best item second, and often anywhere


def test_policies_never_know_the_clicks_that_judge_them(explored):
    with SqliteStore(explored.database) as store:
        settings = Settings.load(explored.settings_file)
        fitted = fitted_before(logged_lists(store), store, settings, "temporal", cache_folder=explored.root / "cache")
        assert fitted.record["events"] == 600
        assert len(store.interactions()) > 600
        with pytest.raises(NotFoundError, match="no policy 'oracle'") as raised:
            policies_of(fitted, store, settings, ["oracle"])
    assert "covisit" in raised.value.hint


def test_lists_before_all_events_cannot_be_judged(workspace):
    with SqliteStore(workspace.database) as store:
        store.log_exposure(Exposure("r", "u1", ("i1",), -5.0, propensities=(0.5,)))
        with pytest.raises(DataError, match="no events before the first list"):
            evaluate_policies(store, Settings.load(workspace.settings_file), cache_folder=workspace.root / "cache")


def test_the_command_judges_the_lists_of_another_tool(explored, tmp_path):
    perfect = tmp_path / "perfect.tsv"
    rows = [f"u{user}\ti{(user + 10) % 30}\t1" for user in range(60)]
    perfect.write_text("\n".join(["user\titem\trank", *rows]) + "\n")
    arguments = ["eval", "policy", "--workspace", str(explored.root), "--lists", str(perfect)]
    done = CliRunner().invoke(app, [*arguments, "--json", str(tmp_path / "result.json")])
    assert done.exit_code == 0, done.output
    result = json.loads((tmp_path / "result.json").read_text())
    assert list(result["systems"]) == ["logged", "perfect"]
    # The list of one item: looked at first, so clicked with .9; and nothing at the other places.
    low, high = result["systems"]["perfect"]["independent_ips_ci"]
    assert low < 0.9 < high
    # Lists of three items never end after one: as whole lists they cannot be judged, and the report says so.
    assert result["systems"]["perfect"]["ips"] == 0
    assert any("below 1" in warning for warning in result["warnings"])
    shown = CliRunner().invoke(app, [*arguments, "--clip", "5"])
    assert shown.exit_code == 0, shown.output
    assert "independent_snips" in shown.output
    (first, second) = sorted((explored.root / "runs").iterdir())
    assert all((run / "report.html").is_file() for run in (first, second))


def test_a_workspace_without_exploration_is_a_clean_error(workspace):
    done = CliRunner().invoke(app, ["eval", "policy", "--workspace", str(workspace.root)])
    assert done.exit_code != 0
    assert isinstance(done.exception, DataError)
