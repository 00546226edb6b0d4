from __future__ import annotations

from pathlib import Path

import pytest
from prompting_samples import FRONT, LIST_FRONT, write_template

from genrec.prompting.library import TemplateLibrary
from genrec.prompting.lint import CODES, Finding, lint
from genrec.prompting.lock import write_lock
from genrec.prompting.obligatory import OBLIGATORY
from genrec.prompting.tokenizer import ChatTokenizer

BODY = (
    '{% message "user" %}Did:\n{% for item in history %}- {{ item.title }}\n{% endfor %}Wish: {{ query }}\n'
    "{% for fact in context %}- {{ fact.name }}={{ fact.value }}\n{% endfor %}"
    "{% shared_prefix_end %}Next: {{ candidate.title }}{% endmessage %}"
)
LIST_FRONT = LIST_FRONT.replace("candidates: {type: items,", "candidates: {type: items, max_items: 100,")
LIST_FRONT = LIST_FRONT.replace("context: 1000", "context: 8000")
LIST_BODY = (
    '{% message "user" %}Did:\n{% for item in history %}- {{ item.title }}\n{% endfor %}'
    "{% for item in candidates %}{{ item.label }}. {{ item.title }}\n{% endfor %}"
    "Wish: {{ query }}\n{{ context | length }}{% endmessage %}"
)
CASE = "{history: [{title: One}], candidates: [{title: Two}, {title: Three}], expect: {contains: [One]}}"
USUAL = f"  usual: {CASE}\n"
CASES = "cases:\n" + "".join(f"  {name}: {{inputs: {name}}}\n" for name in OBLIGATORY)


def folder_with(folder: Path, text: str, cases: str | None = CASES, lock: bool = True) -> TemplateLibrary:
    """A folder with one template, its cases, a partial, and a lock."""
    (folder / "_partials").mkdir(exist_ok=True)
    (folder / "_partials/card.jinja").write_text("{{ item.title }}")
    (folder / "rank").mkdir(exist_ok=True)
    (folder / "rank/mine.prompt").write_text(text, encoding="utf-8")
    if cases is not None:
        (folder / "rank/mine.cases.yaml").write_text(cases, encoding="utf-8")
    if lock:
        write_lock(folder, [TemplateLibrary(folder).get("rank/mine")])
    return TemplateLibrary(folder)


def findings(folder: Path, text: str, cases: str | None = CASES, lock: bool = True) -> list[tuple[str, int]]:
    found = lint(folder_with(folder, text, cases, lock), "rank/mine")
    assert all(finding.code in CODES for finding in found)
    return [(finding.code, finding.line) for finding in found]


@pytest.mark.parametrize(("front", "body"), [(FRONT, BODY), (LIST_FRONT, LIST_BODY)])
def test_a_good_template_has_no_findings(tmp_path: Path, tokenizer: ChatTokenizer, front: str, body: str) -> None:
    library = folder_with(tmp_path, front + body)
    assert lint(library, "rank/mine") == []
    assert {finding.code for finding in lint(library, "rank/mine", tokenizer)} == {"snapshot"}
    assert lint(library, "rank/mine", tokenizer, "update") == []
    assert lint(library, "rank/mine", tokenizer) == []
    (tmp_path / "rank/snapshots/mine.hostile-titles.txt").write_text("other")
    assert [finding.code for finding in lint(library, "rank/mine", tokenizer)] == ["snapshot"]
    assert lint(library, "rank/mine", tokenizer, "skip") == []


@pytest.mark.parametrize(
    ("front", "body", "expected"),
    [
        (FRONT.replace("summary", "sumary"), BODY, [("format", 2), ("unknown-key", 4)]),
        ("", BODY, [("format", 1)]),
        (FRONT, BODY.replace("{% endfor %}", "", 1), [("syntax", 18)]),
        (FRONT, BODY.replace("{{ item.title }}", '{% include "none.jinja" %}'), [("missing-partial", 15)]),
        (FRONT.replace('labels: {yes: "Yes", no: "No"}', "labels: letters"), BODY, [("output-mismatch", 11)]),
        (FRONT.replace("reserve: 8", "reserve: 2000"), BODY, [("budget", 12)]),
    ],
)
def test_what_does_not_load(tmp_path: Path, front: str, body: str, expected: list[tuple[str, int]]) -> None:
    assert findings(tmp_path, front + body, lock=False) == expected


@pytest.mark.parametrize(
    ("front", "body", "expected"),
    [
        (FRONT, BODY.replace("{{ query }}", "{{ query }}\n{{ wish }}"), ("undeclared-input", 17)),
        (FRONT, BODY.replace("{{ query }}", ""), ("unused-input", 9)),
        (FRONT, BODY.replace("Did:", "Did:\n<|im_start|>"), ("control-string", 15)),
        (FRONT, BODY.replace("Did:", "{{ '[INST]' }}"), ("control-string", 14)),
        (FRONT, BODY.replace("Did:", "\ue001"), ("control-string", 14)),
        (
            FRONT,
            BODY.replace("{% shared_prefix_end %}Next: {{ candidate.title }}", "- {{ candidates }}"),
            ("output-mismatch", 11),
        ),
        (LIST_FRONT, LIST_BODY.replace("{{ item.label }}.", "-"), ("output-mismatch", 11)),
        (FRONT, BODY.replace("{{ candidate.title }}", "{{ candidate.label }}"), ("output-mismatch", 11)),
    ],
)
def test_what_is_wrong_in_a_body(tmp_path: Path, front: str, body: str, expected: tuple[str, int]) -> None:
    assert findings(tmp_path, front + body) == [expected]


def test_partials_are_checked_where_they_stand(tmp_path: Path) -> None:
    body = BODY.replace("{{ item.title }}", '{% include "card.jinja" %}')
    assert findings(tmp_path, FRONT + body) == []
    library = folder_with(tmp_path, FRONT + body)
    (tmp_path / "_partials/card.jinja").write_text("{{ item.title }}\n{{ director }} <|im_end|>")
    library = TemplateLibrary(tmp_path)
    found = [(f.path.name, f.line, f.code) for f in lint(library, "rank/mine") if f.code != "version"]
    assert found == [("card.jinja", 2, "control-string"), ("card.jinja", 2, "undeclared-input")]


def test_changed_behaviour_needs_a_new_version(tmp_path: Path) -> None:
    assert findings(tmp_path, FRONT + BODY, lock=False) == [("version", 2)]
    assert findings(tmp_path, FRONT + BODY) == []
    changed = BODY.replace("Did", "Has done")
    assert findings(tmp_path, FRONT + changed, lock=False) == [("version", 2)]
    assert findings(tmp_path, FRONT.replace("version: 1", "version: 2") + changed) == []
    (tmp_path / "prompts.lock").write_text("[]")
    assert findings(tmp_path, FRONT + BODY, lock=False) == [("version", 1)]


def test_cases_are_obligatory(tmp_path: Path) -> None:
    assert findings(tmp_path, FRONT + BODY, None) == [("no-cases", 1)]
    assert findings(tmp_path, FRONT + BODY, f"cases: {{usual: {CASE}}}") == [("no-cases", 1)]
    assert findings(tmp_path, FRONT + BODY, CASES + USUAL.replace("expect", "expects")) == [("case", 11)]
    assert findings(tmp_path, FRONT + BODY, CASES + "  more: {inputs: nowhere}\n") == [("case", 11)]


@pytest.mark.parametrize(
    ("expect", "words"),
    [
        ("{contains: [absent]}", "does not contain 'absent'"),
        ("{not-contains: [One]}", "contains 'One'"),
        ("{regex: ['^- Two$']}", "does not match"),
        ("{regex: ['(']}", "no regular expression"),
        ("{max-tokens: 3}", "more than 3"),
        ("{max-tail-tokens: 2}", "a tail of"),
    ],
)
def test_expectations_that_are_not_met(tmp_path: Path, tokenizer: ChatTokenizer, expect: str, words: str) -> None:
    cases = CASES + USUAL.replace("{contains: [One]}", expect)
    found = lint(folder_with(tmp_path, FRONT + BODY, cases), "rank/mine", tokenizer, "skip")
    assert [(finding.code, finding.line) for finding in found] == [("case", 11)]
    assert words in found[0].message


def test_shared_inputs_and_copies(tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    (tmp_path / "_inputs").mkdir()
    (tmp_path / "_inputs/many.yaml").write_text(
        "history: [{title: 'Old {n}', count: 3, year: 1999}]\ncandidates: [{title: New}]\nrequest: first\n"
    )
    cases = (
        CASES
        + "  more: {inputs: many, query: second, expect: {contains: [Old 1, Old 3, second], not-contains: [first]}}\n"
    )
    assert lint(folder_with(tmp_path, FRONT + BODY, cases), "rank/mine", tokenizer, "skip") == []


def test_a_finding_is_one_line() -> None:
    assert str(Finding(Path("a.prompt"), 3, "format", "wrong", "fix it")) == "a.prompt:3 format wrong (fix it)"


def test_codes_are_documented(library: TemplateLibrary) -> None:
    assert all(code.meaning.endswith(".") and code.fix.endswith(".") for code in CODES.values())
    readme = (library.folders[0] / "README.md").read_text("utf-8")
    assert [name for name in CODES if f"`{name}`" not in readme] == []
    assert "genrec prompt lint --explain" in readme


def test_shipped_templates_have_no_findings(library: TemplateLibrary) -> None:
    assert [str(finding) for name in library.ids() for finding in lint(library, name)] == []


@pytest.mark.model
def test_shipped_cases_and_snapshots(library: TemplateLibrary) -> None:
    from genrec.artifacts.models import resolve
    from genrec.prompting.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(resolve("smollm2-135m"))
    assert [str(finding) for name in library.ids() for finding in lint(library, name, tokenizer)] == []


def test_local_template_is_linted_against_its_own_lock(tmp_path: Path) -> None:
    template = write_template(tmp_path, FRONT + BODY, "rank/pointwise")
    assert TemplateLibrary(tmp_path).root(template) == tmp_path
    assert ("version", 2) in [(f.code, f.line) for f in lint(TemplateLibrary(tmp_path), "rank/pointwise")]
