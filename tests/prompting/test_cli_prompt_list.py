from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from test_prompting_lint import BODY, FRONT, folder_with

from genrec.artifacts.workspace import Workspace
from genrec.cli.main import main
from genrec.data.sqlite.store import SqliteStore
from genrec.domain import Event, Item
from genrec.settings import ExperimentSettings, Settings


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Users u0 to u4 with 1, 2, ... 5 events; the median has 3. Item 0 is the most popular one."""
    folder = Workspace.create(tmp_path / "catalogue").root
    with SqliteStore(folder / "genrec.db", create=True) as store:
        store.put_items([Item(f"i{number}", f"Title {number}", {"year": "1999"}) for number in range(9)])
        store.append(
            [Event(f"u{user}", f"i{item}", float(item), "watch", 5.0) for user in range(5) for item in range(user + 1)]
        )
    return folder


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(["prompt", *arguments])
    return int(caught.value.code or 0)


def rows(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, dict[str, Any]]:
    capsys.readouterr()
    assert run("list", "--json", "-", *arguments) == 0
    return {row["id"]: row for row in json.loads(capsys.readouterr().out)}


def test_labels_say_where_a_template_comes_from(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    folder_with(folder, FRONT + BODY)
    (folder / "rank/pointwise.prompt").write_text(FRONT + BODY)
    found = rows(capsys, "--folder", str(folder), "--model", str(model))
    assert found["rank/mine"]["labels"] == ["local"]
    assert found["rank/pointwise"]["labels"] == ["shadowing"]
    assert found["rank/listwise"]["labels"] == []
    assert found["rank/mine"]["hash"] == found["rank/pointwise"]["hash"]
    assert (found["rank/mine"]["version"], found["rank/mine"]["language"]) == (1, "en")


def test_a_broken_template_is_named_and_hides_no_other(
    tmp_path: Path, workspace: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    folder_with(folder, FRONT + BODY)
    (folder / "rank/[red]wrong.prompt").write_text(FRONT.replace("version: 1", "version: one") + BODY)
    (folder / "rank/pointwise.prompt").write_text(FRONT + "{% if %}")
    arguments = ["--folder", str(folder), "--model", str(model), "-w", str(workspace)]
    capsys.readouterr()
    assert run("list", *arguments) == 1
    printed = capsys.readouterr()
    lines = {line.split()[0]: line for line in printed.out.splitlines()}
    assert re.search(r" - +broken +- +- +- +rank/\[red\]wrong.prompt:2: version: .*integer", lines["rank/[red]wrong"])
    assert " broken live " in lines["rank/pointwise"]
    assert "rank/pointwise.prompt:" in lines["rank/pointwise"]
    assert "broken" not in lines["rank/mine"] + lines["rank/listwise"]
    assert "2 of " in printed.err
    assert f"genrec prompt lint 'rank/[red]wrong' rank/pointwise --folder {folder}" in printed.err
    assert run("list", "--json", "-", *arguments) == 1
    found = {row["id"]: row for row in json.loads(capsys.readouterr().out)}
    assert found["rank/mine"]["problem"] is None
    assert found["rank/mine"]["tokens"]["prefix"] > 0
    assert (found["rank/pointwise"]["version"], found["rank/pointwise"]["labels"]) == (None, ["broken", "live"])
    assert found["rank/mine"].keys() == found["rank/pointwise"].keys()


def test_tokens_are_those_of_the_first_case_and_are_kept(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = rows(capsys, "--model", str(model))["rank/pointwise"]["tokens"]
    assert found["prompts"] == 3
    assert found["longest"] > found["prefix"] > 100
    assert found["tails"] > 3
    monkeypatch.setattr("genrec.prompting.tokenizer.load_tokenizer", None)  # a second call needs no tokenizer
    assert rows(capsys, "--model", str(model))["rank/pointwise"]["tokens"] == found
    (tmp_path / "cache/prompt-tokens.json").write_text("[")
    monkeypatch.undo()
    assert rows(capsys, "--model", str(model))["rank/pointwise"]["tokens"] == found


def test_without_a_tokenizer_there_are_no_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GENREC_CACHE", str(tmp_path))
    assert {row["tokens"] for row in rows(capsys).values()} == {None}
    assert run("list") == 0
    printed = capsys.readouterr()
    assert "genrec data fetch" in printed.err
    assert "rank/pointwise.zh" in printed.out


def test_tokens_are_of_a_median_user_of_the_workspace(
    workspace: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from genrec.cli.prompt.people import median_user, popular_inputs

    place = Workspace.open(workspace)
    assert median_user(place) == "u2"
    inputs = popular_inputs(place, Settings.load(None), "u2")
    assert inputs.history.item_ids() == ("i0", "i1", "i2")
    assert [candidate.item.id for candidate in inputs.candidates.items] == ["i3", "i4"]  # unseen, most events first
    found = rows(capsys, "-w", str(workspace), "--model", str(model))
    assert found["rank/pointwise"]["tokens"]["prompts"] == 2
    assert "live" in found["rank/pointwise"]["labels"]
    assert "live" not in found["rank/listwise"]["labels"]
    assert run("list", "-w", str(workspace), "--model", str(model)) == 0
    assert "a median user with 3 events and 2 candidates" in capsys.readouterr().err


def test_arms_of_running_experiments_are_labels(
    workspace: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from genrec.experiments import assignment

    settings = Settings.load(None)
    arms = {"rank/pointwise": 3.0, "rank/pointwise.zh": 1.0}
    assignment.start(workspace, settings, "terse", ExperimentSettings(arms=arms))
    found = rows(capsys, "-w", str(workspace), "--model", str(model))
    assert found["rank/pointwise"]["labels"] == ["live", "arm 75%"]
    assert found["rank/pointwise.zh"]["labels"] == ["arm 25%"]


def test_the_last_evaluation_is_shown(workspace: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    current = rows(capsys, "-w", str(workspace), "--model", str(model))["rank/pointwise"]["hash"]
    said = {"metric": "ndcg@10", "after": 0.31, "mean": 0.012, "low": 0.003, "high": 0.021, "verdict": "better"}
    for name, digest, created in (("1", "old", "2026-01-02T03:04:05Z"), ("2", current, "2026-02-03T04:05:06Z")):
        folder = workspace / "runs" / name
        folder.mkdir(parents=True)
        against = {"id": "rank/listwise", "version": 1, "hash": "x"}
        prompt = {"id": "rank/pointwise", "version": 1, "hash": digest, "against": against, **said}
        (folder / "record.json").write_text(json.dumps({"created": created, "prompt": prompt}))
    (workspace / "runs/3").mkdir()
    (workspace / "runs/3/record.json").write_text("{broken")
    assert run("list", "-w", str(workspace), "--model", str(model)) == 0
    line = next(text for text in capsys.readouterr().out.splitlines() if text.startswith("rank/pointwise "))
    assert "ndcg@10 0.3100 +0.0120 [+0.0030, +0.0210] against rank/listwise@1 2026-02-03" in line
    assert "another text" not in line
    (workspace / "runs/2/record.json").unlink()
    assert rows(capsys, "-w", str(workspace), "--model", str(model))["rank/pointwise"]["evaluation"]["run"] == "1"
    assert run("list", "-w", str(workspace), "--model", str(model)) == 0
    assert "2026-01-02 (another text)" in capsys.readouterr().out


def test_render_for_a_real_user(workspace: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["render", "rank/pointwise", "-w", str(workspace), "--model", str(model)]
    assert run(*arguments, "--user", "u1", "--query", "something old", "--json", "-") == 0
    found = json.loads(capsys.readouterr().out)
    assert "popular titles" in found["source"]
    assert [message["role"] for message in found["messages"]] == ["system", "user"]
    assert "- watched Title 1 (1999); rated it 5" in found["text"]
    assert 'asks for: "something old"' in found["text"]
    assert found["prompts"] == 3
    assert found["tokens"]["history"] > 0
    assert run(*arguments, "--user", "nobody") == 2
    said = capsys.readouterr().err
    assert "no such user" in said
    assert "nobody" not in said
    assert run(*arguments, "--user", "u1", "--case", "typical") == 2
