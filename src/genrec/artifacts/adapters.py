"""Tuned LoRA adapters of a workspace: versions, the card that says how one was made, and names that lead to folders.

An adapter is a folder `adapters/<name>/<version>/` with adapter_config.json and adapter_model.safetensors (PEFT), a
card.json, and a README.md. The newest version is the live one.
"""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from genrec.domain import TemplateRef
from genrec.errors import ModelError, NotFoundError, SettingsError
from genrec.settings import Settings

FOLDER = "adapters"
BASE = "base"
"""Stands for the model without an adapter wherever an adapter can be named."""
WEIGHTS = ("adapter_config.json", "adapter_model.safetensors")
CARD = "card.json"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

HeldOut = Literal["temporal", "leave-one-out", "none"]


class TunedTemplate(BaseModel):
    """The template whose prompts an adapter was tuned on."""

    model_config = ConfigDict(frozen=True)
    id: str
    version: int
    hash: str

    @classmethod
    def of(cls, ref: TemplateRef) -> TunedTemplate:
        """From the reference that prompts carry."""
        return cls(id=ref.id, version=ref.version, hash=ref.hash)

    def __str__(self) -> str:
        return f"{self.id} version {self.version} ({self.hash})"


class Card(BaseModel):
    """How an adapter was made and what it is worth: card.json, written by the run. `publish` fills name and version."""

    model_config = ConfigDict(frozen=True)
    name: str = ""
    version: str = ""
    base_model: str
    recipe: str
    ranker: str
    template: TunedTemplate
    data: dict[str, Any]
    """`fingerprint` of the log and its counts."""
    held_out: HeldOut
    """The split on whose training part it was trained; `none`: it has seen every event."""
    validation_users: str = ""
    """Which users it never trained on, in words."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Configuration of the run."""
    metrics: dict[str, Any] = Field(default_factory=dict)
    """Values with their intervals."""
    limits: list[str] = Field(default_factory=list)
    created: str = Field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    """ISO 8601, UTC."""

    @classmethod
    def load(cls, folder: Path) -> Card | None:
        """The card of an adapter folder; None for one from elsewhere. ModelError if it is there and wrong."""
        file = folder / CARD
        if not file.is_file():
            return None
        try:
            return cls.model_validate_json(file.read_bytes())
        except (OSError, ValidationError) as error:
            raise ModelError(f"{file} is no card of an adapter", "publish the adapter again, or remove it") from error

    def save(self, folder: Path) -> None:
        """Writes card.json."""
        (folder / CARD).write_text(self.model_dump_json(indent=1) + "\n", "utf-8")


@contextmanager
def publish(root: Path, name: str) -> Iterator[Path]:
    """Gives a staging folder that becomes the newest, and so the live, version of `name` when the block ends well.

    SettingsError if the name cannot be one, ModelError if the block left no adapter; then nothing is published.
    """
    check_name(name)
    parent = root / FOLDER / name
    staging = parent / f".{uuid.uuid4().hex}"
    staging.mkdir(parents=True)
    try:
        yield staging
        missing = [file for file in WEIGHTS if not (staging / file).is_file()]
        if missing:
            raise ModelError(f"the adapter {name!r} has no {' and no '.join(missing)}", "save it with save_pretrained")
        # Named at the end: in the order of names, which is the order of going live, a long run must not be an old one.
        version = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{uuid.uuid4().hex[:6]}"
        if card := Card.load(staging):
            card.model_copy(update={"name": name, "version": version}).save(staging)
        _sync(staging)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    staging.rename(parent / version)


def names(root: Path) -> list[str]:
    """Adapters of a workspace that have a version, sorted."""
    folder = root / FOLDER
    found = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return sorted(name for name in found if NAME.fullmatch(name) and versions(root, name))


def versions(root: Path, name: str) -> list[str]:
    """Versions of an adapter, oldest first; none if there is no such adapter."""
    if not NAME.fullmatch(name):
        return []
    try:
        found = [entry.name for entry in os.scandir(root / FOLDER / name) if entry.is_dir()]
    except OSError:
        return []
    return sorted(version for version in found if not version.startswith("."))


def live(root: Path, name: str) -> str | None:
    """The newest version of an adapter."""
    return max(versions(root, name), default=None)


def resolve(root: Path, reference: str) -> Path:
    """Folder of an adapter: `name` (its live version), `name@version`, or a folder that has one.

    A name of the workspace goes before a folder of the same name. NotFoundError with the names that there are.
    """
    name, at, version = reference.partition("@")
    known = versions(root, name)
    if known and (not at or version in known):
        return root / FOLDER / name / (version or known[-1])
    folder = Path(reference).expanduser()
    if (folder / WEIGHTS[0]).is_file():
        return folder
    if known:
        raise NotFoundError(
            f"the adapter {name!r} has no version {version!r}", f"its versions: {', '.join(known[-5:])}"
        )
    there = ", ".join(names(root))
    raise NotFoundError(
        f"there is no adapter {reference!r}",
        f"{root} has: {there}" if there else "train one: genrec finetune; or give the folder of a saved adapter",
    )


def resolved(root: Path, settings: Settings) -> Settings:
    """The settings with the folder of their adapter in place of its name; `base` and "" are no adapter.

    A server behind the engine `openai` has adapters of its own, which are left as they are.
    """
    reference = settings.model.adapter
    if reference is None or settings.model.engine == "openai":
        return settings
    return with_adapter(settings, None if reference in ("", BASE) else str(resolve(root, reference).absolute()))


def with_adapter(settings: Settings, adapter: str | None) -> Settings:
    """The settings with another adapter, or (None) without one."""
    return settings.model_copy(update={"model": settings.model.model_copy(update={"adapter": adapter})})


def label(folder: Path) -> str:
    """How answers and logs name an adapter: `name@version`, or the name of a folder outside of a workspace."""
    if folder.parent.parent.name == FOLDER:
        return f"{folder.parent.name}@{folder.name}"
    return folder.name


def mismatch(card: Card | None, template: TemplateRef, base_model: str) -> str | None:
    """What to say if an adapter is read through another template, or by another model, than it was tuned on."""
    if card is None:
        return None
    pairs = [
        ("template", card.template, TunedTemplate.of(template)),
        ("model", card.base_model, base_model),
    ]
    said = [f"on the {kind} {tuned}, but {used} is used" for kind, tuned, used in pairs if tuned != used]
    return f"the adapter {card.name!r} was tuned {', and '.join(said)}" if said else None


def tuned_by(settings: Settings) -> list[Path]:
    """Where the cards are of what resolved settings have read slates: their adapter, and a model one was merged into.

    Empty for a model that was not tuned here, and for one behind a server.
    """
    if settings.model.engine == "openai":
        return []
    merged = Path(settings.model.name).expanduser()
    adapter = [] if settings.model.adapter is None else [Path(settings.model.adapter)]
    return [*adapter, *([merged] if (merged / CARD).is_file() else [])]


def mismatch_of(settings: Settings, template: TemplateRef) -> str | None:
    """`mismatch` for what resolved settings have read slates; None without a card."""
    card = next(map(Card.load, tuned_by(settings)), None)
    if card is None:
        return None
    return mismatch(card, template, settings.model.name if settings.model.adapter else card.base_model)


def check_name(name: str) -> None:
    """SettingsError for what cannot be the name of an adapter."""
    if not NAME.fullmatch(name) or name == BASE:
        raise SettingsError(
            f"{name!r} cannot be the name of an adapter",
            f"use up to 64 letters, digits, '.', '_' and '-', a letter or digit first, and not {BASE!r}",
        )


def _sync(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
