"""Adapters of a workspace: what is published is whole, the newest is live, and names lead to nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from genrec.artifacts import adapters
from genrec.artifacts.adapters import Card, TunedTemplate
from genrec.domain import TemplateRef
from genrec.errors import ModelError, NotFoundError, SettingsError
from genrec.settings import Settings

TEMPLATE = TunedTemplate(id="rank/pointwise", version=3, hash="abc")
CARD = Card(
    base_model="smollm2-135m", recipe="rank_lora", ranker="pointwise", template=TEMPLATE,
    data={"fingerprint": "f"}, held_out="temporal", metrics={"ndcg": {"value": 0.4, "interval": [0.3, 0.5]}},
)  # fmt: skip


def publish(root: Path, name: str, card: Card | None = CARD) -> str:
    with adapters.publish(root, name) as staging:
        for file in adapters.WEIGHTS:
            (staging / file).write_text("{}")
        if card is not None:
            card.save(staging)
    version = adapters.live(root, name)
    assert version is not None
    return version


def test_the_newest_version_is_live_and_older_ones_stay(tmp_path: Path) -> None:
    assert adapters.live(tmp_path, "mine") is None
    made = [publish(tmp_path, "mine") for _ in range(5)]
    assert adapters.versions(tmp_path, "mine") == made == sorted(set(made))
    assert adapters.resolve(tmp_path, "mine") == tmp_path / "adapters" / "mine" / made[-1]
    assert adapters.resolve(tmp_path, f"mine@{made[1]}").name == made[1]
    assert adapters.names(tmp_path) == ["mine"]


def test_the_card_learns_name_and_version(tmp_path: Path) -> None:
    version = publish(tmp_path, "mine")
    card = Card.load(adapters.resolve(tmp_path, "mine"))
    assert card == CARD.model_copy(update={"name": "mine", "version": version})
    publish(tmp_path, "bare", None)
    assert Card.load(adapters.resolve(tmp_path, "bare")) is None


def test_a_broken_card_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "card.json").write_text('{"base_model": 3}')
    with pytest.raises(ModelError, match=r"card\.json"):
        Card.load(tmp_path)


def test_a_run_that_fails_publishes_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), adapters.publish(tmp_path, "mine"):
        raise KeyboardInterrupt
    with pytest.raises(ModelError, match=r"adapter_model\.safetensors"), adapters.publish(tmp_path, "mine") as staging:
        (staging / "adapter_config.json").write_text("{}")
    assert adapters.names(tmp_path) == []
    assert list((tmp_path / "adapters" / "mine").iterdir()) == []


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "a@b", ".hidden", "base", "a b", "ü", "x" * 65, "a\n"])
def test_names_that_could_lead_elsewhere(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError), adapters.publish(tmp_path, name):
        pass
    assert not list(tmp_path.rglob("*"))
    with pytest.raises(NotFoundError):
        adapters.resolve(tmp_path / "workspace", name)


def test_what_is_not_there_is_answered_with_what_is(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as empty:
        adapters.resolve(tmp_path, "mine")
    assert "genrec finetune" in empty.value.hint
    version = publish(tmp_path, "mine")
    with pytest.raises(NotFoundError) as named:
        adapters.resolve(tmp_path, "other")
    assert "mine" in named.value.hint
    with pytest.raises(NotFoundError) as versioned:
        adapters.resolve(tmp_path, "mine@1")
    assert version in versioned.value.hint
    with pytest.raises(NotFoundError):
        adapters.resolve(tmp_path, "mine@../mine")


def test_a_folder_from_elsewhere(tmp_path: Path) -> None:
    folder = tmp_path / "made-elsewhere"
    folder.mkdir()
    (folder / "adapter_config.json").write_text("{}")
    assert adapters.resolve(tmp_path, str(folder)) == folder
    assert adapters.label(folder) == "made-elsewhere"
    version = publish(tmp_path, "mine")
    assert adapters.label(adapters.resolve(tmp_path, "mine")) == f"mine@{version}"


def test_settings_get_the_folder(tmp_path: Path) -> None:
    def adapter(reference: str | None, engine: str = "vllm") -> str | None:
        settings = Settings.load(None, {"model": {"adapter": reference, "engine": engine}})
        return adapters.resolved(tmp_path, settings).model.adapter

    version = publish(tmp_path, "mine")
    assert adapter("mine") == str(tmp_path / "adapters" / "mine" / version)
    assert adapter(None) is adapter("base") is adapter("") is None
    assert adapter("of-the-server", "openai") == "of-the-server"


def test_another_model_than_the_one_tuned_is_named_with_it() -> None:
    card = CARD.model_copy(update={"name": "mine"})
    said = adapters.mismatch(card, TemplateRef("rank/pointwise", 3, "abc"), "another")
    assert said == f"the adapter 'mine' was tuned on the model {card.base_model}, but another is used"


def test_another_template_than_the_one_tuned_on_is_named_with_it() -> None:
    card = CARD.model_copy(update={"name": "mine"})
    assert adapters.mismatch(card, TemplateRef("rank/pointwise", 3, "abc"), card.base_model) is None
    assert adapters.mismatch(None, TemplateRef("rank/other", 1, "x"), "another") is None
    for ref in (TemplateRef("rank/other", 3, "abc"), TemplateRef("rank/pointwise", 4, "abc"),
                TemplateRef("rank/pointwise", 3, "def")):  # fmt: skip
        said = adapters.mismatch(card, ref, card.base_model)
        assert said is not None
        assert "rank/pointwise version 3 (abc)" in said
        assert f"{ref.id} version {ref.version} ({ref.hash})" in said


def test_a_model_that_an_adapter_was_merged_into_keeps_its_card(tmp_path: Path) -> None:
    tuned = CARD.model_copy(update={"name": "mine"})
    tuned.save(tmp_path)
    merged = Settings(model={"name": str(tmp_path)})
    assert adapters.tuned_by(merged) == [tmp_path]
    assert adapters.mismatch_of(merged, TemplateRef("rank/pointwise", 3, "abc")) is None
    said = adapters.mismatch_of(merged, TemplateRef("rank/other", 1, "x")) or ""
    assert "rank/pointwise version 3 (abc), but rank/other version 1 (x) is used" in said
    assert "model" not in said  # its folder is not the name of the base, and need not be
    assert adapters.tuned_by(Settings()) == []
    assert adapters.tuned_by(Settings(model={"adapter": "/of/the/server", "engine": "openai"})) == []
    both = Settings(model={"name": str(tmp_path), "adapter": "/adapter"})
    assert adapters.tuned_by(both) == [Path("/adapter"), tmp_path]
