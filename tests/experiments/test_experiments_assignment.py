"""Who is in which arm, and that changes hold from the next request on."""

from __future__ import annotations

import json
import logging
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from genrec.errors import NotFoundError, SettingsError, WorkspaceError
from genrec.experiments import assignment
from genrec.experiments.assignment import LiveExperiments, assign, drawn, read, reweigh, roll_back, start, stop
from genrec.settings import ExperimentSettings, Settings

USERS = [f"user-{number}" for number in range(4000)]
CONTROL, SHORT, LONG = "rank/pointwise", "rank/short", "rank/long"


def experiment(**arms: float) -> ExperimentSettings:
    return ExperimentSettings(arms=arms)


def arms_of(one: ExperimentSettings, users: list[str] = USERS) -> dict[str, str | None]:
    return {user: drawn("e", one, user) for user in users}


@given(st.text(max_size=20), st.lists(st.floats(0, 10), min_size=1, max_size=5).filter(any))
def test_the_same_user_is_always_in_the_same_arm_and_never_in_one_without_weight(
    user: str, weights: list[float]
) -> None:
    one = ExperimentSettings(arms={f"arm-{n}": weight for n, weight in enumerate(weights)})
    arm = drawn("e", one, user)
    assert arm == drawn("e", one, user)
    assert arm is not None
    assert one.arms[arm] > 0


@pytest.mark.parametrize("weights", [(1, 1), (1, 9), (2, 3, 5), (1, 0, 1)])
def test_arms_get_users_by_their_weights(weights: tuple[int, ...]) -> None:
    one = ExperimentSettings(arms={f"arm-{n}": float(weight) for n, weight in enumerate(weights)})
    counts = Counter(arms_of(one).values())
    wanted = {arm: len(USERS) * share for arm, share in assignment.shares(one).items() if share}
    assert set(counts) == set(wanted)
    assert chisquare([counts[arm] for arm in wanted], list(wanted.values())).pvalue > 0.001


@given(
    st.lists(st.floats(0.1, 5), min_size=2, max_size=4),
    st.integers(0, 3),
    st.floats(1.0, 4.0),
)
def test_a_weight_that_grows_moves_users_into_its_arm_only(weights: list[float], grown: int, factor: float) -> None:
    grown %= len(weights)
    arms = {f"arm-{n}": weight for n, weight in enumerate(weights)}
    users = USERS[:200]
    before = arms_of(ExperimentSettings(arms=arms), users)
    after = arms_of(ExperimentSettings(arms={**arms, f"arm-{grown}": weights[grown] * factor}), users)
    assert {after[user] for user in users if after[user] != before[user]} <= {f"arm-{grown}"}


def test_no_more_users_move_than_must() -> None:
    before, after = arms_of(experiment(a=1, b=1)), arms_of(experiment(a=1, b=3))
    moved = sum(before[user] != after[user] for user in USERS) / len(USERS)
    assert moved == pytest.approx(0.25, abs=0.02)


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_share_that_grows_keeps_who_takes_part_and_their_arms(small: float, large: float) -> None:
    small, large = sorted((small, large))
    users, one = USERS[:200], experiment(a=1, b=1)
    before = arms_of(one.model_copy(update={"share": small}), users)
    after = arms_of(one.model_copy(update={"share": large}), users)
    assert all(after[user] == arm for user, arm in before.items() if arm is not None)


def test_the_share_takes_part() -> None:
    half = experiment(a=1).model_copy(update={"share": 0.5})
    assert sum(arm is not None for arm in arms_of(half).values()) / len(USERS) == pytest.approx(0.5, abs=0.03)


def test_another_salt_splits_anew_and_the_name_is_a_salt() -> None:
    one = experiment(a=1, b=1)
    salted = one.model_copy(update={"salt": "anew"})
    before, after = arms_of(one), arms_of(salted)
    assert sum(before[user] != after[user] for user in USERS) / len(USERS) > 0.4
    assert arms_of(one) == {user: drawn("other", one.model_copy(update={"salt": "e"}), user) for user in USERS}


def test_a_caller_without_a_name_gets_the_control_and_a_stopped_experiment_nobody() -> None:
    one = experiment(a=1, b=9)
    assert assign({"e": one}, None).arm == "a"  # type: ignore[union-attr]
    assert assign({"e": one.model_copy(update={"enabled": False})}, "u") is None
    assert assign({"e": one.model_copy(update={"share": 0.0})}, None) is None
    assert assign({}, "u") is None


def test_of_several_the_first_that_takes_the_user() -> None:
    half = experiment(a=1).model_copy(update={"share": 0.5})
    named = {user: assign({"second": experiment(b=1), "first": half}, user) for user in USERS}
    assert Counter(one.experiment for one in named.values() if one)["first"] == pytest.approx(2000, abs=120)
    assert None not in named.values()


class TestChanges:
    """Of the file in the workspace, seen by an object that a server keeps."""

    settings = Settings(experiments={"fixed": {"arms": {CONTROL: 1, SHORT: 1}}})  # type: ignore[arg-type]

    def arms(self, live: LiveExperiments, name: str = "fixed") -> set[str]:
        found = [live.assign(user) for user in USERS[:60]]
        return {one.arm for one in found if one and one.experiment == name}

    def test_hold_from_the_next_request_on(self, tmp_path: Path) -> None:
        live = LiveExperiments(tmp_path, self.settings)
        assert self.arms(live) == {CONTROL, SHORT}
        reweigh(tmp_path, self.settings, "fixed", {CONTROL: 0.0})
        assert self.arms(live) == {SHORT}
        assert roll_back(tmp_path, self.settings) == ["fixed"]
        assert self.arms(live) == {CONTROL}
        stop(tmp_path, self.settings, "fixed")
        assert self.arms(live) == set()
        start(tmp_path, self.settings, "fixed", experiment(**{CONTROL: 1, LONG: 1}))
        assert self.arms(live) == {CONTROL, LONG}
        (tmp_path / assignment.FILE).unlink()
        assert self.arms(live) == {CONTROL, SHORT}

    def test_a_rollback_may_name_one_of_several(self, tmp_path: Path) -> None:
        start(tmp_path, self.settings, "a-new", experiment(**{CONTROL: 1, LONG: 1}).model_copy(update={"share": 0.5}))
        assert roll_back(tmp_path, self.settings, "a-new") == ["a-new"]
        live = LiveExperiments(tmp_path, self.settings)
        assert self.arms(live, "a-new") == {CONTROL}
        assert self.arms(live) == {CONTROL, SHORT}

    def test_mistakes_are_named_and_change_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match="runs already"):
            start(tmp_path, self.settings, "fixed", experiment(a=1))
        with pytest.raises(SettingsError, match="small letters"):
            start(tmp_path, self.settings, "No Name", experiment(a=1))
        with pytest.raises(NotFoundError, match="no arm 'x'"):
            reweigh(tmp_path, self.settings, "fixed", {"x": 1.0})
        with pytest.raises(SettingsError, match="weight above 0"):
            reweigh(tmp_path, self.settings, "fixed", {CONTROL: 0.0, SHORT: 0.0})
        with pytest.raises(NotFoundError, match="no experiment 'gone'"):
            stop(tmp_path, self.settings, "gone")
        with pytest.raises(NotFoundError, match="no experiment runs"):
            roll_back(tmp_path, Settings())
        assert read(tmp_path) == {}

    def test_a_broken_file_changes_nothing_and_is_said_once(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        live = LiveExperiments(tmp_path, self.settings)
        reweigh(tmp_path, self.settings, "fixed", {CONTROL: 0.0})
        assert self.arms(live) == {SHORT}
        with caplog.at_level(logging.ERROR, "genrec"):
            (tmp_path / assignment.FILE).write_text("{")
            assert self.arms(live) == {SHORT}
        assert caplog.text.count("experiments stay as they are") == 1
        with pytest.raises(WorkspaceError, match="no file of experiments"):
            reweigh(tmp_path, self.settings, "fixed", {CONTROL: 1.0})


def test_experiments_come_from_file_and_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "genrec.toml"
    file.write_text(f'[experiments.terse]\nshare = 0.5\n[experiments.terse.arms]\n"{CONTROL}" = 1\n"@mine" = 3\n')
    (one,) = Settings.load(file).experiments.named().values()
    assert list(one.arms.items()) == [(CONTROL, 1.0), ("@mine", 3.0)]
    monkeypatch.setenv("GENREC_EXPERIMENTS__TERSE", json.dumps(one.model_dump()))  # as `genrec serve` hands it on
    assert Settings.load(None).experiments.named() == {"terse": one}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[experiments.Terse]\narms = {a = 1}\n", "'Terse'"),
        ("[experiments.a__b]\narms = {a = 1}\n", "'a__b'"),
        ("[experiments.x]\narms = {a = 0}\n", "weight above 0"),
        ("[experiments.x]\narms = {a = -1}\n", "experiments.x.arms.a"),
        ("[experiments.x]\narms = {a = 1}\nsahre = 1\n", "experiments.x.sahre"),
        ("[experiments.x]\n", "experiments.x.arms"),
    ],
)
def test_wrong_experiments_are_named(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "genrec.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=said):
        Settings.load(file)
