"""The report of an experiment: figures by hand, a split that is wrong, and lists that must not count."""

import json

import numpy as np
import pytest

from genrec.artifacts.workspace import Workspace
from genrec.cli.main import main
from genrec.data.sqlite.store import SqliteStore
from genrec.data.store import Exposure
from genrec.domain import Assignment, Event, Item
from genrec.errors import DataError, NotFoundError
from genrec.experiments.analysis import COLUMNS, MISMATCH, experiment_report, split_test
from genrec.experiments.assignment import drawn, read
from genrec.reports.pages import page
from genrec.settings import ExperimentSettings

CONTROL, SHORT = "rank/pointwise", "rank/short"
HALVES = {CONTROL: 0.5, SHORT: 0.5}
CTR, CLICKS, NDCG = COLUMNS


@pytest.fixture
def place(tmp_path):
    made = Workspace.create(tmp_path / "workspace")
    with SqliteStore(made.database, create=True) as store:
        store.put_items(Item(f"i{number}", f"Title {number}") for number in range(10))
    return made


@pytest.fixture
def store(place):
    with SqliteStore(place.database) as opened:
        yield opened


class Log:
    """Shows lists and clicks on them."""

    def __init__(self, store):
        self.store, self.lists = store, 0

    def show(self, user, arm, clicks=(), items=4, shares=HALVES, experiment="terse", digest="abc"):
        """A list i0, i1, ... of a user, with the places that are clicked."""
        request, self.lists = f"r{self.lists}", self.lists + 1
        shown = tuple(f"i{place}" for place in range(items))
        assigned = Assignment(experiment, arm, shares)
        self.store.log_exposure(Exposure(request, user, shown, float(self.lists), arm, 3, digest, assignment=assigned))
        events = [Event(user or "?", shown[place], 1e6, "click", request_id=request) for place in clicks]
        self.store.append(events)


@pytest.fixture
def log(store):
    return Log(store)


def test_by_hand(log, store):
    log.show("a", CONTROL, clicks=[0])
    log.show("a", CONTROL)
    log.show("b", CONTROL, items=2)
    log.show("c", SHORT, clicks=[0, 1])
    log.show("d", SHORT, clicks=[1], items=2)
    store.append([Event("d", "i9", 2e6, "click", request_id="r4")])  # not in the list: no click on it
    result = experiment_report(store)
    json.dumps(result, allow_nan=False)
    control, short = result["systems"][CONTROL], result["systems"][SHORT]
    assert control[CTR] == pytest.approx(1 / 10)  # of 4 + 4 + 2 items
    assert short[CTR] == pytest.approx(3 / 6)
    assert (control[CLICKS], short[CLICKS]) == (0.5, 1.5)
    # a: (1 + 0) / 2, b: 0; c: both on top, 1; d: a click on the second place, 1 / log2(3).
    assert control[NDCG] == pytest.approx(0.25)
    assert short[NDCG] == pytest.approx((1 + 1 / np.log2(3)) / 2, abs=1e-6)
    difference = short[f"{CLICKS}_vs_{CONTROL}"]
    assert difference["mean"] == pytest.approx(1.0)
    assert difference["low"] <= 1.0 <= difference["high"]
    assert (result["users"], result["lists"]) == (4, 5)
    assert result["split"] == {
        "observed": {CONTROL: 2, SHORT: 2},
        "expected": {CONTROL: 2.0, SHORT: 2.0},
        "p": None,
        "ok": None,
    }
    assert result["templates"] == [
        {"name": CONTROL, "id": CONTROL, "version": 3, "hash": "abc", "lists": 3},
        {"name": SHORT, "id": SHORT, "version": 3, "hash": "abc", "lists": 2},
    ]
    assert any("too few users" in warning for warning in result["warnings"])


def test_the_interval_is_that_of_independent_resamples_of_users(log, store):
    generator = np.random.default_rng(0)
    counts = {}
    for number in range(200):
        arm = CONTROL if number % 2 else SHORT
        clicks = range(int(generator.integers(0, 3 if arm == CONTROL else 4)))
        log.show(f"u{number}", arm, clicks=clicks)
        counts.setdefault(arm, []).append(len(clicks))
    found = experiment_report(store)["systems"][SHORT][f"{CLICKS}_vs_{CONTROL}"]
    # Welch: the standard error of a difference of independent means.
    se = np.sqrt(sum(np.var(of_arm) / len(of_arm) for of_arm in counts.values()))
    assert found["mdd"] == pytest.approx(2.80 * se, rel=0.1)
    assert (found["high"] - found["low"]) / 2 == pytest.approx(1.96 * se, rel=0.1)


def test_a_clear_difference_is_seen_and_none_is_not(log, store):
    for number in range(60):
        log.show(f"u{number}", CONTROL, clicks=[3] if number % 3 == 0 else [])
        log.show(f"v{number}", SHORT, clicks=[0, 1])
    rows = {row["metric"]: row for row in experiment_report(store)["verdicts"]}
    assert {row["verdict"] for row in rows.values()} == {"better"}
    for number in range(60):
        log.show(f"u{number}", CONTROL, clicks=[0, 2], experiment="same")
        log.show(f"v{number}", SHORT, clicks=[0, 2], experiment="same")
    assert {row["verdict"] for row in experiment_report(store, "same")["verdicts"]} == {"no difference seen"}


@pytest.mark.parametrize(
    ("users", "shares", "p", "ok"),
    [
        ((500, 500), (0.5, 0.5), 1.0, True),
        ((530, 470), (0.5, 0.5), 0.0578, True),  # 2 * 30^2 / 500 = 3.6 with one degree of freedom
        ((560, 440), (0.5, 0.5), 0.000148, False),
        ((900, 100), (0.9, 0.1), 1.0, True),
        ((500, 500), (0.9, 0.1), 0.0, False),
        ((1000, 0), (0.99, 0.01), 0.00148, True),
        ((2, 5), (0.5, 0.5), None, None),
    ],
)
def test_the_split_is_tested(users, shares, p, ok):
    found = split_test(dict(zip("ab", users, strict=True)), dict(zip("ab", shares, strict=True)))
    assert found["ok"] is ok
    assert found["p"] is p or found["p"] == pytest.approx(p, rel=0.01, abs=1e-6)


def test_users_drawn_by_the_hash_pass_and_users_lost_on_the_way_do_not(log, store):
    one = ExperimentSettings(arms={CONTROL: 1.0, SHORT: 1.0})
    for number in range(400):
        arm = drawn("terse", one, f"u{number}")
        log.show(f"u{number}", arm)
        if arm == CONTROL or number % 2:
            log.show(f"u{number}", arm, experiment="lossy")
    assert experiment_report(store, "terse")["split"]["ok"]
    lossy = experiment_report(store, "lossy")
    assert lossy["split"]["p"] < MISMATCH
    assert lossy["warnings"][0].startswith("sample ratio mismatch")
    assert "do not believe" in page(lossy)
    assert "it is not what it should be" in page(lossy)


def test_users_of_several_arms_other_weights_and_other_experiments_do_not_count(log, store):
    for user in ("a", "b"):
        log.show(user, CONTROL, clicks=[0])
        log.show(f"{user}2", SHORT)
    log.show("both", CONTROL)
    log.show("both", SHORT)
    log.show("a", SHORT, clicks=[0, 1, 2], shares={CONTROL: 0.1, SHORT: 0.9})
    log.show("b", CONTROL, clicks=[0, 1, 2], shares={CONTROL: 1.0, SHORT: 0.0})  # after a rollback
    log.show("z", SHORT, clicks=[0], experiment="other")
    log.show("b", CONTROL, digest="edited")
    store.log_exposure(Exposure("plain", "p", ("i0",), 99.0))
    result = experiment_report(store, "terse")
    assert result["users"] == 4
    assert result["systems"][CONTROL][CLICKS] == 1.0
    assert result["systems"][SHORT][CLICKS] == 0.0
    said = " ".join(result["warnings"])
    assert "2 of 9 lists were shown under other weights" in said
    assert "1 users saw lists of several arms" in said
    assert f"the template of {CONTROL} changed while it was shown" in said


def test_an_arm_that_nobody_saw_is_no_figure(log, store):
    for number in range(30):
        log.show(f"u{number}", CONTROL, clicks=[0])
    result = experiment_report(store)
    json.dumps(result, allow_nan=False)
    assert result["systems"][SHORT][CTR] is None
    assert {row["verdict"] for row in result["verdicts"]} == {"not measured"}
    assert result["split"]["ok"] is False
    assert page(result)


def test_three_arms_are_compared_with_the_first(log, store):
    thirds = {CONTROL: 0.2, SHORT: 0.4, "@mine": 0.4}
    for number in range(30):
        log.show(f"u{number}", list(thirds)[number % 3], clicks=[0], shares=thirds)
    result = experiment_report(store)
    assert {(row["system"], row["baseline"]) for row in result["verdicts"]} == {(SHORT, CONTROL), ("@mine", CONTROL)}


def test_what_is_not_there_is_named(log, store):
    with pytest.raises(NotFoundError, match="no list of an experiment was shown yet"):
        experiment_report(store)
    log.show("a", CONTROL, experiment="one", shares={CONTROL: 1.0, SHORT: 0.0})
    with pytest.raises(DataError, match="one arm only"):
        experiment_report(store)
    log.show("a", CONTROL, experiment="two")
    with pytest.raises(NotFoundError, match="name one") as error:
        experiment_report(store)
    assert error.value.hint == "in the log are: one, two"
    with pytest.raises(NotFoundError, match="'three'"):
        experiment_report(store, "three")


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main(["prompt", *map(str, arguments)])
    captured = capsys.readouterr()
    return ended.value.code, captured.out, captured.err


def test_commands_from_start_to_rollback(capsys, place):
    where = ("--workspace", place.root)
    arms = (f"{CONTROL}=3", "rank/listwise=1")
    code, out, _ = run(capsys, "experiment", "start", "terse", *arms, "--share", 0.5, *where)
    assert (code, out) == (
        0,
        f"terse: {CONTROL} 75.0% (control), rank/listwise 25.0% of the 50.0% of users who take part\n",
    )
    _, out, _ = run(capsys, "experiment", "weights", "terse", "rank/listwise=3", *where)
    assert "rank/listwise 50.0%" in out
    assert dict(read(place.root)["terse"].arms) == {CONTROL: 3.0, "rank/listwise": 3.0}
    _, out, _ = run(capsys, "experiment", "rollback", *where)
    assert f"{CONTROL} 100.0% (control), rank/listwise 0.0%" in out
    _, out, _ = run(capsys, "experiment", "stop", "terse", *where)
    assert out == "terse is stopped\n"
    assert run(capsys, "experiment", "list", *where)[1] == "terse: stopped\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("start", "x", "rank/pointwise"), "is no arm with its weight"),
        (("start", "x", "rank/pointwise=-1"), "is no arm with its weight"),
        (("start", "x", "rank/pointwise=0"), "no arm has a weight"),
        (("start", "x", "rank/pointwise=1", "rank/pointwise=2"), "named twice"),
        (("start", "x", "rank/gone=1"), "no template 'rank/gone'"),
        (("start", "x", "explain/reasons=1"), "does not rank"),
        (("start", "x", "@gone=1"), "no adapter 'gone'"),
        (("start", "No", "rank/pointwise=1"), "small letters"),
        (("stop", "x"), "no experiment 'x'"),
        (("weights", "x", "a=1"), "no experiment 'x'"),
        (("rollback",), "no experiment runs"),
    ],
)
def test_wrong_commands_end_with_2_and_change_nothing(capsys, place, arguments, said):
    code, _, err = run(capsys, "experiment", *arguments, "--workspace", place.root)
    assert code == 2
    assert said in " ".join(err.split())
    assert read(place.root) == {}


def test_the_report_says_what_it_found_and_fails_on_a_wrong_split(capsys, place, store, log, tmp_path):
    for number in range(40):
        log.show(f"u{number}", CONTROL, clicks=[0])
        log.show(f"v{number}", SHORT)
    html = tmp_path / "page.html"
    code, out, _ = run(capsys, "report", "--workspace", place.root, "--report", html)
    assert code == 0
    assert "worse" in out
    assert f"{SHORT} version 3 (abc), 40 lists" in out
    assert "clicks per user" in html.read_text("utf-8")
    for number in range(80):
        log.show(f"w{number}", CONTROL)
    code, out, err = run(capsys, "report", "terse", "--workspace", place.root, "--json", "-")
    assert code == 1
    assert json.loads(out)["split"]["ok"] is False
    assert "sample ratio mismatch" in err
