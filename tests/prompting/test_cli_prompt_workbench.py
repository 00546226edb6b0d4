from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from test_prompting_lint import BODY, FRONT, LIST_BODY, LIST_FRONT, folder_with

from genrec.cli.main import main
from genrec.prompting.library import TemplateLibrary
from genrec.prompting.lint import CODES, Finding, formats, lint
from genrec.prompting.tokenizer import ChatTokenizer


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    folder.mkdir()
    folder_with(folder, FRONT + BODY)
    return folder


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(["prompt", *arguments])
    return int(caught.value.code or 0)


def test_render_marks_where_the_cached_prefix_ends(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "lists").mkdir()
    folder_with(tmp_path / "lists", LIST_FRONT + LIST_BODY)
    arguments = ["render", "rank/mine", "--case", "typical", "--folder", str(tmp_path / "lists"), "--model", str(model)]
    cases = tmp_path / "lists/rank/mine.cases.yaml"
    cases.write_text(cases.read_text("utf-8") + "  typical: {inputs: typical}\n", "utf-8")
    assert run(*arguments, "--tokens") == 0
    printed = capsys.readouterr()
    before, marker, after = printed.out.partition("cached prefix ends, ")
    assert marker
    assert before.rstrip("═ \n").endswith("\nA.")  # the label stays, the titles behind it do not
    assert "Lion King" in after
    assert "user " in printed.err
    assert "the same while only the candidates change" in printed.err
    assert run(*arguments, "--json", "-") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["cached_prefix"] == int(after.split()[0])
    assert (
        found["text"] == printed.out.replace("\n════════ cached prefix ends, " + after.split("\n")[0] + "\n", "")[:-1]
    )
    assert run(*arguments, "--json", "-", "--block", "16") == 0
    assert json.loads(capsys.readouterr().out)["cached_prefix"] == found["cached_prefix"] // 16 * 16


def test_render_says_what_was_dropped(model: Path, mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--folder", str(mine), "--model", str(model)]
    assert run("render", "rank/mine", "--case", "longest-titles", *arguments) == 0
    said = capsys.readouterr().err
    assert re.search(r"dropped history: \d+ \(the prompt was too long\)", said)
    assert re.search(r"dropped query: \d+ \(tokens behind the first 60\)", said)


def test_diff_shows_source_text_and_tokens(
    tmp_path: Path, model: Path, mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    folder_with(other, FRONT + BODY.replace("Did:", "This person did:"))
    arguments = ["--folder", str(mine), "--model", str(model)]
    for second in (f"rank/mine@{other}", str(other)):
        assert run("diff", "rank/mine", second, "--case", "no-metadata", *arguments) == 0
        lines = capsys.readouterr().out.splitlines()
        assert '-{% message "user" %}Did:' in lines
        assert '+{% message "user" %}This person did:' in lines
        assert "-Did:" in lines
        assert "+This person did:" in lines
        assert lines[-1].split()[-1] == "+12"  # a byte is a token
        assert not any("\x1b" in line for line in lines)
    assert run("diff", "rank/mine", str(other), "--json", "-", *arguments) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["cases"]) == 9
    assert all(case["after"] - case["before"] == 12 for case in found["cases"])
    assert found["tokens"]["after"] - found["tokens"]["before"] == 9 * 12


def test_diff_against_the_shipped_and_the_reviewed(model: Path, mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--folder", str(mine), "--model", str(model)]
    assert run("diff", "rank/mine", *arguments) == 2
    assert "there is no template 'rank/mine'" in capsys.readouterr().err
    (mine / "rank/pointwise.prompt").write_text(FRONT + BODY)
    assert run("diff", "rank/pointwise", "--case", "no-metadata", *arguments) == 0
    assert "+Next: Doom<|im_end|>" in capsys.readouterr().out
    assert run("lint", "rank/mine", "--update", *arguments) == 0
    assert run("diff", "rank/mine", "--against-locked", *arguments) == 0
    assert "@@" not in capsys.readouterr().out
    (mine / "rank/mine.prompt").write_text(FRONT + BODY.replace("Did:", "Has done:"))
    assert run("diff", "rank/mine", "--against-locked", "--case", "no-metadata", *arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {"-Did:", "+Has done:"} <= set(lines)
    assert lines[-1].split()[-1] == "+5"
    assert run("diff", "rank/mine", "rank/pointwise", "--against-locked", *arguments) == 2
    assert run("diff", "rank/mine", "rank/pointwise", "--case", "none", *arguments) == 2


def test_diff_names_a_case_that_does_not_render(
    tmp_path: Path, model: Path, mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    folder_with(small, FRONT.replace("context: 1000", "context: 80") + BODY)
    assert run("diff", "rank/mine", str(small), "--folder", str(mine), "--model", str(model)) == 0
    printed = capsys.readouterr().out
    assert "after: the prompt of template rank/mine is" in printed
    assert "User" not in printed


def test_a_new_template_lints_clean_at_once(
    mine: Path, model: Path, capsys: pytest.CaptureFixture[str], tokenizer: ChatTokenizer
) -> None:
    options = ["--from", "rank/mine", "--folder", str(mine), "--model", str(model)]
    (mine / "rank/mine.prompt").write_text(FRONT.replace("version: 1", "version: 4  # high") + BODY)
    assert run("new", "rank/my.own", *options) == 0
    library = TemplateLibrary(mine)
    assert lint(library, "rank/my.own", tokenizer) == []
    assert (library.get("rank/my.own").version, library.get("rank/my.own").body) == (1, BODY)
    written = {path: path.read_bytes() for path in mine.rglob("*") if path.is_file()}
    assert run("new", "rank/my.own", *options) == 2
    assert "exists already" in capsys.readouterr().err
    assert written == {path: path.read_bytes() for path in mine.rglob("*") if path.is_file()}


@pytest.mark.model
@pytest.mark.parametrize("task", ["rank", "explain"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_skeletons_of_every_task_lint_clean(task: str, language: str, tmp_path: Path) -> None:
    from genrec.artifacts.models import resolve
    from genrec.prompting.tokenizer import load_tokenizer

    folder = tmp_path / "fresh"
    assert run("new", f"{task}/mine", "--task", task, "--language", language, "--folder", str(folder)) == 0
    library = TemplateLibrary(folder)
    assert lint(library, f"{task}/mine", load_tokenizer(resolve("smollm2-135m"))) == []
    assert (library.get(f"{task}/mine").task, library.get(f"{task}/mine").language) == (task, language)


@pytest.mark.parametrize(
    "name", ["../out", "mine", "rank/../../out", "/rank/mine", "rank/_mine", "rank/.mine", "rank/"]
)
def test_ids_of_new_templates_are_plain(name: str, tmp_path: Path, model: Path) -> None:
    assert run("new", name, "--folder", str(tmp_path / "fresh"), "--model", str(model)) == 2
    assert not (tmp_path / "fresh").exists()


def test_new_needs_a_folder_and_a_known_skeleton(tmp_path: Path, model: Path) -> None:
    assert run("new", "rank/mine", "--model", str(model)) == 2
    options = ["--folder", str(tmp_path / "fresh"), "--model", str(model)]
    assert run("new", "rank/mine", "--task", "rank", "--language", "xx", *options) == 2
    assert run("new", "rank/mine", "--task", "rank", "--from", "rank/pointwise", *options) == 2


def test_a_broken_template_beside_it_does_not_stop_a_new_one(tmp_path: Path, mine: Path, model: Path) -> None:
    (mine / "rank/a.prompt").write_text("no front matter")
    options = ["--task", "explain", "--folder", str(mine), "--model", str(model)]
    assert run("new", "explain/mine", *options) == 0
    assert TemplateLibrary(mine).get("explain/mine").task == "explain"


def test_what_was_written_goes_if_a_case_does_not_render(tmp_path: Path, mine: Path, model: Path) -> None:
    (mine / "rank/mine.prompt").write_text(FRONT.replace("context: 1000", "context: 80") + BODY)
    assert run("new", "rank/other", "--from", "rank/mine", "--folder", str(mine), "--model", str(model)) == 2
    assert not list(mine.rglob("*other*"))


def test_formats_for_code_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = [Finding(tmp_path / "a b/x:y.prompt", 3, "format", "50% off,\nreally", "fix it"), *_outside()]
    assert formats.written(found[:1], "text") == "a b/x:y.prompt:3 format 50% off,\nreally (fix it)"
    assert formats.written(found[:1], "github") == (
        "::error file=a b/x%3Ay.prompt,line=3,title=format::50%25 off,%0Areally (fix it)"
    )
    assert json.loads(formats.written(found, "json"))[0] == {
        "file": "a b/x:y.prompt",
        "line": 3,
        "code": "format",
        "message": "50% off,\nreally",
        "hint": "fix it",
    }


def _outside() -> list[Finding]:
    return [Finding(Path("/elsewhere/z.prompt"), 1, "version", "changed")]


def test_sarif_has_what_the_standard_requires(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Required properties of SARIF 2.1.0: sections 3.13, 3.14, 3.18, 3.19, 3.27, 3.11, 3.29, 3.30."""
    monkeypatch.chdir(tmp_path)
    log = json.loads(formats.written([Finding(tmp_path / "a b.prompt", 3, "format", "wrong"), *_outside()], "sarif"))
    assert log["version"] == "2.1.0"
    assert log["$schema"].endswith("sarif-2.1.0.json")
    (ran,) = log["runs"]
    driver = ran["tool"]["driver"]
    assert driver["name"]
    assert [rule["id"] for rule in driver["rules"]] == list(CODES)
    assert all(rule["shortDescription"]["text"] and rule["help"]["text"] for rule in driver["rules"])
    for result in ran["results"]:
        assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["message"]["text"]
        assert result["level"] in ("none", "note", "warning", "error")
        (location,) = result["locations"]
        assert location["physicalLocation"]["region"]["startLine"] >= 1
    uris = [one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for one in ran["results"]]
    assert uris == ["a%20b.prompt", "file:///elsewhere/z.prompt"]


def test_lint_in_every_format(mine: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (mine / "rank/mine.prompt").write_text(FRONT + BODY.replace("Did:", "Did: "))
    arguments = ["lint", "rank/mine", "--folder", str(mine), "--model", str(model), "--format"]
    for form, begin in (("text", str(mine)), ("github", "::error file="), ("json", "["), ("sarif", "{")):
        assert run(*arguments, form) == 1
        printed = capsys.readouterr().out
        assert printed.startswith(begin)
        assert "trailing-whitespace" in printed
    (mine / "rank/mine.prompt").write_text(FRONT + BODY)
    for form, expected in (("text", ""), ("github", ""), ("json", "[]\n")):
        assert run(*arguments, form) == 0
        assert capsys.readouterr().out == expected


def test_codes_explain_themselves(capsys: pytest.CaptureFixture[str]) -> None:
    for code, entry in CODES.items():
        assert run("lint", "--explain", code) == 0
        printed = capsys.readouterr().out
        assert entry.meaning in printed
        assert entry.fix in printed
    assert run("lint", "--explain", "nothing") == 2
    assert "unfenced-value" in capsys.readouterr().err
