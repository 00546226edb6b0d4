"""`request` is accepted for `query`, with a warning, wherever people write it; both at once are an error."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from genrec.artifacts import renames
from genrec.artifacts.renames import current_argument, current_name
from genrec.domain import History
from genrec.errors import TemplateError
from genrec.evaluation.injection.schema import Attack
from genrec.evaluation.suite.schema import Suite
from genrec.evaluation.suite.tsv import read_of_users
from genrec.prompting.cases import CaseInputs
from genrec.prompting.library import TemplateLibrary
from genrec.prompting.render import render
from genrec.prompting.tokenizer import load_tokenizer
from genrec.serving.schemas import RecommendationBody
from genrec.training.examples import ExampleSettings


@pytest.fixture(autouse=True)
def warnings_are_said_anew(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(renames, "said", set())
    caplog.set_level(logging.WARNING, "genrec")


def test_keys_keep_their_order_and_what_has_no_old_name_is_itself() -> None:
    data = {"a": 1, "old": 2, "b": 3}
    assert list(current_name(data, "old", "new", "here").items()) == [("a", 1), ("new", 2), ("b", 3)]
    assert current_name("text", "old", "new", "here") == "text"
    assert current_name({"new": 2}, "old", "new", "here") == {"new": 2}
    with pytest.raises(ValueError, match="'old' is the old name of 'new'"):
        current_name({"old": 1, "new": 2}, "old", "new", "here")


def test_the_log_says_it_once_for_each_place(caplog: pytest.LogCaptureFixture) -> None:
    for where in ("a suite", "a body", "a suite"):
        current_name({"old": 1}, "old", "new", where)
    assert [record.getMessage() for record in caplog.records] == [
        f"{where}: 'old' is now called 'new'; the old name ends with 0.3" for where in ("a suite", "a body")
    ]


def test_arguments_of_python_warn() -> None:
    with pytest.warns(DeprecationWarning, match="request is now called query"):
        assert current_argument({"request": "light"}, "request", "query") == {"query": "light"}
    with pytest.raises(TypeError, match="old name"):
        current_argument({"request": "light", "query": "dark"}, "request", "query")


def test_bodies_cases_suites_attacks_and_trainings(caplog: pytest.LogCaptureFixture) -> None:
    assert RecommendationBody.model_validate({"request": "light"}).query == "light"
    assert RecommendationBody.model_validate_json('{"request": "light"}').query == "light"
    inputs = CaseInputs.model_validate({"request": "light"})
    assert (inputs.query, inputs.model_fields_set) == ("light", {"query"})
    suite = {"name": "s", "description": "d", "systems": {"a": {"retriever": "covisit"}}}
    assert Suite.model_validate({**suite, "requests": "simulated"}).queries == "simulated"
    assert Attack.model_validate({"text": "{title}!", "place": "request"}).place == "query"
    assert ExampleSettings.model_validate({"requests": 0.5}).queries == 0.5
    assert len(caplog.records) == 5


def test_files_of_users(tmp_path: Path) -> None:
    file = tmp_path / "said.tsv"
    for column in ("query", "request"):
        file.write_text(f"user\t{column}\nu1\tsomething light\n")
        assert read_of_users(file, "query", "", old="request") == {"u1": "something light"}


def test_templates(tmp_path: Path, tiny_tokenizer_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Another name gives the same prompt."""
    shipped = TemplateLibrary().get("rank/pointwise").path.read_text()
    old = (
        shipped.replace("  query:  ", "  request:").replace("if query", "if request").replace("{{ query", "{{ request")
    )
    assert "query" not in old
    (tmp_path / "rank").mkdir()
    file = tmp_path / "rank" / "mine.prompt"
    file.write_text(old)
    tokenizer = load_tokenizer(tiny_tokenizer_folder)
    prompts = [
        render(library.get(name), history=History(None), query="something light", tokenizer=tokenizer)
        for library, name in ((TemplateLibrary(tmp_path), "rank/mine"), (TemplateLibrary(), "rank/pointwise"))
    ]
    assert prompts[0].prefix == prompts[1].prefix
    assert prompts[0].template.hash == prompts[1].template.hash
    assert "something light" in tokenizer.decode(prompts[0].prefix)
    assert "a template's inputs: 'request' is now called 'query'" in caplog.text
    file.write_text(old.replace("  request:", "  query: {type: text, max_tokens: 64}\n  request:", 1))
    with pytest.raises(TemplateError, match="old name of 'query'"):
        TemplateLibrary(tmp_path).get("rank/mine")
