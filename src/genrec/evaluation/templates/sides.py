"""The two templates of a comparison: where each comes from, which ranker reads it, and what it is called."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genrec.errors import SettingsError
from genrec.prompting.library import TemplateLibrary
from genrec.prompting.template import Template
from genrec.ranking.loading import for_template, template_id
from genrec.settings import Settings


@dataclass(frozen=True, eq=False)
class Side:
    """A template, the settings under which a ranker reads it, and its name in results."""

    name: str
    template: Template
    settings: Settings

    def facts(self) -> dict[str, Any]:
        """Which template it is; JSON-ready."""
        return {"id": self.template.id, "version": self.template.version, "hash": self.template.hash}


def sides(
    settings: Settings, template: str | None = None, against: str | None = None, folder: Path | None = None
) -> tuple[Side, Side]:
    """The new template and the one that it is compared with; either is the live one of the settings if not given.

    The new one comes from `folder` if it is there, the other one from the library of the settings if it is there: an
    edited file is compared with the live one of the same id. `ID@FOLDER` says from where. NotFoundError if there is
    none of an id, or it does not rank; SettingsError if both are the same.
    """
    edited = settings if folder is None else _with_folder(settings, folder)
    if template is None and against is None:
        template = against = template_id(settings.ranking)
    new = _found(template or template_id(settings.ranking), edited, settings)
    old = _found(against or template_id(settings.ranking), settings, edited)
    if new[0].ref == old[0].ref:
        raise SettingsError(
            f"both templates are {new[0].id} version {new[0].version} ({new[0].hash})",
            "name another with --against, or the folder of an edited one with --folder",
        )
    names = _names(new[0], old[0])
    return Side(names[0], *new), Side(names[1], *old)


def _found(template_id: str, *places: Settings) -> tuple[Template, Settings]:
    """The template from the first of the libraries that has it, and the settings under which it ranks."""
    template_id, at, folder = template_id.partition("@")
    if at:
        places = (_with_folder(places[0], Path(folder)),)
    libraries = [TemplateLibrary(settings.prompts.folder) for settings in places]
    has = [template_id in library.ids() for library in libraries]
    place = has.index(True) if any(has) else 0
    template, settings = libraries[place].get(template_id), places[place]
    return template, settings.model_copy(update={"ranking": for_template(settings.ranking, template)})


def _with_folder(settings: Settings, folder: Path) -> Settings:
    return settings.model_copy(update={"prompts": settings.prompts.model_copy(update={"folder": folder})})


def _names(new: Template, old: Template) -> tuple[str, str]:
    """As short as tells them apart."""
    if new.id != old.id:
        return new.id, old.id
    if new.version != old.version:
        return f"{new.id}@{new.version}", f"{old.id}@{old.version}"
    return f"{new.id}@{new.version} {new.hash[:8]}", f"{old.id}@{old.version} {old.hash[:8]}"
