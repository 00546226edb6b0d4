"""What opening a workspace does first, what it leaves behind when it fails, and event loops."""

from __future__ import annotations

import asyncio
import json
import warnings
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import genrec.llm.loading
from genrec.artifacts.adapters import WEIGHTS, Card, TunedTemplate, publish, resolved
from genrec.artifacts.workspace import PARTS, Workspace
from genrec.data.sqlite.store import SqliteStore
from genrec.domain import Item, LlmRankerKey, TemplateRef
from genrec.errors import GenrecError, TemplateError, WorkspaceError
from genrec.llm.scripted import ScriptedModel
from genrec.pipeline import recommender
from genrec.pipeline.recommender import Recommender
from genrec.scoring.llm_evidence import LlmWeights
from genrec.scoring.scorer import Scorer
from genrec.settings import Settings


class Engine(ScriptedModel):
    """Says in which loop it was loaded and closed."""

    loaded: Any = None
    freed: Any = None

    async def close(self) -> None:
        self.freed = asyncio.get_running_loop()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace with folders of a fit, empty ones."""
    with SqliteStore(tmp_path / "genrec.db", create=True) as store:
        store.put_items([Item("a", "A")])
    for part in PARTS:
        (tmp_path / part / "v1").mkdir(parents=True)
    (tmp_path / "CURRENT").write_text(json.dumps(dict.fromkeys(PARTS, "v1")))
    return tmp_path


def weighed(model: str = "scripted") -> Scorer:
    """A scorer that knows what this language model weighs, and nothing else."""
    key = LlmRankerKey(model, None, "pointwise", "rank/pointwise")
    keys = [replace(key, template=template) for template in ("rank/pointwise", "rank/mine", "rank/other")]
    return Scorer((), None, None, 50, llm_weights=dict.fromkeys(keys, LlmWeights(slates=1)))  # type: ignore[arg-type]


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    """What is loaded as the language model; parts of a fit are their folders."""
    made = Engine(block=16)

    async def load(_: Any) -> Engine:
        made.loaded = asyncio.get_running_loop()
        return made

    monkeypatch.setattr(genrec.llm.loading, "load", load)
    for part in ("HybridRetriever", "Scorer"):
        monkeypatch.setattr(getattr(recommender, part), "load", lambda folder: folder)
    monkeypatch.setattr(recommender, "SlateBuilder", lambda *_: None)
    monkeypatch.setattr(recommender, "ranker_for", lambda *_: None)
    return made


def test_the_model_is_loaded_only_once_the_rest_is_there(
    root: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def torn(_: Path) -> None:
        raise WorkspaceError("the blend is torn")

    (root / "scoring" / "v1").rmdir()
    with pytest.raises(WorkspaceError, match="no fitted scoring"):
        Recommender.open(root)
    (root / "scoring" / "v1").mkdir()
    monkeypatch.setattr(recommender.HybridRetriever, "load", torn)
    with pytest.raises(WorkspaceError, match="torn"):
        Recommender.open(root)
    assert engine.loaded is None


def test_a_model_that_was_loaded_in_vain_is_freed(root: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise TemplateError("no such template")

    monkeypatch.setattr(recommender, "ranker_for", refuse)
    with pytest.raises(TemplateError):
        Recommender.open(root)
    assert engine.freed is engine.loaded is not None
    assert engine.freed.is_closed()
    callers = Engine(block=16)
    with pytest.raises(TemplateError):
        Recommender.open(root, model=callers)
    assert callers.freed is None


def test_the_model_lives_in_one_loop_which_ends_with_it(root: Path, engine: Engine) -> None:
    opened = Recommender.open(root)
    assert opened.model is engine
    assert not engine.loaded.is_closed()
    opened.close()
    assert engine.freed is engine.loaded
    assert engine.loaded.is_closed()


def test_the_parts_are_of_one_fit(root: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    for part in PARTS:
        (root / part / "v2").mkdir()
    reads = iter(["v1", *["v2"] * 9])  # a fit goes live after the first look
    monkeypatch.setattr(Workspace, "versions", lambda _: dict.fromkeys(PARTS, next(reads)))
    opened = Recommender.open(root)
    folders = [opened.retriever, opened.scorer]
    assert (opened.version, [folder.name for folder in folders]) == ("v1", ["v1"] * 2)  # type: ignore[union-attr]
    opened.close()


def test_where_a_loop_runs_the_error_says_what_to_do(root: Path, engine: Engine) -> None:
    async def inside() -> None:
        with pytest.raises(GenrecError, match="event loop is running") as raised:
            Recommender.open(root)
        assert "asyncio.to_thread(Recommender.open" in raised.value.hint
        assert engine.loaded is None
        opened = await asyncio.to_thread(Recommender.open, root)
        for call in (opened.recommend, opened.close):
            with pytest.raises(GenrecError, match="event loop is running") as raised:
                call()
        assert "await arecommend" in raised.value.hint
        assert engine.freed is None
        await asyncio.to_thread(opened.close)

    asyncio.run(inside())
    assert engine.freed is engine.loaded
    assert engine.loaded.is_closed()


def test_an_adapter_that_was_tuned_on_another_template_is_named(
    root: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuned = TemplateRef("rank/mine", 1, "aaaa")
    card = Card(base_model="smollm2-135m", recipe="rank_lora", ranker="pointwise", template=TunedTemplate.of(tuned),
                data={}, held_out="none")  # fmt: skip
    with publish(root, "mine") as staging:
        for file in WEIGHTS:
            (staging / file).write_bytes(b"{}")
        card.save(staging)
    settings = Settings(model={"adapter": "mine"})
    monkeypatch.setattr(recommender.Scorer, "load", lambda _: weighed())

    def opened(given: Settings, template: TemplateRef, warn: bool = True) -> list[str]:
        ranker = SimpleNamespace(name="pointwise", template=template)
        monkeypatch.setattr(recommender, "ranker_for", lambda *_: ranker)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            Recommender.open(root, given, warn=warn).close()
        return [str(warning.message) for warning in said]

    other = TemplateRef("rank/other", 2, "bbbb")
    (message,) = opened(settings, other)
    assert "rank/mine version 1" in message
    assert "rank/other version 2" in message
    assert opened(settings, tuned) == []
    assert opened(resolved(root, settings), other) == [message]
    assert opened(settings, other, warn=False) == []


def test_a_model_that_the_fit_did_not_weigh_is_named(
    root: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recommender.Scorer, "load", lambda _: weighed("another"))
    ranker = SimpleNamespace(name="pointwise", template=TemplateRef("rank/pointwise", 1, "aaaa"))
    monkeypatch.setattr(recommender, "ranker_for", lambda *_: ranker)
    with pytest.warns(UserWarning, match="scripted, pointwise, rank/pointwise was not weighed .* --adapter base"):
        opened = Recommender.open(root)
    assert opened.missing_weights_warning is not None
    opened.close()
