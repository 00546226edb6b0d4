"""Running a template: what the model said of each title, and what is never run."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from playground_factories import (
    LISTWISE,
    LOOPS,
    POINTWISE,
    USER,
    OneRecommender,
    app_of,
    client,
    post,
    running,
    served_service,
    settings_of,
    source_of,
)
from scipy.stats import kendalltau

from genrec.data.sqlite.store import SqliteStore
from genrec.serving.playground.served import ServedPlaygroundService
from genrec.serving.playground.service import Engine
from genrec.serving.state import Live


class TestRun:
    @pytest.mark.parametrize(("template", "labels"), [(POINTWISE, {"Yes", "No"}), (LISTWISE, set("ABCDEFGH"))])
    def test_what_the_ranker_read(self, api: httpx.Client, template: dict[str, str], labels: set[str]) -> None:
        answer = post(api, "run", template, inputs=USER)["answer"]
        items = answer["items"]
        assert [item["rank"] for item in items] == list(range(1, 9))
        assert {one["label"] for item in items for one in item["read"]} == labels
        assert all(item["sources"] and item["reasons"] and item["retriever_score"] is not None for item in items)
        if template is POINTWISE:
            for item in items:
                yes, no = item["read"]
                assert item["llm_score"] == pytest.approx(yes["logprob"] - no["logprob"])
        else:
            assert [item["read"][0]["step"] for item in items] == list(range(1, 9))

    def test_p_click_and_how_far_the_model_agrees_with_it(self, api: httpx.Client) -> None:
        answer = post(api, "run", POINTWISE, inputs=USER)["answer"]
        p_click = [item["p_click"] for item in answer["items"]]
        assert all(0 < p < 1 for p in p_click)
        tau = kendalltau([item["llm_score"] for item in answer["items"]], p_click).statistic
        assert answer["agreement"] == pytest.approx(tau)

    def test_all_parts_may_order_and_the_model_may_give_reasons(self, api: httpx.Client) -> None:
        answer = post(api, "run", POINTWISE, inputs=USER, policy="fuse", explain="model")["answer"]
        assert answer["provenance"]["policy"] == "fuse"
        assert answer["provenance"]["explanation"]["asked"] == "model"

    def test_the_labels_are_those_of_the_prompt(self, api: httpx.Client) -> None:
        text = post(api, "preview", LISTWISE, inputs=USER)["prompt"]["messages"][1]["text"]
        for item in post(api, "run", LISTWISE, inputs=USER)["answer"]["items"]:
            assert f"{item['read'][0]['label']}. {item['title']} (" in text

    def test_an_edit_is_what_ranks(self, api: httpx.Client, store: SqliteStore) -> None:
        source = source_of(api, POINTWISE).replace("Next:", "And now:").replace("version: 1", "version: 7")
        stored = post(api, "run", POINTWISE, inputs=USER)["answer"]
        edited = post(api, "run", {**POINTWISE, "source": source}, inputs=USER)["answer"]
        assert (stored["provenance"]["template"]["version"], edited["provenance"]["template"]["version"]) == (1, 7)
        assert stored["provenance"]["template"]["hash"] != edited["provenance"]["template"]["hash"]
        scores = [{item["item_id"]: item["llm_score"] for item in answer["items"]} for answer in (stored, edited)]
        assert scores[0].keys() == scores[1].keys()
        assert scores[0] != scores[1]
        assert list(store.exposures()) == []

    def test_a_broken_template_runs_nothing(self, api: httpx.Client) -> None:
        answer = post(api, "run", {**POINTWISE, "source": "---\nversion: x\n---\n"}, inputs=USER)
        assert answer["answer"] is None
        assert answer["findings"]

    def test_an_attack_never_reaches_the_server(self, impatient: httpx.Client) -> None:
        source = source_of(impatient, POINTWISE).replace("Next:", LOOPS)
        answer = post(impatient, "run", {**POINTWISE, "source": source}, inputs=USER)
        assert answer["answer"] is None
        assert "longer than" in answer["findings"][0]["message"]

    @pytest.mark.parametrize(
        ("inputs", "words"),
        [
            ({"case": "typical"}, "previews only"),
            ({**USER, "candidates": ["Title 1", "secret title"]}, "line 2"),
        ],
    )
    def test_what_cannot_be_run(self, api: httpx.Client, inputs: dict[str, Any], words: str) -> None:
        response = api.post("/api/run", json={"template": POINTWISE, "inputs": inputs})
        assert response.status_code == 400
        assert words in response.json()["error"]["message"]
        assert "secret" not in response.text

    def test_several_orders_are_read_one_by_one(self, store: SqliteStore, tiny_tokenizer_folder: Path) -> None:
        settings = settings_of(ranking={"ranker": "single_pass", "orders": 2, "template": "rank/listwise"})
        app = app_of(served_service(store, tiny_tokenizer_folder, settings), settings)
        with running(app) as base, client(base) as http:
            answer = post(http, "run", LISTWISE, inputs=USER)["answer"]
        for item in answer["items"]:
            assert [one["order"] for one in item["read"]] == [1, 2]
            assert item["llm_score"] == pytest.approx(sum(one["logprob"] for one in item["read"]) / 2, abs=1e-5)

    def test_without_an_engine_there_are_previews_only(self, preview_only: httpx.Client) -> None:
        body = {"template": POINTWISE, "inputs": {"history": ["x"]}}
        assert preview_only.post("/api/run", json=body).status_code == 400


def test_the_server_opens_it_on_its_own_model(store: SqliteStore, tiny_tokenizer_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_tokenizer_folder, folder)
    (folder / "config.json").write_text("{}")
    settings = settings_of(model={"name": str(folder)}, ranking={"ranker": "single_pass", "orders": 3})
    opened = asyncio.run(ServedPlaygroundService.open(cast(Live, OneRecommender(store, folder, settings)), settings))
    assert opened.engine == Engine("scripted", folder, 16, 1 << 20, 3)
    assert opened.edits
