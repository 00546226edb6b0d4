"""New fits go live while the server runs; those that do not load leave the old one in use. Opening is scripted."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from genrec.artifacts.workspace import Workspace
from genrec.errors import GenrecError, WorkspaceError
from genrec.llm.scripted import ScriptedModel
from genrec.pipeline.recommender import Recommender
from genrec.serving import state
from genrec.serving.models import ServedAdapters, ServedModels
from genrec.serving.state import Live
from genrec.settings import Settings


class Fits:
    """The fits of a workspace; `broken` says what opening one raises."""

    def __init__(self, root: Path) -> None:
        self.workspace = Workspace(root)
        self.broken: dict[str, Exception] = {}
        self.opened: list[str] = []
        self.publish("v1")

    def publish(self, version: str, error: Exception | None = None) -> None:
        (self.workspace.root / "CURRENT").write_text(json.dumps({"retrieval": version}))
        if error is not None:
            self.broken[version] = error

    def open(self, root: Path, settings: Settings, *, model: Any, warn: bool) -> Any:
        version = Workspace(root).version()
        self.opened.append(version)
        if version in self.broken:
            raise self.broken[version]
        made = SimpleNamespace(version=version, model=model)
        made.with_ranker = lambda *_: SimpleNamespace(version=version, model=model, missing_weights_warning=None)
        return made

    def live(self) -> Live:
        model = ScriptedModel(block=16)
        return Live(self.workspace, Settings(), ServedModels(self.workspace.root, ServedAdapters(), model))  # type: ignore[arg-type]


@pytest.fixture
def fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fits:
    made = Fits(tmp_path)
    monkeypatch.setattr(Recommender, "open", made.open)
    monkeypatch.setattr(state, "ranker_for", lambda model, settings: SimpleNamespace(template=None))
    monkeypatch.setattr(state, "mismatch", lambda *_: None)
    return made


async def versions(live: Live, times: int) -> list[str]:
    return [(await live.recommender()).version for _ in range(times)]


@pytest.mark.parametrize("error", [WorkspaceError("the blend is torn"), KeyError("weights"), ValueError("no header")])
def test_one_that_does_not_load_leaves_the_old_one(
    fits: Fits, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    async def serve() -> None:
        live = fits.live()
        assert await versions(live, 2) == ["v1", "v1"]
        fits.publish("v2", error)
        with caplog.at_level(logging.WARNING, "genrec"):
            assert await versions(live, 3) == ["v1"] * 3
        fits.publish("v3")
        assert await versions(live, 2) == ["v3", "v3"]

    asyncio.run(serve())
    assert fits.opened == ["v1", "v2", "v3"]  # the broken one is tried once
    (said,) = [record.getMessage() for record in caplog.records]
    assert "the fit v1 stays in use: the v2 does not load" in said


def test_one_that_cannot_be_named_leaves_the_old_one(fits: Fits, caplog: pytest.LogCaptureFixture) -> None:
    async def serve() -> None:
        live = fits.live()
        await live.recommender()
        (fits.workspace.root / "CURRENT").write_text("{torn")
        assert await versions(live, 2) == ["v1", "v1"]
        fits.publish("v2")
        assert await versions(live, 1) == ["v2"]

    asyncio.run(serve())
    assert len(caplog.records) == 1


def test_the_first_one_must_load(fits: Fits) -> None:
    async def serve() -> None:
        live = fits.live()
        fits.publish("v2", WorkspaceError("the blend is torn"))
        for _ in range(2):
            with pytest.raises(GenrecError, match="torn"):
                await live.recommender()
        fits.broken.clear()
        assert await versions(live, 1) == ["v2"]

    asyncio.run(serve())
