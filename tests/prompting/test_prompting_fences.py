"""What stands around a value decides whether it is held in: the rules of genrec.prompting.lint.fences."""

from __future__ import annotations

from pathlib import Path

import pytest
from prompting_samples import FRONT, LIST_FRONT, write_template

from genrec.prompting.lint.fences import check_fences

HELD = [
    'Asked: "{{ query }}"',
    'Asked: "{{ query }}", so choose.',
    "Asked: {{ query }}",
    "Asked: {{ query }}{% if query %}{% endif %}\nChoose.",
    "想要：{{ query }}",
    "- {{ query }}",
    "> {{ query | upper }}",
    "{% if query %}Asked: {{ query }}\n{% endif %}Choose.",
    "1. {{ history[0].title }}, then choose",
    "{% for item in history %}- {{ item.verb }} {{ item.title }}; rated it {{ item.rating }}\n{% endfor %}",
    "{% for item in history %}{{ loop.index }}. {{ item.title }}\n{% endfor %}",
    "Genres: {% for item in history %}{{ item.genres | join(', ') }}{{ ', ' if not loop.last }}{% endfor %}.",
    "Now: {% for fact in context %}{{ fact.name }}: {{ fact.value }}; {% endfor %}",
    "{% with item = history[0] %}- {{ item.title }}{% endwith %}",
    "{% set last = history[0].title %}Last: {{ last }}",
    "You have seen {{ history | length }} titles, {{ history | count }} in all.",
    "{{ 'a' if history[0].title == 'x' else 'b' }} title",
    "You {{ history[0].verb }} something.",
    "{% macro card(item) %}{{ item.title }}{% endmacro %}- {{ card(history[0]) }}",
    '"{{ history[0].title }}" and "{{ history[1].title }}" are good.',
]
LOOSE = [
    "Find {{ query }} now.",
    "{{ query }}",
    "Asked: {{ query }}.",
    "Asked: {{ query }} {{ context[0].name }}",
    'Asked: "{{ query }}\nNow choose.',
    'Asked: "{{ query }}',
    "Asked: “{{ query }}” now",
    "The last was {{ history[0].title }}",
    "{{ history[0].title }}",
    "{% for item in history %}{{ item.title }}, {% endfor %}",
    "- a\n{% for item in history %}{{ item.title }} {% endfor %}",
    "{% set last = history[0] %}The last was {{ last.title }}",
    "{% set last %}{{ history[0].title }}{% endset %}The last was {{ last }}",
    "{% with item = history[0] %}You saw {{ item.fields.director }}{% endwith %}",
    "You saw {{ (history | first).title }}",
    "You saw {{ history[0].title ~ '!' }}",
    "Find {{ query or 'anything' }} now",
    "{% if context %}- {% endif %}{{ history[0].title }}",
    "{% for letter in query %}{{ letter }}{% endfor %} is asked",
]


def found(folder: Path, body: str, front: str = FRONT) -> list[tuple[str, int]]:
    template = write_template(folder, front + body)
    return [(finding.code, finding.line) for finding in check_fences(template)]


@pytest.mark.parametrize("line", HELD)
def test_held_in(line: str, tmp_path: Path) -> None:
    assert found(tmp_path, f'{{% message "user" %}}Read this.\n{line}{{% endmessage %}}') == []


@pytest.mark.parametrize("line", LOOSE)
def test_loose(line: str, tmp_path: Path) -> None:
    places = found(tmp_path, f'{{% message "user" %}}Read this.\n{line}{{% endmessage %}}')
    assert {code for code, _ in places} == {"unfenced-value"}
    assert min(number for _, number in places) >= 15


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{% message "user" %}{{ query }}{% endmessage %}', []),
        ('{% message "user" %}\n{{ query }}\n{% endmessage %}\n', []),
        ('{% message "user" %}{{ query }}\nChoose.{% endmessage %}', [("unfenced-value", 14)]),
        ('{% message "assistant" %}{{ query }}{% endmessage %}', [("unfenced-value", 14)]),
        ('{% message "system" %}- {{ query }}{% endmessage %}', [("unfenced-value", 14)]),
        (
            '{% message "user" %}{{ query }}{% endmessage %}\n{% message "user" %}By {{ query }}{% endmessage %}',
            [("unfenced-value", 15)],
        ),
        # What stands behind the shared prefix goes on with its line.
        ('{% message "user" %}Next: {% shared_prefix_end %}{{ candidate.title }}?{% endmessage %}', []),
        (
            '{% message "user" %}Next {% shared_prefix_end %}{{ candidate.title }}?{% endmessage %}',
            [("unfenced-value", 14)],
        ),
        ('{% message "user" %}Asked: {{ query }}{% shared_prefix_end %}!{% endmessage %}', [("unfenced-value", 14)]),
    ],
)
def test_messages(body: str, expected: list[tuple[str, int]], tmp_path: Path) -> None:
    assert found(tmp_path, body) == expected


def test_trusted_inputs_need_no_fence(tmp_path: Path) -> None:
    front = FRONT.replace("query: {type: text,", "query: {type: text, trust: trusted,")
    assert found(tmp_path, '{% message "user" %}Find {{ query }} now.{% endmessage %}', front) == []


def test_values_in_partials_are_found_where_they_stand(tmp_path: Path) -> None:
    (tmp_path / "_partials").mkdir()
    (tmp_path / "_partials/card.jinja").write_text("\n\nlike {{ item.title }}\n")
    body = '{% message "user" %}{% for item in history %}{% include "card.jinja" %}{% endfor %}{% endmessage %}'
    (finding,) = check_fences(write_template(tmp_path, FRONT + body))
    assert (finding.path.name, finding.line, finding.code) == ("card.jinja", 3, "unfenced-value")


@pytest.mark.parametrize(
    ("line", "fine"),
    [
        ("{{ item.label }}. {{ item.title }}", True),
        ("{{ item.label }}.", True),
        ("{{ item.label }}", False),
        ("{{ item.label }}: {{ item.title }}", False),
        ("({{ item.label }}). {{ item.title }}", False),
        ("- {{ item.title }} {{ item.label }}.", False),
    ],
)
def test_labels_begin_their_line_and_end_with_a_stop(line: str, fine: bool, tmp_path: Path) -> None:
    body = f'{{% message "user" %}}Titles:\n{{% for item in candidates %}}{line}\n{{% endfor %}}{{% endmessage %}}'
    assert found(tmp_path, body, LIST_FRONT) == ([] if fine else [("output-mismatch", 15)])
