"""`genrec why`, and the same over HTTP."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from genrec.artifacts.workspace import Workspace
from genrec.cli.main import main
from genrec.data.sqlite.store import SqliteStore
from genrec.data.store import Exposure
from genrec.data.traces import LeftOut, Trace, TracedItem
from genrec.domain import Assignment, Item
from genrec.errors import GenrecError
from genrec.serving.errors import on_genrec_error
from genrec.serving.routes import router

TRACE = Trace(
    (TracedItem("a", {"covisit": 0.5}, 0.5, 0.25, 0.75, 0.3, 1.5, 0.125, ("objective: from 2 to 1",)),),
    (
        LeftOut("b", "policy", "p_click below 0.02 of the best in the pool", 0.001),
        LeftOut("c", "filtering", "hidden"),
    ),
    {"pool": 200, "candidates": 20, "history": 12},
    {
        "genrec": "0.1.0",
        "workspace": "v7",
        "retriever": "covisit",
        "ranker": "pointwise",
        "model": "smollm2-135m",
        "adapter": "mine@2",
        "policy": "veto",
        "fallback": None,
    },
)
LIST = (
    "Shown: 1 of 200 that covisit proposed for 12 events of history. Policy veto, 20 items read by "
    "smollm2-135m with the adapter mine@2 (pointwise, template rank/pointwise version 3); arm terse of the experiment "
    "words. Fit v7, genrec 0.1.0."
)
SHOWN = (
    "proposed by covisit (0.5); P(click) 0.25 (the language model gave it +1.5; without that 0.125), P(like) 0.75, "
    "value 0.3. Moved: objective: from 2 to 1."
)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace.create(tmp_path / "W")
    with SqliteStore(made.database, create=True) as store:
        store.put_items([Item(name, name.upper()) for name in "abcd"])
        store.log_exposure(
            Exposure(
                "rec-1",
                "u",
                ("a",),
                1.0,
                "rank/pointwise",
                3,
                "abc",
                assignment=Assignment("words", "terse", {"terse": 1.0}),
                trace=TRACE,
            )
        )
    return made


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    with pytest.raises(SystemExit) as ended:
        main(["why", *arguments])
    assert not ended.value.code
    return capsys.readouterr().out.splitlines()


def test_a_list_is_told_in_words(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "rec-1", "--workspace", str(workspace.root)) == [
        LIST,
        f"1. A (a): {SHOWN}",
        "B (b): not shown. Stage policy: p_click below 0.02 of the best in the pool (P(click) 0.001; the last that was "
        "shown has 0.25).",
        "C (c): not shown. Stage filtering: hidden.",
    ]


def test_one_item_is_told_in_words(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "rec-1", "--item", "a", "--workspace", str(workspace.root)) == [LIST, f"1. A: {SHOWN}"]
    assert said(capsys, "rec-1", "--item", "d", "--workspace", str(workspace.root))[1:] == [
        "D: not shown. Retrieval did not propose it, or it stood behind the 1 best that were left out (P(click) 0.001 "
        "or less)."
    ]


def test_as_json(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads("\n".join(said(capsys, "rec-1", "--workspace", str(workspace.root), "--json", "-")))
    assert (found["request_id"], found["user_id"]) == ("rec-1", "u")
    assert found["template"] == {"id": "rank/pointwise", "version": 3, "hash": "abc"}
    assert found["versions"]["adapter"] == "mine@2"
    assert [(one["rank"], one["item_id"], one["before"]) for one in found["shown"]] == [(1, "a", 0.125)]
    assert [(one["item_id"], one["stage"]) for one in found["left_out"]] == [("b", "policy"), ("c", "filtering")]
    assert found["words"][0] == LIST


def test_an_unknown_request_is_an_error_without_a_traceback(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["why", "rec-2", "--workspace", str(workspace.root)])
    assert ended.value.code == 2
    assert "no answer was logged under that request id" in capsys.readouterr().err


def test_over_http(workspace: Workspace) -> None:
    async def recommender() -> SimpleNamespace:
        return SimpleNamespace(store=store)

    app = FastAPI()
    app.include_router(router)
    app.add_exception_handler(GenrecError, on_genrec_error)
    app.state.genrec = SimpleNamespace(recommender=recommender)
    with SqliteStore(workspace.database) as store, TestClient(app) as client:
        found = client.get("/v1/recommendations/rec-1", params={"item": "b"}).json()
        assert (found["shown"], [one["item_id"] for one in found["left_out"]]) == ([], ["b"])
        assert found["words"][1].startswith("B: not shown. Stage policy: p_click below 0.02")
        assert client.get("/v1/recommendations/rec-1").json()["words"][0] == LIST
        assert client.get("/v1/recommendations/rec-2").status_code == 404
        assert client.get("/v1/recommendations/rec-1", params={"item": "z"}).status_code == 404
        store.prune_traces(1e11)
        gone = client.get("/v1/recommendations/rec-1")
        assert (gone.status_code, "not kept any more" in gone.json()["error"]["message"]) == (400, True)
