"""Each recipe on a tiny model: its first losses, what it leaves, and every config that ships."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from tiny_tuning import tiny_model_folder, tiny_workspace
from training_factories import LearningWorld

from genrec.artifacts.adapters import Card, resolve, versions
from genrec.cli.main import main
from genrec.errors import SettingsError
from genrec.training import logs
from genrec.training.card import UNMOVED
from genrec.training.config import load_config
from genrec.training.job import load_recipe, recipes, shipped_folder

CONFIGS = sorted(shipped_folder().rglob("*.yaml"))
SMALL = [
    *("lora.rank=4", "lora.layers=2", "loop.steps=4", "loop.batch=4", "loop.evaluate_every=2", "loop.save_every=2"),
    *("loop.validation_slates=8", "loop.max_minutes=null", "examples.candidates=6", "optim.lr=5e-3", "loop.pool=2"),
]

# First losses, in nats: log(6) = 1.79 for equal scores, and for yes or no a twentieth of the binary cross-entropy,
# log(2), on top.
CLICKS = [1.829, 1.820, 1.813, 1.819]
LABELS = [1.604, 1.930]
TEACHER = [1.828, 1.823]
NEXT = [1.829, 1.823]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer_folder: Path) -> Path:
    return tiny_model_folder(tmp_path_factory.mktemp("tiny-model"), tiny_tokenizer_folder)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, world: LearningWorld) -> Path:
    root = tmp_path_factory.mktemp("recipes") / "workspace"
    tiny_workspace(root, world)
    (root / "genrec.toml").write_text(
        '[encoder]\nname = "hashing"\n[retrieval]\nretrievers = ["covisit", "popular"]\npool = 30\ncandidates = 6\n'
    )
    return root


def run(recipe: str, workspace: Path, model: Path, name: str, *arguments: str) -> Path:
    """Calls the command and returns the folder of what was made."""
    place = workspace.parent / f"{name}.json"
    with pytest.raises(SystemExit) as end:
        main(["finetune", recipe, "-w", str(workspace), "--name", name, "--model", str(model), "--engine",
              "transformers", "--json", str(place), *arguments])  # fmt: skip
    assert not end.value.code
    return Path(json.loads(place.read_text("utf-8"))["folder"])


def first_losses(folder: Path) -> list[float]:
    return [round(line["loss"], 3) for line in logs.read(folder) if "loss" in line][:4]


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.stem)
def test_every_config_begins_with_its_command_and_validates(file: Path) -> None:
    head = file.read_text("utf-8").splitlines()[0]
    assert head.startswith("# genrec finetune ")
    recipe = head.split()[3]
    assert recipe in recipes()
    kind = sys.modules[load_recipe(recipe).__module__].Config
    load_config(kind, file)
    values = yaml.safe_load(file.read_text("utf-8"))
    with pytest.raises(SettingsError):
        load_config(kind, file, ["no_such_key=1"])
    assert isinstance(values, dict)


def test_rank_lora_learns_from_clicks(workspace: Path, model: Path) -> None:
    made = run("rank_lora", workspace, model, "clicks", *SMALL)
    assert first_losses(workspace / "training" / "clicks") == pytest.approx(CLICKS, abs=0.002)
    card = Card.load(made)
    assert card is not None
    assert (card.name, card.recipe, card.ranker, card.held_out) == ("clicks", "rank_lora", "pointwise", "temporal")
    assert card.base_model == str(model)
    assert card.template.id == "rank/pointwise"
    assert card.data["fingerprint"]
    low, high = card.metrics["ndcg@10"]["interval"]
    assert low <= card.metrics["ndcg@10"]["value"] <= high
    assert (card.metrics["steps"], card.metrics["examples"]) == (4, 16)
    assert resolve(workspace, "clicks") == made
    assert not list((workspace / "training").rglob("step-*"))


def test_label_templates_are_tuned_with_their_own_ranker(workspace: Path, model: Path) -> None:
    made = run("rank_lora", workspace, model, "labels", *SMALL, "loop.steps=2", "--ranker", "single_pass")
    assert first_losses(workspace / "training" / "labels") == pytest.approx(LABELS, abs=0.002)
    card = Card.load(made)
    assert card is not None
    assert (card.ranker, card.template.id) == ("single_pass", "rank/listwise")


@pytest.fixture(scope="module")
def distilled(workspace: Path, model: Path) -> Path:
    return run("rank_distill", workspace, model, "distilled", *SMALL, "loop.pool=1")


def test_rank_distill_learns_from_the_second_stage_first(workspace: Path, distilled: Path) -> None:
    folder = workspace / "training" / "distilled"
    assert first_losses(folder / "teacher") == pytest.approx(TEACHER, abs=0.002)
    assert first_losses(folder / "next") == pytest.approx(NEXT, abs=0.002)
    card = Card.load(distilled)
    assert card is not None
    assert card.metrics["examples"] == 16
    assert not list(folder.rglob("step-*"))
    assert list(folder.glob("genrec-teacher/events.out.tfevents.*"))
    assert list(folder.glob("genrec-next/events.out.tfevents.*"))


def test_a_killed_second_stage_goes_on_to_the_same_losses(workspace: Path, model: Path, distilled: Path) -> None:
    """SIGKILL once the second stage has a checkpoint."""
    folder = workspace / "training" / "killed"
    arguments = [
        *(
            sys.executable,
            "-m",
            "genrec.cli.main",
            "finetune",
            "rank_distill",
            "-w",
            str(workspace),
            "--name",
            "killed",
        ),
        *("--model", str(model), "--engine", "transformers", *SMALL, "loop.pool=1", "loop.save_every=1"),
    ]
    process = subprocess.Popen(arguments, stderr=subprocess.DEVNULL)
    while not list((folder / "next").glob("step-*")):
        assert process.poll() is None
        time.sleep(0.002)
    process.kill()
    process.wait()
    assert list((folder / "next").glob("step-*"))
    taught = logs.read(folder / "teacher")
    run("rank_distill", workspace, model, "killed", *SMALL, "loop.pool=1", "loop.save_every=1")
    assert logs.read(folder / "teacher") == taught
    for stage in ("teacher", "next"):
        found = first_losses(folder / stage)
        assert found == pytest.approx(first_losses(workspace / "training" / "distilled" / stage), abs=1e-3)


def test_two_processes_make_what_one_makes(workspace: Path, model: Path, distilled: Path) -> None:
    """torchrun, gloo: where one batch is drawn at a time, the losses are those of a single process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(port)),
        *("-m", "genrec.cli.main", "finetune", "rank_distill", "-w", str(workspace), "--name", "two"),
        *("--model", str(model), "--engine", "transformers", *SMALL, "loop.pool=1"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    for stage in ("teacher", "next"):
        alone, both = (logs.read(workspace / "training" / name / stage) for name in ("distilled", "two"))
        for one, two in zip(alone, both, strict=True):
            for key in {*one} - {"slates_per_second"}:
                assert two[key] == pytest.approx(one[key], rel=1e-3), (stage, key)
    assert len(versions(workspace, "two")) == 1


def test_merge_makes_a_model_of_its_own_that_says_the_same(
    workspace: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    monkeypatch.setenv("GENREC_CACHE", str(tmp_path / "cache"))
    adapter = run("rank_lora", workspace, model, "merged", *SMALL)
    made = run("merge", workspace, model, "merged")
    assert made == workspace / "models" / "merged"
    assert (made / "tokenizer.json").is_file()
    card, origin = Card.load(made), Card.load(adapter)
    assert card == origin
    apart = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(model), str(adapter)).eval()
    prompt = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        expected = apart(prompt).logits
        found = AutoModelForCausalLM.from_pretrained(made)(prompt).logits
    assert torch.allclose(found, expected, atol=1e-5)


def test_wrong_calls_are_errors_with_hints(
    workspace: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["-w", str(workspace), "--model", str(model)]
    broken, lacking = tmp_path / "broken.py", tmp_path / "lacking.py"
    misnamed, fruitless = tmp_path / "misnamed.py", tmp_path / "fruitless.py"
    misnamed.write_text("from numpy import no_such_name\n", "utf-8")
    fruitless.write_text("def main(job):\n    pass\n", "utf-8")
    broken.write_text("def main(job:\n", "utf-8")
    lacking.write_text("import no_such_library\n", "utf-8")
    for arguments, said in (
        (["no_such_recipe", *common], "no recipe"),
        (["rank_lora", *common, "lora.rank=5"], "lora.rank"),
        (["rank_lora", *common, "--held-out", "some"], "held-out"),
        (["rank_lora", *common, "--name", "../x"], "name of an adapter"),
        (["merge", *common, "--name", "never-made"], "no adapter"),
        (["rank_lora", *common, "loop.seed=-1"], "loop.seed"),
        (["rank_lora", *common, "optim.betas=[2,3]"], "optim.betas"),
        (["rank_lora", *common, "--minutes", "inf"], "loop.max_minutes"),
        (["rank_lora", *common, "--config", "mistyped/rank_lora.yaml"], "no config"),
        ([str(broken), *common, "--config", "rank_lora"], "broken.py, line 1"),
        ([str(lacking), *common, "--config", "rank_lora"], "needs no_such_library"),
        ([str(misnamed), *common, "--config", "rank_lora"], "no_such_name"),
        ([str(fruitless), *common, "--config", "rank_lora"], "gave no folder"),
        (["rank_lora", *common, "optim.lr=.inf"], "optim.lr"),
    ):
        with pytest.raises(SystemExit) as end:
            main(["finetune", *arguments])
        assert end.value.code == 2
        shown = " ".join(capsys.readouterr().err.split())
        assert said in shown
        assert "hint:" in shown


def test_the_adapter_to_be_made_may_stand_in_the_settings_already(
    workspace: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GENREC_MODEL__ADAPTER", "first")
    made = run("rank_lora", workspace, model, "first", *SMALL, "loop.steps=1")
    assert resolve(workspace, "first") == made
    run("rank_lora", workspace, model, "first", *SMALL, "loop.steps=1", "--template", "rank/pointwise.terse")
    assert "was tuned on" not in capsys.readouterr().err


def test_what_learns_nothing_says_so(workspace: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = run("rank_lora", workspace, model, "still", *SMALL, "loop.steps=1", "optim.lr=1e-30")
    card = Card.load(made)
    assert card is not None
    assert UNMOVED in card.limits
    with pytest.raises(SystemExit):
        main(["finetune", "rank_lora", "-w", str(workspace), "--name", "still", "--model", str(model), "--engine",
              "transformers", *SMALL, "loop.steps=1", "optim.lr=1e-30"])  # fmt: skip
    assert "No step was better" in " ".join(capsys.readouterr().err.split())
