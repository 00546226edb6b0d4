"""Configs: every problem at once, what is given behind the command on top."""

from __future__ import annotations

from pathlib import Path

import pytest

from genrec.errors import NotFoundError, SettingsError
from genrec.training.config import TrainConfig, load_config
from genrec.training.job import config_file, load_recipe, recipes


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "config.yaml"
    file.write_text(text, "utf-8")
    return file


def test_overrides_go_on_top_of_the_file_and_the_file_on_top_of_defaults(tmp_path: Path) -> None:
    file = written(tmp_path, "optim: {lr: 1.0e-4, warmup: 5}\n")
    config = load_config(TrainConfig, file, ["optim.lr=2e-3", "loop.trackers=[wandb]", "model=some/model"])
    assert (config.optim.lr, config.optim.warmup, config.lora.rank) == (2e-3, 5, 16)
    assert config.loop.trackers == ("wandb",)
    assert config.model == "some/model"
    assert load_config(TrainConfig, written(tmp_path, "")) == TrainConfig()


def test_every_problem_is_reported_with_its_place(tmp_path: Path) -> None:
    file = written(tmp_path, "optim: {lr: -1, speed: 3}\nlora: {rank: 5}\nextra: 1\n")
    with pytest.raises(SettingsError) as error:
        load_config(TrainConfig, file, ["loop.steps=many", "loop", "model.deep=1"])
    message = error.value.message
    for place in (str(file), "optim.lr", "optim.speed", "lora.rank", "extra", "loop.steps", "'loop' is not"):
        assert place in message
    assert error.value.hint


@pytest.mark.parametrize(
    ("text", "said"), [("a: [1", "1: is not valid YAML"), ("- 1\n", "sections"), (None, "cannot be read")]
)
def test_a_file_that_is_no_config_is_an_error(text: str | None, said: str, tmp_path: Path) -> None:
    file = tmp_path / "missing.yaml" if text is None else written(tmp_path, text)
    with pytest.raises(SettingsError, match=said):
        load_config(TrainConfig, file)


def test_an_override_into_a_value_is_reported(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="model is no section"):
        load_config(TrainConfig, written(tmp_path, "model: a\n"), ["model.name=b"])


def test_recipes_and_configs_are_found_by_name_and_by_file(tmp_path: Path) -> None:
    assert {"rank_lora", "rank_distill", "merge"} <= set(recipes())
    assert config_file("rank_lora", None).name == "rank_lora.yaml"
    assert config_file("mine.py", Path("rank_distill")).name == "rank_distill.yaml"
    own = written(tmp_path, "")
    assert config_file("rank_lora", own) == own
    file = tmp_path / "mine.py"
    file.write_text("def main(job):\n    return job\n")
    assert load_recipe(str(file))("it") == "it"  # type: ignore[arg-type, comparison-overlap]
    file.write_text("")
    for wrong in (str(file), "no_such_recipe", str(tmp_path / "none.py")):
        with pytest.raises(NotFoundError):
            load_recipe(wrong)
    with pytest.raises(NotFoundError, match="no config"):
        config_file("rank_lora", Path("no_such_config"))
