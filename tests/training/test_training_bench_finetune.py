"""The benchmark of tuning on a tiny model: both sides learn from the same slates, and a finished side is kept."""

from __future__ import annotations

import argparse
import importlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from tiny_tuning import tiny_model_folder, tiny_workspace
from training_factories import LearningWorld

from genrec.training.base import TokenSlate

EVAL = Path(__file__).parents[2] / "eval"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(EVAL))
    return importlib.import_module("bench_finetune")


@pytest.fixture
def arguments(tmp_path: Path, world: LearningWorld, tiny_tokenizer_folder: Path) -> list[str]:
    """Three steps of two slates of six candidates."""
    root = tiny_workspace(tmp_path / "workspace", world).root
    (root / "genrec.toml").write_text(
        '[encoder]\nname = "hashing"\n[model]\nengine = "transformers"\n'
        '[retrieval]\nretrievers = ["covisit", "popular"]\npool = 30\ncandidates = 6\n'
    )
    model = tiny_model_folder(tmp_path / "model", tiny_tokenizer_folder)
    return [
        *("--workspace", str(root), "--model", str(model), "--slates", "6", "--batch", "2", "--validation", "8"),
        *("--state", str(tmp_path / "state.json"), "--json", str(tmp_path / "out.json")),
        *("--html", str(tmp_path / "out.html"), "examples.candidates=6", "lora.rank=4", "lora.layers=2"),
        *("optim.lr=0.1", "optim.warmup=0"),  # three steps are to be seen in the order
    ]


def test_both_sides_are_measured_and_a_finished_side_is_not_run_again(
    bench: ModuleType, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results: dict[str, dict[str, Any]] = {}

    def here(task: Any, work: Path, options: argparse.Namespace, bar: Any, name: str) -> dict[str, Any]:
        results[name] = task(work, options, lambda *_: None)
        return results[name]

    monkeypatch.setattr(bench, "apart", here)
    bench.main(arguments)
    ours, theirs = results["genrec"], results["trl"]
    assert ours["rates"] == pytest.approx(theirs["rates"])  # the same schedule
    assert len(ours["seconds"]) == len(theirs["seconds"]) == 3
    assert len(ours["ndcg"]) == len(theirs["ndcg"]) == 8
    assert theirs["tokens"] > 2 * ours["tokens"]  # the history is read again for each candidate
    assert ours["ndcg"] != ours["untuned"] != theirs["ndcg"] != ours["ndcg"]

    found = json.loads((tmp_path / "out.json").read_text())
    speed = found["systems"]["genrec"]["slates_per_second"] / found["systems"]["trl"]["slates_per_second"]
    assert found["ratio"] == pytest.approx(speed)
    assert found["systems"]["genrec"]["ndcg@10"] == pytest.approx(np.mean(ours["ndcg"]))
    assert found["ndcg_difference"]["ndcg@10"] == pytest.approx(np.mean(ours["ndcg"]) - np.mean(theirs["ndcg"]))
    page = (tmp_path / "out.html").read_text()
    assert "slates_per_second" in page
    assert "http" not in page.replace("http://www.w3.org", "")

    results.clear()
    state = json.loads((tmp_path / "state.json").read_text())
    del state["done"]["trl"]
    (tmp_path / "state.json").write_text(json.dumps(state))
    bench.main(arguments)
    assert [*results] == ["slates", "trl"]
    results.clear()
    bench.main([*arguments, "optim.lr=0.001"])
    assert [*results] == ["slates", "genrec", "trl"]


def test_rows_are_the_prompts_of_serving_with_their_answers(bench: ModuleType) -> None:
    sides = importlib.import_module("bench_finetune_sides")
    slate = TokenSlate((5, 6), ((7, 8), (9,)), (3, 4), np.array([0.0, 1.0]))
    assert sides.rows_of([slate]) == [
        {"input_ids": [5, 6, 9, 3], "completion_mask": [0, 0, 0, 1]},
        {"input_ids": [5, 6, 7, 8, 4], "completion_mask": [0, 0, 0, 0, 1]},
    ]
    rows = [{"input_ids": [0] * 100, "completion_mask": [0] * 100}] * 40
    assert sides.micro_batch([rows], 0, 1024) == 10  # the largest divisor of 40 within 1,024 tokens
    assert sides.micro_batch([rows], 8, 1024) == 8
    assert sides.micro_batch([rows], 0, 50) == 1
    with pytest.raises(SystemExit):
        sides.micro_batch([rows, rows[1:]], 0, 1024)
