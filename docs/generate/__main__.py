"""Writes the reference pages of docs/reference from the code: `python docs/generate`, or `make docs`.

`--check` writes nothing: it names the pages that are not what the code says, and exits with 1 if there are any.
"""

from __future__ import annotations

import sys
from pathlib import Path

import http_reference
import python_reference
import settings_reference

REFERENCE = Path(__file__).parents[1] / "reference"
PAGES = {
    "settings.md": settings_reference.page,
    "python.md": python_reference.page,
    "http.md": http_reference.page,
}


def main(arguments: list[str]) -> int:
    """Exit code: 1 where `--check` found a page out of date."""
    if arguments not in ([], ["--check"]):
        sys.stderr.write("usage: python docs/generate [--check]\n")
        return 2
    stale = []
    for name, page in PAGES.items():
        file, text = REFERENCE / name, page()
        if file.is_file() and file.read_text("utf-8") == text:
            continue
        stale.append(name)
        if not arguments:
            REFERENCE.mkdir(exist_ok=True)
            file.write_text(text, "utf-8")
    if not stale:
        print("docs/reference is up to date")
    for name in stale:
        print(f"{'out of date' if arguments else 'written'}: docs/reference/{name}")
    if stale and arguments:
        print("run `make docs`, look at the difference, and commit it")
    return 1 if stale and arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
