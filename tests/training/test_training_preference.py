"""Preferences: which sequences a pair is, that trl's loss is that of the scores served, and the recipe as a whole."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_tuning import tiny_model, tiny_model_folder, tiny_workspace
from training_factories import LearningWorld

from genrec.artifacts.adapters import Card
from genrec.artifacts.workspace import Workspace
from genrec.data.sqlite.store import SqliteStore
from genrec.data.store import Exposure
from genrec.domain import Candidate, Candidates, Event, History, Item
from genrec.errors import DataError, SettingsError
from genrec.settings import Settings
from genrec.training import forward, logs
from genrec.training.base import Example, TokenSlate
from genrec.training.config import LoraSettings, TrainConfig, load_config
from genrec.training.job import Job, config_file, load_recipe
from genrec.training.lora import attach
from genrec.training.preference import DpoLoss, PairedLists, PreferenceLoss, inputs, sequences
from genrec.training.processes import Processes
from support import genrec

YES, NO, BETA = 3, 4, 0.5
LISTWISE = TokenSlate((5, 6, 7), (), (20, 21, 22), np.eye(3)[2])
POINTWISE = TokenSlate((5, 6, 7), ((8, 9), (10,), (11, 12, 13)), (YES, NO), np.eye(3)[2])
FIRST_LOSSES = [math.log(2), 0.69430, 0.68730, 0.69109]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer_folder: Path) -> Path:
    return tiny_model_folder(tmp_path_factory.mktemp("tiny") / "model", tiny_tokenizer_folder)


@pytest.fixture(scope="module")
def workspace(world: LearningWorld, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Each user was shown six new items at time 1000 and clicked one of their taste, the third or the first."""
    made = tiny_workspace(tmp_path_factory.mktemp("shown") / "workspace", world)
    log = world.log
    with SqliteStore(made.database) as store:
        for user in range(log.n_users):
            seen = set(log.item[log.rows_of(user)].tolist())
            new = [item for item in range(60) if item not in seen]
            liked = next(item for item in new if (item + user) % 2)
            others = [item for item in new if not (item + user) % 2][:5]
            place = 0 if user % 7 == 0 else 2
            shown = [*others[:place], liked, *others[place:]]
            name, time = str(log.user_ids[user]), 1000.0 + user
            store.log_exposure(Exposure(f"r{user}", name, tuple(f"i{item}" for item in shown), time))
            store.append([Event(name, f"i{liked}", time + 1, "click", 5.0, request_id=f"r{user}")])
    return made


def job(workspace: Workspace, model: Path, name: str, *overrides: str, **others: Any) -> Job:
    settings = Settings(model={"name": str(model), "engine": "transformers", "context": 500})
    tiny = (
        *("loop.steps=4", "loop.batch=2", "loop.pool=2", "loop.evaluate_every=2", "loop.save_every=1"),
        *("lora.rank=4", "lora.layers=2", "optim.lr=5e-2", "optim.warmup=0", "loop.validation_slates=4"),
        "shown.skipped=1",
    )
    file = config_file("rank_preference", None)
    return Job("rank_preference", workspace, settings, name, file, (*tiny, *overrides), **others)


def recipe(given: Job) -> Path:
    return load_recipe("rank_preference")(given)


def losses(given: Job) -> list[float]:
    return [line["loss"] for line in logs.read(given.folder) if "loss" in line]


def test_sequences_differ_in_the_answers_only() -> None:
    preferred, other = sequences(POINTWISE, 2, 0)
    assert (preferred.prefix, other.prefix) == ((5, 6, 7), (5, 6, 7))
    assert preferred.suffixes == ((11, 12, 13, YES), (8, 9, NO))
    assert other.suffixes == ((11, 12, 13, NO), (8, 9, YES))
    preferred, other = sequences(LISTWISE, 2, 0)
    assert (preferred.prefix, other.prefix) == ((5, 6, 7, 22), (5, 6, 7, 20))


def test_only_answers_count_and_they_see_their_own_candidate() -> None:
    found = inputs([sequences(POINTWISE, 2, 0), sequences(POINTWISE, 1, 0)], "cpu")
    assert found["input_ids"][found["completion_mask"] == 1].tolist() == [YES, NO, YES, NO, NO, YES, NO, YES]
    assert found["completion_mask"][1].tolist() == [0, 0, 0, 0, 1, 0, 0, 1, 0, 0]
    # The last answer of the first row sees the history, its candidate and itself.
    assert found["attention_mask"][0, 0, 9].int().tolist() == [1, 1, 1, 0, 0, 0, 0, 1, 1, 1]
    assert found["position_ids"][0].tolist() == [0, 1, 2, 3, 4, 5, 6, 3, 4, 5]


@pytest.mark.parametrize("slate", [POINTWISE, LISTWISE], ids=["yes_no", "labels"])
def test_the_loss_of_trl_is_that_of_the_scores_that_serving_sorts_by(
    slate: TokenSlate, folder: Path, tmp_path: Path
) -> None:
    def scores() -> np.ndarray[Any, Any]:
        with torch.no_grad():
            return forward.scores(model, forward.collate([slate]))[0].numpy()

    Processes()
    model = attach(tiny_model(600), LoraSettings(layers=2, rank=4), 0)
    reference = scores()
    loss = DpoLoss(model, str(folder), BETA, tmp_path, torch.device("cpu"))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B.default" in name:
                weight.normal_(0, 0.3, generator=torch.Generator().manual_seed(1))
    moved = scores() - reference
    pairs = [(2, 0), (1, 2)]
    expected = np.mean([np.log1p(np.exp(-BETA * (moved[chosen] - moved[rejected]))) for chosen, rejected in pairs])
    assert abs(moved).max() > 0.05
    model.train()
    found = loss.compute_loss(model, inputs([sequences(slate, *pair) for pair in pairs], "cpu"))
    assert float(found.detach()) == pytest.approx(expected, abs=1e-5)
    right = np.mean([moved[chosen] > moved[rejected] for chosen, rejected in pairs])
    assert loss.seen()["reward_accuracies"] == pytest.approx(right)


class Lists:
    """Two lists: one with a click on top, one with clicks below."""

    def __len__(self) -> int:
        return 2

    def example(self, epoch: int, index: int, difficulty: float) -> Example:
        items = tuple(Candidate(Item(f"i{n}", f"t{n}"), -float(n)) for n in range(4))
        target = np.array([1.0, 0, 0, 0]) if index == 0 else np.array([0, 0.5, 0, 0.5])
        return Example(History("u", ()), Candidates(items), target)


def test_lists_without_something_skipped_above_a_click_teach_nothing() -> None:
    lists = PairedLists(Lists(), skipped=1)
    assert (len(lists), lists.pairs) == (1, 2)
    assert lists.example(0, 0, 1.0).target.tolist() == [0, 0.5, 0, 0.5]
    assert PairedLists(Lists(), skipped=9).pairs == 3

    class Top(Lists):
        def __len__(self) -> int:
            return 1

    with pytest.raises(DataError, match="skipped above"):
        PairedLists(Top(), skipped=1)


def test_terms_of_other_recipes_are_refused(tmp_path: Path) -> None:
    class Config(TrainConfig):
        loss: PreferenceLoss = PreferenceLoss()

    file = config_file("merge", None)
    with pytest.raises(SettingsError, match=r"loss\.calibration"):
        load_config(Config, file, ["loss.calibration=0.1"])


def test_the_recipe_learns_from_clicks_and_publishes(workspace: Workspace, folder: Path) -> None:
    given = job(workspace, folder, "first")
    made = recipe(given)
    assert losses(given) == pytest.approx(FIRST_LOSSES, abs=2e-4)
    assert sorted(path.name for path in made.iterdir()) == [
        "README.md", "adapter_config.json", "adapter_model.safetensors", "card.json",
    ]  # fmt: skip
    card = Card.load(made)
    assert card is not None
    assert (card.recipe, card.held_out, card.ranker) == ("rank_preference", "temporal", "pointwise")
    assert card.data["lists"] > 20
    assert card.data["pairs"] == card.data["lists"]
    assert card.metrics["validation_slates"] == card.data["validation_lists"] == 4
    # As shown, the click is third or first: the mean of 1/2 and 1.
    assert 0.5 <= card.metrics["ndcg@10_as_shown"]["value"] < 0.8
    line = next(line for line in logs.read(given.folder) if line["step"] == 3)
    assert {"reward_margins", "reward_accuracies", "slates_per_second"} <= set(line)
    assert not [path for path in workspace.root.rglob("*") if path.suffix in {".bin", ".pt", ".pth", ".pkl"}]


def test_an_interrupted_run_goes_on_to_the_same_losses(workspace: Workspace, folder: Path) -> None:
    def stop(what: str, done: int, of: int) -> None:
        if (what, done) == ("training steps", 3):
            raise KeyboardInterrupt

    given = job(workspace, folder, "interrupted", progress=stop)
    with pytest.raises(KeyboardInterrupt):
        recipe(given)
    assert list(given.folder.glob("step-*"))
    again = job(workspace, folder, "interrupted")
    recipe(again)
    assert losses(again) == pytest.approx(FIRST_LOSSES, abs=2e-4)


def test_autocast_computes_pairs_in_bfloat16(workspace: Workspace, folder: Path) -> None:
    given = job(workspace, folder, "bfloat16", "loop.autocast=true")
    recipe(given)
    assert losses(given) == pytest.approx(FIRST_LOSSES, abs=0.02)
    assert losses(given) != pytest.approx(FIRST_LOSSES, abs=2e-5)


def test_a_tuned_adapter_is_the_start_and_the_reference(workspace: Workspace, folder: Path) -> None:
    first = recipe(job(workspace, folder, "start", "loop.steps=2", "optim.lr=0.05"))
    given = job(workspace, folder, "further", "start=start", "lora.rank=64", "loop.steps=2")
    card, before = Card.load(recipe(given)), Card.load(first)
    assert card is not None
    assert before is not None
    assert card.metrics["ndcg@10_untuned"]["value"] == pytest.approx(before.metrics["ndcg@10"]["value"])
    assert losses(given)[0] == pytest.approx(math.log(2), abs=1e-5)
    assert card.settings["lora"]["rank"] == 4
    assert not (workspace.root / "adapters" / "further" / card.version / "ref").exists()
    with pytest.raises(SettingsError, match="not tuned for"):
        recipe(job(workspace, folder, "leak", "start=start", held_out="leave-one-out"))


def test_without_shown_lists_the_command_says_what_to_do(world: LearningWorld, folder: Path, tmp_path: Path) -> None:
    made = tiny_workspace(tmp_path / "workspace", world)
    done = genrec(["finetune", "rank_preference", "--workspace", str(made.root), "--model", str(folder)], check=False)
    assert done.returncode != 0
    assert "no shown lists with clicks" in done.stderr
    assert "request_id" in done.stderr
    assert "Traceback" not in done.stderr
