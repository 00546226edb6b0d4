"""A library in which one template has another text than on disk."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from genrec.prompting.library import LOCK, SUFFIX, TemplateLibrary


@contextmanager
def overlaid(folder: Path | None, template_id: str, source: str | None) -> Iterator[TemplateLibrary]:
    """The library of `folder` with `source` as the text of a template that it has; with None as it is.

    The copy lies in a folder that goes away with the block, beside the cases and the lock file of the original, so that
    it is checked as the original is. NotFoundError if there is no such template.
    """
    library = TemplateLibrary(folder)
    stored = library.path(template_id)
    if source is None:
        yield library
        return
    root = next(parent for parent in library.folders if stored.is_relative_to(parent))
    with tempfile.TemporaryDirectory(prefix="genrec-playground-") as name:
        place = Path(name).resolve()
        copy = place / f"{template_id}{SUFFIX}"
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(source.encode())
        cases = stored.with_name(stored.name.removesuffix(SUFFIX) + ".cases.yaml")
        for original, target in ((cases, copy.parent / cases.name), (root / LOCK, place / LOCK)):
            if original.is_file():
                shutil.copy(original, target)
        library.folders.insert(0, place)
        yield library


def relative(text: str, library: TemplateLibrary) -> str:
    """A message without the folders of this machine."""
    for folder in library.folders:
        text = text.replace(f"{folder}/", "")
    return text
