"""What a suite of attacks says. It is a suite of its own kind: its file has `kind: injection`."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatch
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from genrec.artifacts.renames import current_name
from genrec.evaluation.suite.base import BaseSuite, Name, Strict
from genrec.evaluation.suite.gates import Gate
from genrec.ranking.base import RANKERS

ITEM_PLACES = ("title", "genres", "fields", "evidence")
"""Places that belong to the attacked item; the others are what the caller says."""
FIGURES: Mapping[str, tuple[str, ...]] = {
    "guard": ("control_tokens", "roles", "lines", "code", "refused"),
    "validity": ("invalid", "duplicate", "missing"),
    "rank_gain": ("worst", "mean"),
    "request_gain": ("worst", "mean"),
}
"""What may stand in gates; see `genrec.evaluation.injection.judge`."""


class Attack(Strict):
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


class Family(Strict):
    """Attacks that try the same thing."""

    about: str = Field(min_length=1)
    attacks: tuple[Attack, ...] = Field(min_length=1)


class Slates(Strict):
    """Slates that are attacked: of each user the newest events, and popular items that they have not touched."""

    users: int = Field(default=30, ge=1)
    history: int = Field(default=10, ge=1)
    """Events of a history."""
    candidates: int = Field(default=10, ge=2)
    seed: int = 0


class InjectionSuite(BaseSuite):
    """A suite file of this kind."""

    KIND: ClassVar[str | None] = "injection"
    kind: Literal["injection"]
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

    def _gate_problem(self, gate: Gate) -> str | None:
        if gate.metric in FIGURES.get(gate.name, ()) and gate.number is not None and gate.subset is None:
            return None
        figures = ", ".join(f"{name}.{metric}" for name, metrics in FIGURES.items() for metric in metrics)
        return f"compare one of these with a number: {figures}"
