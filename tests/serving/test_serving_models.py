"""Which model a name leads to, as versions come and go; the engine is a fake."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from genrec.artifacts import adapters
from genrec.errors import ModelError, NotFoundError, SettingsError
from genrec.llm.base import LanguageModel
from genrec.llm.scripted import ScriptedModel
from genrec.serving.models import ServedAdapters, ServedModels


class Engine(ScriptedModel):
    """Loads every adapter but those with a file `broken`."""

    def __init__(self, adapter: str | None = None) -> None:
        super().__init__(block=16)
        self.adapter = adapter
        self.loads = 0

    async def with_adapter(self, folder: Path) -> LanguageModel:
        self.loads += 1
        await asyncio.sleep(0)
        if (folder / "broken").exists():
            raise ModelError(f"cannot load {adapters.label(folder)}")
        return Engine(adapters.label(folder))


def publish(root: Path, name: str, *more: str) -> str:
    with adapters.publish(root, name) as staging:
        for file in (*adapters.WEIGHTS, *more):
            (staging / file).write_text("{}")
    return f"{name}@{adapters.live(root, name)}"


def names(models: ServedModels, *wanted: str | None) -> list[str | None]:
    async def get() -> list[str | None]:
        return [(await models.get(name)).adapter for name in wanted]

    return asyncio.run(get())


@pytest.mark.parametrize(
    ("references", "live", "merge", "stay_apart"),
    [
        ([], False, True, False),
        (["base"], False, False, False),
        (["a"], False, True, False),
        (["a"], True, True, True),
        (["a"], False, False, True),
        (["a", "b"], False, True, True),
    ],
)
def test_one_on_a_cpu_is_merged_and_all_others_stay_apart(
    references: list[str], live: bool, merge: bool, stay_apart: bool
) -> None:
    served = ServedAdapters.choose(references, live=live, merge=merge)
    assert served.live == stay_apart
    assert ServedAdapters.from_json(served.to_json()) == served


@pytest.mark.parametrize(
    ("references", "live"), [(["a", "a"], False), (["a", "folder/a"], False), (["x/base"], False), (["base"], True)]
)
def test_adapters_that_cannot_be_served_together(references: list[str], live: bool) -> None:
    with pytest.raises(SettingsError):
        ServedAdapters.choose(references, live=live, merge=True)


def test_without_adapters_there_is_the_base(tmp_path: Path) -> None:
    models = ServedModels(tmp_path, ServedAdapters(), Engine())
    assert names(models, None, "", "base") == [None, None, None]
    with pytest.raises(NotFoundError) as error:
        names(models, "mine")
    assert error.value.hint == "there are: base"


def test_the_first_is_the_default_and_the_base_stays(tmp_path: Path) -> None:
    first, second = publish(tmp_path, "first"), publish(tmp_path, "second")
    models = ServedModels(tmp_path, ServedAdapters(("second", "first"), live=True), Engine())
    assert models.names == ["second", "first", "base"]
    assert names(models, None, "first", "", "base") == [second, first, None, None]


def test_versions_are_followed_but_for_pinned_ones(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    old = publish(tmp_path, "mine")
    engine = Engine()
    models = ServedModels(tmp_path, ServedAdapters(("mine", old), live=True), engine)
    assert names(models, "mine", old) == [old, old]
    new = publish(tmp_path, "mine")
    assert names(models, "mine", old, "mine") == [new, old, new]
    assert engine.loads == 3
    assert f"{new} is live in place of {old}" in caplog.text


def test_a_version_that_does_not_load_is_tried_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    old = publish(tmp_path, "mine")
    engine = Engine()
    models = ServedModels(tmp_path, ServedAdapters(("mine",), live=True), engine)
    names(models, None)
    publish(tmp_path, "mine", "broken")
    assert names(models, None, None) == [old, old]
    assert engine.loads == 2
    assert caplog.text.count(f"{old} stays in use") == 1
    better = publish(tmp_path, "mine")
    assert names(models, None) == [better]


def test_one_that_never_loaded_is_an_error(tmp_path: Path) -> None:
    publish(tmp_path, "mine", "broken")
    with pytest.raises(ModelError):
        names(ServedModels(tmp_path, ServedAdapters(("mine",), live=True), Engine()), "mine")


def test_a_merged_one_stays_and_the_log_says_once_why(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    old = publish(tmp_path, "mine")
    engine = Engine(old)
    models = ServedModels(tmp_path, ServedAdapters(("mine",)), engine)
    assert models.names == ["mine"]
    assert names(models, None, "mine") == [old, old]
    with caplog.at_level(logging.WARNING, "genrec"):
        publish(tmp_path, "mine")
        assert names(models, None, "mine") == [old, old]
    assert caplog.text.count("--live-adapters") == 1
    assert engine.loads == 0
    with pytest.raises(NotFoundError, match="'base'") as error:
        names(models, "base")
    assert "--live-adapters" in error.value.hint


def test_what_is_removed_from_disk_goes_on(tmp_path: Path) -> None:
    import shutil

    old = publish(tmp_path, "mine")
    models = ServedModels(tmp_path, ServedAdapters(("mine",), live=True), Engine())
    names(models, None)
    shutil.rmtree(tmp_path / "adapters")
    assert names(models, None) == [old]


def test_callers_at_once_load_it_once(tmp_path: Path) -> None:
    publish(tmp_path, "mine")
    engine = Engine()
    models = ServedModels(tmp_path, ServedAdapters(("mine",), live=True), engine)

    async def together() -> set[int]:
        return {id(model) for model in await asyncio.gather(*(models.get() for _ in range(5)))}

    assert len(asyncio.run(together())) == 1
    assert engine.loads == 1
