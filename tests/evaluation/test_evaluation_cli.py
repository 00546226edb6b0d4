"""`genrec eval`: JSON on stdout, a table without it, a record and a page behind every run, errors that help."""

import json

import pytest

from genrec.cli.main import main
from genrec.llm import loading
from genrec.llm.scripted import ScriptedModel


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main(["eval", *map(str, arguments)])
    captured = capsys.readouterr()
    return ended.value.code, captured.out, captured.err


@pytest.fixture
def scripted(monkeypatch):
    async def load(settings, *, adapter_path=None):
        return ScriptedModel(block=16)

    monkeypatch.setattr(loading, "load", load)


@pytest.mark.parametrize("kind", ["retrieval", "click", "rank"])
def test_json_is_the_record_that_the_run_leaves(capsys, workspace, scripted, kind):
    code, out, err = run(capsys, kind, "--workspace", workspace.root, "--split", "leave-one-out", "--json", "-")
    assert code == 0
    result = json.loads(out)
    (folder,) = workspace.runs.iterdir()
    assert json.loads((folder / "record.json").read_text()) == result
    assert result["kind"] == kind
    assert result["users"] == 60
    assert result["split"] == "leave-one-out"
    assert result["fingerprint"]
    assert all(name in (folder / "report.html").read_text() for name in result["systems"])
    assert "report.html" in err
    assert "leaks across users" in err


def test_without_json_there_is_a_table(capsys, workspace):
    code, out, _ = run(capsys, "retrieval", "--workspace", workspace.root)
    assert code == 0
    assert "covisit" in out
    assert "ndcg@10" in out


def test_users_of_a_file(capsys, workspace, tmp_path):
    users = tmp_path / "users.txt"
    users.write_text("u1\nu2\n")
    arguments = ("--workspace", workspace.root, "--split", "leave-one-out", "--users", users, "--json", "-")
    _, out, _ = run(capsys, "retrieval", *arguments)
    assert json.loads(out)["users"] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--split", "random"), "split.name"),
        (("--users", "missing.txt"), "missing.txt cannot be read"),
        (("--workspace", "nowhere"), "no workspace with data at nowhere"),
    ],
)
def test_wrong_calls_end_with_2_and_a_message(capsys, workspace, arguments, message):
    code, out, err = run(capsys, "retrieval", "--workspace", workspace.root, *arguments)
    assert code == 2
    assert message in err
    assert "hint:" in err
    assert out == ""
    assert not workspace.runs.exists()


def test_an_unknown_ranker_is_named(capsys, workspace, scripted):
    code, _, err = run(capsys, "rank", "--workspace", workspace.root, "--ranker", "oracle")
    assert code == 2
    assert "there is no ranker 'oracle'" in err
