"""The lock file: which behaviour every version of a template had when it was accepted."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from genrec.errors import TemplateError
from genrec.prompting.library import LOCK, read_text
from genrec.prompting.template import Template, fingerprint, parse_front_matter, split_front_matter


@dataclass(frozen=True, slots=True)
class Locked:
    """Hash of a behaviour, and of the same without blanks at line ends and line ends at the end; empty if unknown."""

    hash: str
    stripped: str = ""


def read_lock(folder: Path) -> dict[str, Locked]:
    """`id@version` -> what was accepted; empty without a lock file."""
    path = folder / LOCK
    if not path.is_file():
        return {}
    try:
        entries = json.loads(read_text(path)).items()
        return {str(name): Locked(value) if isinstance(value, str) else Locked(**value) for name, value in entries}
    except (ValueError, AttributeError, TypeError):
        raise TemplateError(f"{path}:1: not a lock file", "remove it and run genrec prompt lock") from None


def verify(template: Template, locked: Mapping[str, Locked]) -> str | None:
    """None if the lock knows this behaviour, else what is wrong."""
    known = locked.get(_name(template))
    if known is None:
        return f"version {template.version} is not in {LOCK}"
    if known.hash != template.hash:
        return f"behaviour changed, but version is still {template.version}"
    return None


def differs_in_blanks_only(template: Template, locked: Mapping[str, Locked]) -> bool:
    """Whether the behaviour is not the locked one, but would be without blanks at line ends."""
    known = locked.get(_name(template))
    return known is not None and known.hash != template.hash and known.stripped == stripped_hash(template)


def stripped_hash(template: Template) -> str:
    """The hash of a template whose lines end without blanks, and whose texts end without line ends."""
    front_text, _, _ = split_front_matter(read_text(template.path), template.path)
    partials = {name: _stripped(text) for name, text in template.partials.items()}
    return fingerprint(parse_front_matter(front_text, template.path), _stripped(template.body), partials)


def write_lock(folder: Path, templates: Sequence[Template]) -> dict[str, Locked]:
    """Adds the templates of `folder` to its lock; TemplateError where a known version behaves differently now."""
    locked = read_lock(folder)
    for template in templates:
        problem = verify(template, locked)
        if problem is not None and _name(template) in locked:
            raise TemplateError(f"{template.path}:2: {problem}", f"raise version to {template.version + 1}")
        locked[_name(template)] = Locked(template.hash, stripped_hash(template))
    entries = {name: asdict(entry) if entry.stripped else entry.hash for name, entry in sorted(locked.items())}
    lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(entry)}" for name, entry in entries.items())
    (folder / LOCK).write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")
    return locked


def _name(template: Template) -> str:
    return f"{template.id}@{template.version}"


def _stripped(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.splitlines()).rstrip("\n")
