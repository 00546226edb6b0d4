"""What people read stays true: links lead somewhere, names exist, blocks of code can be read, the README is short."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest
from docs_pages import REPOSITORY, Page, pages, written_by_people

from genrec.settings import Settings

LONGEST_README = 1200
PACKAGE = REPOSITORY / "src" / "genrec"
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FILE = re.compile(r"[\w.-]+(?:/[\w.-]+)+\.(?:py|md|toml|yaml|svg|jinja|prompt|txt)")
DOTTED = re.compile(r"genrec(?!\.toml|\.db)(?:\.\w+)+")
YOURS = re.compile(r"\b(?:mine|yours|my[-_]|W/)")
"""Names of what the reader is about to write."""
OLD_WORDS = re.compile(r"\b(?:mend|mends|mended|mending|whoever|seldom|his|he)\b", re.IGNORECASE)


def named(page: Page) -> str:
    return page.name


def anchors(page: Page) -> set[str]:
    """Anchors that a heading gets where Markdown is shown."""
    headings = re.findall(r"^#+ (.+)$", page.prose(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_the_readme_is_short() -> None:
    words = len((REPOSITORY / "README.md").read_text("utf-8").split())
    assert words < LONGEST_README


def test_the_map_of_the_tree_is_the_tree() -> None:
    text = (REPOSITORY / "CONTRIBUTING.md").read_text("utf-8")
    mapped = re.findall(r"^ {6}([\w.]+)/? ", text, re.MULTILINE)
    flat = {"domain.py", "errors.py", "settings.py"}
    assert sorted(mapped) == sorted(flat | {path.parent.name for path in PACKAGE.glob("*/__init__.py")})


@pytest.mark.parametrize("page", pages(), ids=named)
def test_relative_links_lead_somewhere(page: Page) -> None:
    dead = []
    for target in LINK.findall(page.prose()):
        if re.match(r"[a-z]+:", target):
            continue
        place, _, anchor = target.partition("#")
        file = (page.path.parent / place) if place else page.path
        if not file.exists() or (anchor and anchor not in anchors(Page(file))):
            dead.append(target)
    assert dead == []


@pytest.mark.parametrize("page", written_by_people(), ids=named)
def test_named_files_exist(page: Page) -> None:
    roots = (REPOSITORY, PACKAGE, page.path.parent)
    missing = [
        span
        for span in page.spans()
        if FILE.fullmatch(span) and not YOURS.search(span) and not any((root / span).exists() for root in roots)
    ]
    assert missing == []


@pytest.mark.parametrize("page", written_by_people(), ids=named)
def test_named_parts_of_the_package_exist(page: Page) -> None:
    wrong = [span for span in page.spans() if DOTTED.fullmatch(span) and not YOURS.search(span) and not exists(span)]
    assert wrong == []


def exists(dotted: str) -> bool:
    """Whether it is a package, a module, or what a module defines, looked up without importing it."""
    place, parts = PACKAGE, dotted.split(".")[1:]
    while parts and (place / parts[0]).is_dir():
        place /= parts.pop(0)
    if parts and (place / f"{parts[0]}.py").is_file():
        place = place / f"{parts.pop(0)}.py"
    else:
        place /= "__init__.py"
    if not parts:
        return place.is_file()
    return place.is_file() and re.search(rf"\b{parts[0]}\b", place.read_text("utf-8")) is not None


@pytest.mark.parametrize("page", pages(), ids=named)
def test_blocks_of_python_and_toml_can_be_read(page: Page, tmp_path: Path) -> None:
    if page.path.parent.name != "reference":  # which shows signatures without bodies
        for block in page.fenced("python"):
            ast.parse(block)
    for number, block in enumerate(page.fenced("toml")):
        tomllib.loads(block)
        file = tmp_path / f"{number}.toml"
        file.write_text(block, "utf-8")
        Settings.load(file)


@pytest.mark.parametrize("page", pages(), ids=named)
def test_words_are_those_of_today(page: Page) -> None:
    assert OLD_WORDS.findall(page.prose()) == []
