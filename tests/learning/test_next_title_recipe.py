"""The recipe on a tiny model: its first losses in both stages, what it measures, and that a cut changes nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from learning_world import LearningWorld
from test_learning_recipes import SMALL, first_losses, run
from tiny_tuning import tiny_model_folder, tiny_workspace

from genrec.adapters import Card, versions
from genrec.learning import checkpoints, logs

STEPS = [*SMALL, "loop.steps=12", "stage.share=0.5", "loop.save_every=1"]

# First losses, in nats: above log(600) = 6.40, since a model at random is wrong in its own way; then as of rank_lora.
TITLES = [6.779, 6.720, 6.622, 6.451]
CLICKS = [1.813, 1.813, 1.813, 1.814]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer_folder: Path) -> Path:
    return tiny_model_folder(tmp_path_factory.mktemp("tiny-model"), tiny_tokenizer_folder)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, world: LearningWorld) -> Path:
    root = tmp_path_factory.mktemp("titles") / "workspace"
    tiny_workspace(root, world)
    (root / "genrec.toml").write_text(
        '[encoder]\nname = "hashing"\n[retrieval]\nretrievers = ["covisit", "popular"]\npool = 30\ncandidates = 6\n'
    )
    return root


@pytest.fixture(scope="module")
def made(workspace: Path, model: Path) -> Path:
    return run("next_title", workspace, model, "straight", *STEPS)


def entries(folder: Path) -> list[dict[str, float]]:
    """The log without what depends on the clock."""
    return [{key: value for key, value in line.items() if key != "slates_per_second"} for line in logs.read(folder)]


def test_titles_come_first_and_clicks_begin_where_they_were_foreseen_best(workspace: Path, made: Path) -> None:
    folder = workspace / "training" / "straight"
    assert first_losses(folder / "titles") == pytest.approx(TITLES, abs=0.002)
    assert first_losses(folder / "next") == pytest.approx(CLICKS, abs=0.002)
    titles = [line for line in logs.read(folder / "titles") if "validation_loss" in line]
    assert [line["step"] for line in titles] == [0, 2, 4, 6]
    losses = [line["validation_loss"] for line in titles]
    assert min(losses) < losses[0] - 0.02
    clicks = [line for line in logs.read(folder / "next") if "validation_ndcg@10" in line]
    best = losses.index(min(losses))
    assert clicks[0]["validation_ndcg@10"] == pytest.approx(titles[best]["validation_ndcg@10"])
    assert not any("validation_loss" in line for line in clicks)


def test_the_card_tells_of_both_stages_and_compares_with_the_base(workspace: Path, made: Path) -> None:
    card = Card.load(made)
    assert card is not None
    assert (card.recipe, card.ranker, card.settings["stage"]) == ("next_title", "pointwise", {"share": 0.5})
    assert card.metrics["examples"] == 12 * 4
    low, high = card.metrics["ndcg@10_untuned"]["interval"]
    assert low <= card.metrics["ndcg@10_untuned"]["value"] <= high
    assert not list((workspace / "training" / "straight").rglob("step-*"))


class Killed(BaseException):
    """Like a signal: nothing in the trainer may catch it."""


def test_a_run_that_is_cut_in_either_stage_goes_on_to_the_same_losses(
    workspace: Path, model: Path, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL in the first stage; then, in a run that resumes, an end as sudden in the second."""
    folder, straight = workspace / "training" / "cut", workspace / "training" / "straight"
    command = ["-m", "genrec.cli.main", "finetune", "next_title", "-w", str(workspace), "--name", "cut"]
    process = subprocess.Popen(
        [sys.executable, *command, "--model", str(model), "--engine", "transformers", *STEPS],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while len(entries(folder / "titles")) < 4:
        assert process.poll() is None
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert checkpoints.latest(folder / "titles") is not None
    assert checkpoints.latest(folder / "next") is None

    write = logs.Log.write

    def writes(self: logs.Log, at: int, **values: float) -> None:
        write(self, at, **values)
        if at == 3 and "loss" in values and (folder / "next").exists():
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(logs.Log, "write", writes)
        with pytest.raises(Killed):
            run("next_title", workspace, model, "cut", *STEPS)
    assert checkpoints.latest(folder / "next") is not None
    assert not versions(workspace, "cut")

    resumed, kept = Card.load(run("next_title", workspace, model, "cut", *STEPS)), Card.load(made)
    for stage in ("titles", "next"):
        assert entries(folder / stage) == entries(straight / stage)
    assert resumed is not None
    assert kept is not None
    assert resumed.metrics["ndcg@10"] == kept.metrics["ndcg@10"]
