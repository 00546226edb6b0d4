"""The pages that people read, and what is written in them as code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


@dataclass(frozen=True)
class Page:
    """A page in Markdown."""

    path: Path

    @property
    def text(self) -> str:
        return self.path.read_text("utf-8")

    @property
    def name(self) -> str:
        return str(self.path.relative_to(REPOSITORY))

    def prose(self) -> str:
        """Without fenced blocks."""
        return FENCE.sub("", self.text)

    def fenced(self, language: str) -> Iterator[str]:
        """Texts of the fenced blocks in this language."""
        for indent, named, body in FENCE.findall(self.text):
            if named == language:
                yield re.sub(f"^{indent}", "", body, flags=re.MULTILINE)

    def spans(self) -> Iterator[str]:
        """Texts of inline code."""
        yield from SPAN.findall(self.prose())

    def code_lines(self) -> Iterator[str]:
        """Lines of fenced and of indented blocks; a line that ends in a backslash goes on in the next.

        Not those that are run on another revision, as the block says by `git checkout`.
        """
        joined = re.sub(r" *\\\n *", " ", self.text)
        fenced = [body for _, _, body in FENCE.findall(joined)]
        indented = re.findall(r"(?:^ {4}.*\n)+", FENCE.sub("", joined) + "\n", re.MULTILINE)
        for block in (*fenced, *indented):
            lines = [line.strip() for line in block.splitlines()]
            if not any(line.startswith("git checkout") for line in lines):
                yield from lines


def pages() -> list[Page]:
    """README, CONTRIBUTING, SECURITY, everything under docs/, and the README of the prompts."""
    places = [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md"), REPOSITORY / "prompts" / "README.md"]
    return [Page(path) for path in sorted(places)]


def written_by_people() -> list[Page]:
    """Pages that say what is so today: not the changelog and not the decisions, which say what was."""
    return [page for page in pages() if page.path.name != "CHANGELOG.md" and page.path.parent.name != "decisions"]
