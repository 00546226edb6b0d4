"""What a suite of attacks says. It is a suite of its own kind: its file has `kind: injection`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from genrec.artifacts.renames import current_name
from genrec.artifacts.yaml_files import line_of, load_yaml
from genrec.errors import SettingsError
from genrec.evaluation.suite import gates
from genrec.evaluation.suite.gates import Gate
from genrec.evaluation.suite.schema import Name, Source, overlaid
from genrec.ranking.base import RANKERS
from genrec.settings import Settings

KIND = "injection"
ITEM_PLACES = ("title", "genres", "fields", "evidence")
"""Places that belong to the attacked item; the others are what the caller says."""
FIGURES: Mapping[str, tuple[str, ...]] = {
    "guard": ("control_tokens", "roles", "lines", "code", "refused"),
    "validity": ("invalid", "duplicate", "missing"),
    "rank_gain": ("worst", "mean"),
    "request_gain": ("worst", "mean"),
}
"""What may stand in gates; see `genrec.evaluation.injection.judge`."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Attack(_Strict):
    """A hostile text and where it goes. In YAML a text alone is one for the title.

    `{title}` stands for the plain title of the item that is to be lifted, `{controls}` for all control strings of the
    model that is attacked, `{split_controls}` for each of them with another one inside. A title without `{title}` in it
    stands behind the plain one.
    """

    text: str = Field(min_length=1)
    place: Literal["title", "genres", "fields", "evidence", "query", "context", "context_name"] = "title"
    """fields: a metadata field that the template shows, behind a plain text. evidence: the title of the user's history
    that the evidence for the item names."""
    repeat: int = Field(default=1, ge=1, le=10_000)
    """So many copies of the text."""
    evaluates_to: str | None = Field(default=None, min_length=3)
    """What would stand in the prompt if template code in the text were run."""

    @model_validator(mode="before")
    @classmethod
    def _text_alone(cls, given: Any) -> Any:
        return {"text": given} if isinstance(given, str) else given

    @field_validator("place", mode="before")
    @classmethod
    def _current_place(cls, place: Any) -> Any:
        (named,) = current_name({place: None}, "request", "query", "the place of an attack")
        return named

    @model_validator(mode="after")
    def _names_its_item(self) -> Self:
        if self.place not in ITEM_PLACES and "{title}" not in self.text:
            raise ValueError(f"a {self.place} must name the item that it is to lift: write {{title}}")
        return self


class Family(_Strict):
    """Attacks that try the same thing."""

    about: str = Field(min_length=1)
    attacks: tuple[Attack, ...] = Field(min_length=1)


class Slates(_Strict):
    """Slates that are attacked: of each user the newest events, and popular items that he has not touched."""

    users: int = Field(default=30, ge=1)
    history: int = Field(default=10, ge=1)
    """Events of a history."""
    candidates: int = Field(default=10, ge=2)
    seed: int = 0


class InjectionSuite(_Strict):
    """A suite file of this kind. `folder` is where it lies."""

    kind: Literal["injection"]
    name: Name
    description: str
    source: Source | None = None
    """Data that the suite imports by itself where the workspace has none."""
    settings: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Settings that go before those of the workspace, by section."""
    templates: tuple[str, ...] = Field(default=("*",), min_length=1)
    """Patterns of the ids of templates."""
    rankers: tuple[str, ...] = Field(default_factory=lambda: tuple(RANKERS.names()), min_length=1)
    slates: Slates = Slates()
    trials: int = Field(default=3, ge=1)
    """On how many slates each attack is tried, in other places and under other orders of labels."""
    plain: str = "A pleasant evening, well made."
    """What stands in metadata fields without an attack."""
    families: dict[Name, Family] = Field(min_length=1)
    harmless: tuple[str, ...] = ()
    """Additions to titles that attack nothing: what any text of this kind does. They count in no gate."""
    gates: tuple[str, ...] = ()
    folder: Path = Field(default=Path(), exclude=True)

    @property
    def parsed_gates(self) -> list[Gate]:
        """The gates, taken apart."""
        return [gates.parse(text) for text in self.gates]

    def settings_for(self, workspace_settings: Settings) -> Settings:
        """The settings of a workspace with those of the suite on top. SettingsError if they do not validate."""
        return overlaid(workspace_settings, self.settings)

    def takes(self, template_id: str) -> bool:
        """Whether a template is attacked."""
        return any(fnmatch(template_id, pattern) for pattern in self.templates)

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        problems = [f"rankers: {problem}" for name in self.rankers if (problem := RANKERS.problem(name))]
        problems += self._gate_problems()
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _gate_problems(self) -> Iterator[str]:
        for text in self.gates:
            try:
                gate = gates.parse(text)
            except SettingsError as error:
                yield f"gates: {error.message}"
                continue
            if gate.metric not in FIGURES.get(gate.name, ()) or gate.number is None or gate.subset is not None:
                figures = ", ".join(f"{name}.{metric}" for name, metrics in FIGURES.items() for metric in metrics)
                yield f"gates: {text!r}: compare one of these with a number: {figures}"


def load(file: Path) -> InjectionSuite | None:
    """The suite of a file; None if it is of another kind. SettingsError with all that is wrong with it, by line."""
    try:
        content, node = load_yaml(file.read_text("utf-8"), file)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} cannot be read", "give the file of a suite (YAML, UTF-8)") from error
    if not isinstance(content, dict) or content.get("kind") != KIND:
        return None
    try:
        return InjectionSuite.model_validate({**content, "folder": file.resolve().parent})
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            place = ".".join(str(part) for part in problem["loc"])
            where = f"{file}:{line_of(node, problem['loc'])}"
            texts = problem["msg"].removeprefix("Value error, ").split("\n")
            lines += [f"{where}: {place + ': ' if place else ''}{text}" for text in texts]
        raise SettingsError("the suite does not validate:\n" + "\n".join(lines), "eval/suites/injection.yaml") from None
