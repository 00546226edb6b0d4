from __future__ import annotations

from pathlib import Path

import pytest
from prompting_samples import BODY, FRONT, write_template

from genrec.errors import NotFoundError, TemplateError
from genrec.prompting.library import TemplateLibrary, shipped_folder
from genrec.prompting.lock import read_lock, verify, write_lock
from genrec.prompting.template import YesNo


def test_a_template_is_read(tmp_path: Path) -> None:
    template = write_template(tmp_path, FRONT + BODY)
    assert (template.id, template.version, template.task) == ("rank/mine", 1, "rank")
    assert template.output.labels == YesNo(yes="Yes", no="No")
    assert template.inputs["history"].cut == 1
    assert template.body == BODY
    assert template.body_line == 14
    assert template.ref.hash == template.hash


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("summary:", "sumary:", 4, "sumary: unknown key"),
        ("max_items: 20, cut: 1", "max_itms: 20, cut: 1", 7, "inputs.history.max_itms: unknown key"),
        ("version: 1", "version: 0", 2, "greater than or equal to 1"),
        ("version: 1", "version: one", 2, "version"),
        ("task: rank", "task: rang", 3, "task"),
        ("type: text, ", "type: text, item_tokens: 4, ", 9, "text takes max_tokens"),
        ("item_tokens: 40}", "item_tokens: 40, cut: 2}", 2, "candidates are never cut"),
        ("kind: yes_no", "kind: ranking", 11, "kind ranking needs labels: letters"),
        ("kind: yes_no", "kind: text", 11, "text has no labels"),
        ("step: 160}", "step: 160", 12, "not valid YAML"),
        ("reserve: 8", "reserve: 2000", 12, "reserve leaves no room"),
        ("  query:", "  wish:", 2, "has no input 'wish'"),
        ("  history: {type: items", "  history: {type: facts", 7, "facts cannot be cut"),
    ],
)
def test_mistakes_name_file_and_line(tmp_path: Path, old: str, new: str, line: int, words: str) -> None:
    assert old in FRONT
    with pytest.raises(TemplateError, match=rf"mine\.prompt:{line}: ") as caught:
        write_template(tmp_path, FRONT.replace(old, new, 1) + BODY)
    assert words in caught.value.message


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    with pytest.raises(TemplateError) as caught:
        write_template(tmp_path, FRONT.replace("summary:", "sumary:").replace("step:", "steps:") + BODY)
    assert len(caught.value.message.splitlines()) == 3  # unknown, unknown, and summary is missing


@pytest.mark.parametrize("text", ["", "no dashes", "---\nversion: 1\n"])
def test_front_matter_must_be_there(tmp_path: Path, text: str) -> None:
    with pytest.raises(TemplateError, match="front matter"):
        write_template(tmp_path, text)


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ('{% message "user" %}\n{% if x %}{% endmessage %}', 15),
        ('\n{% message "bot" %}x{% endmessage %}', 15),
        ("{% message role %}x{% endmessage %}", 14),
        ('{% message "user" %}x\n\n{{ history | nosuch }}{% endmessage %}', 16),
        ('{% message "user" %}{% if x %}{% shared_prefix_end %}{% endif %}{% endmessage %}', 14),
    ],
)
def test_syntax_errors_name_the_line_of_the_file(tmp_path: Path, body: str, line: int) -> None:
    from genrec.prompting.syntax import compiled

    with pytest.raises(TemplateError, match=rf"mine\.prompt:{line}: "):
        compiled(write_template(tmp_path, FRONT + body))


def test_hash_covers_body_partials_and_behaviour_only(tmp_path: Path) -> None:
    (tmp_path / "_partials").mkdir()
    card = tmp_path / "_partials/card.jinja"
    card.write_text("{{ item.title }}")
    body = BODY.replace("{{ item.title }}", '{% include "card.jinja" %}')
    base = write_template(tmp_path, FRONT + body).hash
    assert write_template(tmp_path, FRONT.replace("A template", "Another") + body).hash == base
    assert write_template(tmp_path, FRONT.replace("version: 1", "version: 2") + body).hash == base
    assert write_template(tmp_path, FRONT + body + " ").hash != base
    assert write_template(tmp_path, FRONT.replace("step: 160", "step: 161") + body).hash != base
    card.write_text("{{ item.title }}\n")
    assert write_template(tmp_path, FRONT + body).hash != base


def test_missing_partial_and_wrong_encoding(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match="nowhere"):
        write_template(tmp_path, FRONT + '{% message "user" %}{% include "nowhere.jinja" %}{% endmessage %}')
    (tmp_path / "rank/latin.prompt").write_bytes(b"---\nsummary: \xe9\n---\n")
    with pytest.raises(TemplateError, match="UTF-8"):
        TemplateLibrary(tmp_path).get("rank/latin")


def test_local_templates_go_before_shipped_ones(tmp_path: Path) -> None:
    mine = write_template(tmp_path, FRONT + BODY, "rank/pointwise")
    assert mine.path.is_relative_to(tmp_path)
    library = TemplateLibrary(tmp_path)
    assert library.get("rank/listwise").path.is_relative_to(shipped_folder())
    assert {"rank/pointwise", "rank/listwise"} <= {template.id for template in library.readable()}
    assert library.get("rank/pointwise") is library.get("rank/pointwise")


@pytest.mark.parametrize("name", ["rank/pointwize", "../pyproject", "/etc/passwd", ""])
def test_unknown_ids(name: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        TemplateLibrary().get(name)
    if name == "rank/pointwize":
        assert "rank/pointwise" in caught.value.hint


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        TemplateLibrary(tmp_path / "none")


def test_lock_notices_changed_behaviour(tmp_path: Path) -> None:
    template = write_template(tmp_path, FRONT + BODY)
    assert "not in prompts.lock" in str(verify(template, read_lock(tmp_path)))
    write_lock(tmp_path, [template])
    assert verify(template, read_lock(tmp_path)) is None
    changed = write_template(tmp_path, FRONT + BODY.replace("Did", "Has done"))
    assert "version is still 1" in str(verify(changed, read_lock(tmp_path)))
    with pytest.raises(TemplateError, match="version is still 1"):
        write_lock(tmp_path, [changed])
    raised = write_template(tmp_path, FRONT.replace("version: 1", "version: 2") + changed.body)
    assert set(write_lock(tmp_path, [raised])) == {"rank/mine@1", "rank/mine@2"}
    (tmp_path / "prompts.lock").write_text("[")
    with pytest.raises(TemplateError, match="lock"):
        read_lock(tmp_path)
