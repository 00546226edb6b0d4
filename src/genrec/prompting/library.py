"""Finds templates: a local folder first, then those that ship. Ids are paths: `rank/pointwise`."""

from __future__ import annotations

import contextlib
import difflib
import importlib.resources
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from jinja2 import nodes

from genrec.errors import NotFoundError, TemplateError
from genrec.prompting import syntax
from genrec.prompting.template import Template, fingerprint, parse_front_matter, split_front_matter

SUFFIX = ".prompt"
PARTIALS = "_partials"
LOCK = "prompts.lock"


@lru_cache(maxsize=1)
def shipped_folder() -> Path:
    """Where the templates that ship lie: in the wheel, or in the source checkout."""
    installed = Path(str(importlib.resources.files("genrec"))) / "_assets" / "prompts"
    checkout = Path(__file__).resolve().parents[3] / "prompts"
    return installed if installed.is_dir() else checkout


class TemplateLibrary:
    """Templates of `folder`, and behind them the shipped ones. Each is read once, when it is first asked for."""

    def __init__(self, folder: Path | None = None) -> None:
        if folder is not None and not folder.is_dir():
            raise NotFoundError(f"there is no template folder {folder}", "name an existing folder, or none")
        self.folders = [path for path in (folder, shipped_folder()) if path is not None]
        self._loaded: dict[str, Template] = {}

    def ids(self) -> list[str]:
        """All ids, sorted."""
        return sorted({_id(path, folder) for folder in self.folders for path in _files(folder)})

    def readable(self) -> list[Template]:
        """All templates by id, without those that are wrong: one broken file hides no other."""
        found = []
        for template_id in self.ids():
            with contextlib.suppress(TemplateError):
                found.append(self.get(template_id))
        return found

    def path(self, template_id: str) -> Path:
        """File of a template; NotFoundError with near matches."""
        for folder in self.folders:
            path = folder / f"{template_id}{SUFFIX}"
            if path.is_file() and path.resolve().is_relative_to(folder.resolve()):
                return path
        near = difflib.get_close_matches(template_id, self.ids(), n=3, cutoff=0.4)
        raise NotFoundError(
            f"there is no template '{template_id}'",
            f"did you mean {', '.join(near)}?" if near else "genrec prompt list shows all templates",
        )

    def root(self, template: Template) -> Path:
        """The folder of this library from which a template came; its lock file and partials lie there."""
        return next(folder for folder in self.folders if template.path.is_relative_to(folder))

    def get(self, template_id: str) -> Template:
        """The template; NotFoundError, or TemplateError with file and line."""
        if template_id not in self._loaded:
            self._loaded[template_id] = self._load(template_id)
        return self._loaded[template_id]

    def _load(self, template_id: str) -> Template:
        path = self.path(template_id)
        front_text, body, body_line = split_front_matter(read_text(path), path)
        front = parse_front_matter(front_text, path)
        tree = syntax.parse(body, path, body_line)
        partial_paths: dict[str, Path] = {}
        partials: dict[str, str] = {}
        waiting = [(include, path) for include in _includes(tree, path)]
        while waiting:
            (name, line), wanted_by = waiting.pop()
            if name not in partials:
                partial_paths[name] = self._partial(name, wanted_by, line)
                partials[name] = read_text(partial_paths[name])
                partial_tree = syntax.parse(partials[name], partial_paths[name])
                waiting += [(inner, partial_paths[name]) for inner in _includes(partial_tree, partial_paths[name])]
        return Template(
            id=template_id,
            version=front.version,
            task=front.task,
            summary=front.summary,
            language=front.language,
            inputs=front.inputs,
            output=front.output,
            budget=front.budget,
            body=body,
            body_line=body_line,
            path=path,
            partials=partials,
            partial_paths=partial_paths,
            hash=fingerprint(front, body, partials),
        )

    def _partial(self, name: str, wanted_by: Path, line: int) -> Path:
        for folder in self.folders:
            path = folder / PARTIALS / name
            if path.is_file() and path.resolve().is_relative_to(folder.resolve()):
                return path
        raise TemplateError(
            f"{wanted_by}:{line}: includes the partial '{name}', which does not exist",
            f"partials lie in {PARTIALS}/ of the template folder",
        )


def _includes(tree: nodes.Template, path: Path) -> Iterator[tuple[str, int]]:
    """Name and line of every partial that a tree includes."""
    for name in syntax.included(tree, path):
        lines = (node.lineno for node in tree.find_all(nodes.Include) if name in _names(node.template))
        yield name, next(lines, 1)


def _names(template: nodes.Expr) -> list[str]:
    return [node.value for node in [template, *template.find_all(nodes.Const)] if isinstance(node, nodes.Const)]


def read_text(path: Path) -> str:
    """Text of a file with its line ends as they are; TemplateError if it is not UTF-8."""
    try:
        return path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError):
        raise TemplateError(f"{path}:1: cannot be read as UTF-8 text", "save the file as UTF-8") from None


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob(f"*{SUFFIX}"):
        if not any(part.startswith(("_", ".")) for part in path.relative_to(folder).parts):
            yield path


def _id(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix().removesuffix(SUFFIX)
