"""Records and reports: complete, readable, and safe against hostile names."""

import json
import subprocess
import xml.etree.ElementTree as ET

import pytest

from genrec.artifacts.workspace import Workspace
from genrec.errors import WorkspaceError
from genrec.evaluation import runs
from genrec.evaluation.tables import best
from genrec.reports.figures import bars
from genrec.reports.pages import page as rendered
from genrec.settings import Settings

SYSTEMS = {
    "retriever": {"ndcg@10": 0.2, "ndcg@10_ci": [0.1, 0.3], "hr@10": 0.5, "hr@10_ci": [0.4, 0.6]},
    "<b>fused</b>": {
        "ndcg@10": 0.25,
        "ndcg@10_ci": [0.15, 0.35],
        "hr@10": 0.5,
        "hr@10_ci": [0.4, 0.6],
        "ndcg@10_vs_retriever": {"mean": 0.05, "low": -0.01, "high": 0.11, "p": 0.12},
    },
}
RESULT = {
    "split": "temporal",
    "users": 12,
    "warnings": ["it leaks <across> users"],
    "systems": SYSTEMS,
    "subsets": {"in_slate": {"users": 0, "systems": {"retriever": {"ndcg@10": None, "ndcg@10_ci": None}}}},
    "headline": ["ndcg@10", "hr@10"],
    "definitions": {"ndcg": "a definition"},
    "candidate_recall": {"fused": 0.4321},
}


class FakeStore:
    def fingerprint(self):
        return "f" * 12

    def stats(self):
        return {"users": 12, "items": 3}


@pytest.fixture
def recorded(tmp_path):
    settings = Settings.load(None, {"serving": {"api_key": "secret-key"}})
    return runs.record("rank", RESULT, Workspace.create(tmp_path / "w"), FakeStore(), settings)


def test_a_record_says_where_it_came_from_without_the_key(recorded):
    assert recorded["fingerprint"] == "f" * 12
    assert recorded["versions"]["numpy"]
    assert recorded["settings"]["retrieval"]["candidates"] == 20
    assert recorded["systems"] == SYSTEMS
    assert "secret-key" not in json.dumps(recorded)


def test_writing_leaves_a_record_and_each_run_has_its_own(recorded, tmp_path):
    workspace = Workspace.create(tmp_path / "w")
    folder = runs.write(workspace, recorded)
    assert folder.parent == workspace.runs
    assert json.loads((folder / "record.json").read_text()) == recorded
    other = runs.record("rank", RESULT, workspace, FakeStore(), Settings())
    assert other["id"] != recorded["id"]


def test_an_unwritable_folder_is_an_error_with_a_hint(recorded, tmp_path):
    workspace = Workspace.create(tmp_path / "w")
    workspace.runs.write_text("a file where the folder should be")
    with pytest.raises(WorkspaceError, match="cannot be written"):
        runs.write(workspace, recorded)


def test_the_page_is_self_contained_and_escapes_what_it_shows(recorded):
    page = rendered(recorded)
    assert "<b>fused</b>" not in page
    assert "&lt;b&gt;fused&lt;/b&gt;" in page
    assert "it leaks &lt;across&gt; users" in page
    assert "0.1500 to 0.3500" in page
    assert "+0.0500" in page
    assert "0.4321" in page
    assert "src=" not in page
    assert "@import" not in page


def test_the_best_of_a_column_is_marked_lower_for_losses():
    table = {"a": {"log_loss": 0.4, "auc": 0.7}, "b": {"log_loss": 0.3, "auc": 0.6}, "c": {"log_loss": None}}
    assert best(table, "log_loss") == 0.3
    assert best(table, "auc") == 0.7
    assert best({"a": {"auc": None}}, "auc") is None


def test_bars_are_one_svg_that_parses_and_names_every_system():
    drawing = bars(SYSTEMS, "ndcg@10")
    root = ET.fromstring(drawing)
    texts = "".join(root.itertext())
    assert root.tag.endswith("svg")
    assert "retriever" in texts
    assert "<b>fused</b>" in texts
    assert "ndcg@10" in texts
    assert bars(SYSTEMS, "ndcg@10") == drawing
    assert bars({"a": {"ndcg@10": None}}, "ndcg@10") == ""


def test_git_revision_is_that_of_a_checkout_and_marks_changes(tmp_path):
    assert runs.git_revision(tmp_path) is None

    def git(*arguments):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        done = subprocess.run(
            ["git", "-C", tmp_path, *identity, *arguments], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    git("init", "-q")
    (tmp_path / "__init__.py").write_text("")
    assert runs.git_revision(tmp_path) is None
    git("add", "__init__.py")
    git("commit", "-qm", "a")
    assert runs.git_revision(tmp_path) == git("rev-parse", "HEAD")
    (tmp_path / "__init__.py").write_text("x = 1")
    assert runs.git_revision(tmp_path) == git("rev-parse", "HEAD") + "+"
