"""A whole round of editing in a headless Chromium: keys and clicks, a phone, the dark, and the gate."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playground_browser import CHROMIUM, Browser, browser
from playground_factories import KEY, app_of, make_store, running, served_service, settings_of

from genrec.prompting.library import shipped_folder
from genrec.serving.playground.service import Engine, PlaygroundService

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed (apt-get install chromium)")

POINTWISE = (shipped_folder() / "rank" / "pointwise.prompt").read_text("utf-8")
CONTRAST = """
(() => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const c = rgb(getComputedStyle(e).backgroundColor);
      if (c[3] !== 0) return c;
    }
    return [255, 255, 255];
  };
  const own = (e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
  const seen = (e) => e.checkVisibility() && !e.closest(".mirror, .hidden-text, :disabled, .stale");
  return [...document.querySelectorAll("body *")].filter((e) => own(e) && seen(e)).map((e) => {
    const [a, b] = [light(rgb(getComputedStyle(e).color)), light(behind(e))].sort((x, y) => y - x);
    return [(a + 0.05) / (b + 0.05), e.tagName + "." + e.className];
  }).filter(([ratio]) => ratio < 4.5);
})()
"""
"""Elements whose text has less contrast than WCAG 2.2 asks for (1.4.3), by its formula."""


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("chromium")) as opened:
        yield opened


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer_folder: Path) -> Iterator[str]:
    """A server with a scripted model that takes templates."""
    store, settings = make_store(tmp_path_factory.mktemp("playground")), settings_of()
    with running(app_of(served_service(store, tiny_tokenizer_folder, settings), settings)) as base:
        yield f"{base}/playground"


def text(tab: Browser, selector: str) -> str:
    return str(tab.js(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"))


def shows(tab: Browser, selector: str, words: str) -> None:
    """Waits until the element has the words."""
    where = f"[...document.querySelectorAll({json.dumps(selector)})]"
    tab.wait(f"{where}.some((e) => e.innerText.includes({json.dumps(words)}))")


def test_a_round_of_editing(tab: Browser, address: str) -> None:
    tab.errors.clear()
    tab.size(1400, 1000)
    tab.open(address)
    shows(tab, ".prompt", "Title 0")
    assert text(tab, "#about").startswith("model scripted")

    # A user, by the start of the id
    tab.type("#user", "u2")
    shows(tab, ".prompt", "Title 11")
    tab.wait(
        "[...document.querySelectorAll('#users option')].map((o) => o.value).join() === 'u2,' +"
        " [...Array(10).keys()].map((n) => 'u2' + n).join()"
    )
    tab.type("#user", "u23")
    shows(tab, ".prompt", "Title 32")
    shows(tab, "#understood-history", "10 titles in the history")

    # Inputs
    tab.type("#query", "something with robots")
    shows(tab, ".prompt", 'asks for: "something with robots"')
    tab.type("#context", "time: Friday evening")
    shows(tab, ".prompt", "time: Friday evening")
    tokens = tab.js(
        "Object.fromEntries([...document.querySelectorAll('.tokens tbody tr')]"
        ".map((row) => [row.cells[0].innerText, Number(row.cells[1].innerText)]))"
    )
    assert tokens["query"] > 0
    assert tokens["history"] > tokens["context"] > 0
    assert "the cached prefix ends here" in text(tab, ".prompt")

    # An edit, and the preview changes
    edited = POINTWISE.replace("This person:", "What this person did:")
    tab.type(".source", edited)
    shows(tab, ".prompt", "What this person did:")
    shows(tab, ".findings li", "version")

    # A mistake, by its line, and the way to it
    wrong = edited.replace('"{{ query }}"', '"{{ reqest }}"')
    line = wrong[: wrong.index("reqest")].count("\n") + 1
    tab.type(".source", wrong)
    shows(tab, ".findings li", "undeclared-input")
    shows(tab, ".findings li button", f"line {line}")
    assert tab.js(f"document.querySelectorAll('.mirror > span')[{line - 1}].className") == "wrong"
    tab.js(f"[...document.querySelectorAll('.findings button')].find((b) => b.innerText === 'line {line}').focus()")
    tab.key("Enter")
    assert tab.js("document.activeElement.className") == "source"
    selected = tab.js(
        "document.activeElement.value.slice(document.activeElement.selectionStart, document.activeElement.selectionEnd)"
    )
    assert selected == wrong.split("\n")[line - 1]
    fixed = edited.replace("version: 1", "version: 2")
    tab.type(".source", fixed)
    tab.wait("!document.querySelector('.findings').innerText.includes('undeclared-input')")

    # Run
    tab.click("#run")
    shows(tab, "#result-status", "Ranked 8 titles")
    first = tab.js("[...document.querySelectorAll('.ranking tbody tr')].map((row) => row.dataset.item)")
    assert len(set(first)) == 8
    assert "Yes -" in text(tab, ".ranking tbody tr")
    assert "rank/pointwise v2" in text(tab, ".result")
    assert "Agreement of the model with P(click), Kendall's τ: " in text(tab, ".result")
    assert text(tab, ".ranking tbody .reasons")

    # Compare with the stored one: rank changes add up to none
    tab.click("#compare")
    tab.wait("document.querySelectorAll('.pane').length === 2")
    tab.wait("document.querySelectorAll('.pane')[1].querySelector('.message-box')")
    assert "What this person did:" not in tab.js("document.querySelectorAll('.pane')[1].innerText")
    tab.click("#run")
    shows(tab, "#result-status", "A and B agree")
    ranks = tab.js(
        "[...document.querySelectorAll('.result')].map((table) => Object.fromEntries("
        "[...table.querySelectorAll('tbody tr')].map((row, i) => [row.dataset.item, i + 1])))"
    )
    changes = tab.js(
        "Object.fromEntries([...document.querySelectorAll('.result')[1].querySelectorAll('tbody tr')]"
        ".map((row) => [row.dataset.item, row.querySelector('.change').innerText]))"
    )
    for item, rank in ranks[1].items():
        moved = ranks[0][item] - rank
        assert ("=" if not moved else f"{'▲' if moved > 0 else '▼'} {abs(moved)}") in changes[item]

    # Download
    tab.click(".pane:first-child .download")
    assert tab.downloaded("pointwise.prompt") == fixed
    tab.click(".pane:first-child .download-diff")
    diff = tab.downloaded("pointwise.diff")
    assert diff.startswith("--- a/rank/pointwise.prompt\n+++ b/rank/pointwise.prompt\n")
    assert "+version: 2\n" in diff
    assert (shipped_folder() / "rank" / "pointwise.prompt").read_text("utf-8") == POINTWISE

    # Nothing that the policy forbids was tried, and nothing broke
    assert tab.errors == []
    for dark in (False, True):
        tab.size(1400, 1000, dark)
        assert tab.js(CONTRAST) == []
    tab.js("document.querySelector('h1').style.color = '#345'")
    assert [name for _, name in tab.js(CONTRAST)] == ["H1."]


def test_every_control_is_reached_with_the_tab_key_and_none_keeps_it(tab: Browser, address: str) -> None:
    tab.size(1400, 1000)
    tab.open(address)
    shows(tab, ".prompt", "Title 0")
    tab.focus("body")
    reached = []
    for _ in range(40):
        tab.key("Tab")
        reached.append(tab.js("document.activeElement.id || document.activeElement.className || 'body'"))
        if reached[-1] != "body":
            ring = "getComputedStyle(document.activeElement.closest('.editor') ?? document.activeElement).outlineStyle"
            assert tab.js(ring) == "solid", reached
    wanted = ["skip", "user", "query", "context", "candidates", "fill", "compare", "pick", "source", "policy", "run"]
    assert [name for name in dict.fromkeys(reached) if name in wanted] == wanted
    unnamed = (
        "[...document.querySelectorAll('input, select, textarea, button')]"
        ".filter((e) => e.checkVisibility() && !e.labels?.length && !e.innerText.trim()).length"
    )
    assert tab.js(unnamed) == 0


def test_typed_titles_a_case_and_titles_that_nobody_knows(tab: Browser, address: str) -> None:
    tab.open(address)
    shows(tab, ".prompt", "Title 0")
    tab.focus("input[value=user]")
    tab.key("ArrowDown")
    tab.type("#history", "title 7\nA film of my own")
    shows(tab, "#understood-history", "2 titles in the history, 1 not in the catalogue")
    shows(tab, ".prompt", "A film of my own")
    tab.click("#fill")
    tab.wait("document.querySelector('#candidates').value.split('\\n').length === 8")
    tab.type("#candidates", "Title 30\nAnother of my own")
    shows(tab, "#understood-candidates", "1 not in the catalogue")
    tab.click("#run")
    shows(tab, "#result-status", "line 2")
    tab.focus("input[value=typed]")
    tab.key("ArrowDown")
    tab.js(
        "document.querySelector('#case').value = 'chinese-titles';"
        " document.querySelector('#case').dispatchEvent(new Event('input'))"
    )
    shows(tab, ".prompt", "霸王别姬")
    assert tab.js("document.querySelector('#run').disabled")


def test_on_a_phone_nothing_is_wider_than_the_screen(tab: Browser, address: str) -> None:
    tab.size(390, 844)
    tab.open(address)
    shows(tab, ".prompt", "Title 0")
    tab.click("#compare")
    tab.wait("document.querySelectorAll('.pane .message-box').length > 2")
    tab.click("#run")
    shows(tab, "#result-status", "A and B agree")
    assert tab.js("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    columns = "getComputedStyle(document.querySelector({})).gridTemplateColumns.split(' ').length"
    assert [tab.js(columns.format(json.dumps(each))) for each in (".fields", "#panes", ".pane", "#tables")] == [1] * 4


def test_without_the_flag_templates_are_read_only_and_the_page_asks_for_the_key(
    tab: Browser, tmp_path: Path, tiny_tokenizer_folder: Path
) -> None:
    store, settings = make_store(tmp_path), settings_of(serving={"api_key": KEY})
    tab.size(1400, 1000)
    with running(app_of(served_service(store, tiny_tokenizer_folder, settings), settings)) as base:
        tab.open(f"{base}/playground")
        shows(tab, "#about", "needs an API key")
        assert not tab.js("document.querySelector('#main').checkVisibility()")
        tab.type("#key", "wrong")
        tab.key("Enter")
        shows(tab, "#key-note", "not accepted")
        tab.type("#key", KEY)
        tab.key("Enter")
        shows(tab, ".prompt", "Title 0")
        assert not tab.js("document.querySelector('#key-form').checkVisibility()")
        assert tab.js("document.querySelector('.source').readOnly")
        shows(tab, ".source-title", "read only")
        assert tab.js("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]
        tab.click("#run")
        shows(tab, "#result-status", "Ranked 8 titles")


def test_without_an_engine_cases_are_previewed(tab: Browser, tiny_tokenizer_folder: Path) -> None:
    service = PlaygroundService(Engine("tiny", tiny_tokenizer_folder), edits=True)
    with running(app_of(service, settings_of())) as base:
        tab.open(f"{base}/playground")
        shows(tab, ".message-box", "user")
        shows(tab, "#result-status", "this is a preview")
        assert tab.js("document.querySelector('#run').disabled")
        assert not tab.js("document.querySelector('#choose-user').checkVisibility()")
        tab.type(".source", POINTWISE.replace("This person:", "Someone:"))
        shows(tab, ".prompt", "Someone:")
