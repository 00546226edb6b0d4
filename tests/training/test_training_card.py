"""What a run says of its adapter: figures that follow from the slates, and a README with all of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import yaml

from genrec.artifacts.adapters import Card, TunedTemplate
from genrec.domain import Candidate, Candidates, History, Item
from genrec.training.base import Example
from genrec.training.card import CHOICE, UNMOVED, choosing, limits_of, metrics_of, readme
from genrec.training.checkpoints import Progressed
from genrec.training.trainer import Outcome


def example(user: str, chosen: int) -> Example:
    candidates = tuple(Candidate(Item(f"i{n}", f"title {n}"), 3.0 - n) for n in range(3))
    return Example(History(user), Candidates(candidates), np.eye(3)[chosen])


def outcome(values: list[float], untuned: list[float], **progressed: Any) -> Outcome:
    state = Progressed("me", validations=[{"step": 0, "ndcg@10": 0.1}, {"step": 7, "ndcg@10": 0.2}], best=1)
    for name, value in progressed.items():
        setattr(state, name, value)
    return Outcome(np.array(values), np.array(untuned), state, "time")


def users(chooses: bool, count: int) -> list[str]:
    """Users whose slates choose the step that is kept, or whose slates are reported."""
    names = [f"u{number}" for number in range(40)]
    mask = choosing([example(name, 0) for name in names])
    return [name for name, chosen in zip(names, mask, strict=True) if bool(chosen) is chooses][:count]


def test_figures_are_of_the_users_who_did_not_choose() -> None:
    held = [example(name, 0) for name in (*users(True, 1), *users(False, 2))]
    metrics = metrics_of(held, [outcome([0.0, 1.0, 0.6], [0.0, 0.5, 0.5])])
    assert metrics["validation_slates"] == 2
    assert metrics["ndcg@10"]["value"] == pytest.approx(0.8)


def test_metrics_are_means_with_intervals_and_sums_over_stages() -> None:
    held = [example(name, chosen) for chosen, name in enumerate(users(False, 2))]
    stages = [
        outcome([0.5, 0.5], [0.25, 0.75], step=10, slates=80, seconds=120),
        outcome([1.0, 0.6], [0.5, 0.5], step=8, slates=64, seconds=60),
    ]
    metrics = metrics_of(held, stages)
    assert metrics["ndcg@10"]["value"] == pytest.approx(0.8)
    assert metrics["ndcg@10_untuned"]["value"] == pytest.approx(0.5)
    assert metrics["ndcg@10_gain_over_untuned"]["value"] == pytest.approx(0.3)
    assert metrics["ndcg@10_gain_over_untuned"]["interval"] == pytest.approx([-0.15, 0.75])
    assert metrics["ndcg@10_retriever"]["value"] == pytest.approx((1 + 1 / np.log2(3)) / 2, abs=1e-5)
    assert (metrics["examples"], metrics["minutes"], metrics["steps"], metrics["best_step"]) == (144, 3.0, 8, 7)


def test_the_readme_names_everything_that_a_reader_must_know() -> None:
    card = Card(
        base_model="tiny",
        recipe="rank_lora",
        ranker="pointwise",
        template=TunedTemplate(id="rank/pointwise", version=3, hash="abc"),
        data={"fingerprint": "f00", "events": 12},
        held_out="temporal",
        validation_users="some",
        metrics=metrics_of([example("a", 0)], [outcome([0.5], [0.25])]),
        limits=["Only this."],
    )
    text = readme("mine", card)
    front = yaml.safe_load(text.split("---")[1])
    assert front["base_model"] == "tiny"
    assert front["library_name"] == "peft"
    for part in ("# mine", "rank_lora", "pointwise", "rank/pointwise version 3 (abc)", "f00", "events 12", "temporal"):
        assert part in text
    assert "| ndcg@10 | 0.5000 | 0.5000 to 0.5000 |" in text
    assert "- Only this." in text


def test_an_adapter_that_has_seen_every_event_says_so() -> None:
    assert limits_of("none")[-1].startswith("It has seen every event")
    assert limits_of("temporal") == limits_of("none")[:-1]


def test_limits_name_what_was_trained_on() -> None:
    assert any("click on what stands first" in limit for limit in limits_of("temporal", as_shown=True))
    assert any("second stage and model together" in limit for limit in limits_of("temporal", offset=True))
    assert not any("retrieval proposed" in limit for limit in limits_of("temporal", as_shown=True))
    assert any("simulated" in limit for limit in limits_of("temporal", simulated=True))
    assert limits_of("temporal", unmoved=True)[-1] == UNMOVED
    assert any("asked for in words is not logged" in limit for limit in limits_of("temporal", as_shown=True))


def test_too_few_users_to_be_halved_are_not_called_a_half() -> None:
    assert CHOICE in limits_of("temporal")
    few = limits_of("temporal", halved=False)
    assert CHOICE not in few
    assert any("too few to be halved" in limit for limit in few)
