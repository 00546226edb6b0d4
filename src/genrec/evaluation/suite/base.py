"""Suite files: what all kinds share, how they are found and read. All that is wrong with one is reported at once."""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from genrec.artifacts.yaml_files import line_of, load_yaml
from genrec.data.sources.base import SOURCES
from genrec.errors import NotFoundError, SettingsError
from genrec.evaluation.suite import gates
from genrec.evaluation.suite.gates import Gate
from genrec.settings import Settings

SUFFIX = ".yaml"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


class Strict(BaseModel):
    """A part of a suite file: unknown keys are errors, and nothing changes once it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _is_name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError("use letters, digits, '_' and '-', a letter first")
    return text


def _is_source(name: str) -> str:
    if problem := SOURCES.problem(name):
        raise ValueError(problem)
    return name


Name = Annotated[str, AfterValidator(_is_name)]


class Source(Strict):
    """Data that the suite imports by itself where the workspace has none. Paths are seen from the suite's folder."""

    importer: Annotated[str, AfterValidator(_is_source)]
    """A module of `genrec.data.sources`, or the dotted path of a class of your own."""
    path: str
    """Folder of the data set, a known name (`genrec data fetch --list`), or the events of `tables`."""
    items: str | None = None
    """Catalogue of formats that have it elsewhere, such as `tables`."""
    min_item_events: int = Field(default=0, ge=0)
    min_user_events: int = Field(default=0, ge=0)


class BaseSuite(Strict):
    """What suites of all kinds have. `folder` is where the file lies: paths in it are seen from there."""

    KIND: ClassVar[str | None] = None
    """What `kind` says in files of this model."""

    name: Name
    description: str
    source: Source | None = None
    settings: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Settings that go before those of the workspace, by section: `encoder: {name: hashing}`."""
    gates: tuple[str, ...] = ()
    folder: Path = Field(default=Path(), exclude=True)

    @property
    def parsed_gates(self) -> list[Gate]:
        """The gates, taken apart."""
        return [gates.parse(text) for text in self.gates]

    def settings_for(self, workspace_settings: Settings) -> Settings:
        """The settings of a workspace with those of the suite on top. SettingsError if they do not validate."""
        return overlaid(workspace_settings, self.settings)

    def _gate_problems(self) -> Iterator[str]:
        for text in self.gates:
            try:
                problem = self._gate_problem(gates.parse(text))
            except SettingsError as error:
                yield f"gates: {error.message}"
                continue
            if problem is not None:
                yield f"gates: {text!r}: {problem}"

    def _gate_problem(self, gate: Gate) -> str | None:
        raise NotImplementedError


S = TypeVar("S", bound=BaseSuite)


def read_suite(file: Path, *models: type[S]) -> S:
    """The suite of a file, of the model of its kind. SettingsError with all that is wrong with it, by line."""
    try:
        content, node = load_yaml(file.read_text("utf-8"), file)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} cannot be read", "give the file of a suite (YAML, UTF-8)") from error
    if not isinstance(content, dict):
        raise SettingsError(f"{file} is no suite", f"look at one that ships: {_shipped()}")
    model = next((one for one in models if content.get("kind") == one.KIND), models[0])
    return suite_of({**content, "folder": file.resolve().parent}, model, str(file), node)


def suite_of(content: dict[str, Any], model: type[S], where: str, node: Any = None) -> S:
    """The suite that the content says. SettingsError with all that is wrong; the YAML node knows the lines."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        lines = [
            f"{where}{'' if node is None else f':{line_of(node, place)}'}: {text}" for place, text in _problems(error)
        ]
        raise SettingsError(
            "the suite does not validate:\n" + "\n".join(lines), f"suites that ship: {_shipped()}"
        ) from None


def find(name: str) -> Path:
    """File of a suite: a path, or the name of one that ships. NotFoundError if there is none."""
    path = Path(name)
    if path.suffix in (SUFFIX, ".yml"):
        if path.is_file():
            return path
        raise NotFoundError(f"there is no file {path}", f"suites that ship: {_shipped()}")
    shipped = shipped_folder() / f"{name}{SUFFIX}"
    if _NAME.fullmatch(name) and shipped.is_file():
        return shipped
    raise NotFoundError(f"there is no suite {name!r}", f"give a .yaml file, or one that ships: {_shipped()}")


def shipped_folder() -> Path:
    """Where the suites that ship lie: in the wheel, or in the source checkout."""
    installed = Path(str(importlib.resources.files("genrec"))) / "_assets" / "eval" / "suites"
    return installed if installed.is_dir() else Path(__file__).resolve().parents[4] / "eval" / "suites"


def shipped() -> list[str]:
    """Names of the suites that ship."""
    return sorted(path.stem for path in shipped_folder().glob(f"*{SUFFIX}"))


def overlaid(settings: Settings, sections: dict[str, dict[str, Any]]) -> Settings:
    """The settings with some values replaced; validated, and without a look at the environment."""
    whole = settings.model_dump()
    problems = [f"  settings: there is no section {name!r}" for name in sections if name not in whole]
    chosen = dict[str, Any]()
    for name, values in sections.items():
        if name in whole:
            try:
                chosen[name] = type(getattr(settings, name)).model_validate({**whole[name], **values})
            except ValidationError as error:
                problems += [f"  settings.{name}.{text}" for _, text in _problems(error)]
    if problems:
        raise SettingsError("settings do not validate:\n" + "\n".join(problems), "correct the settings of the suite")
    return settings.model_copy(update=chosen)


def _problems(error: ValidationError) -> Iterator[tuple[tuple[int | str, ...], str]]:
    """Where each problem is, and what it is; what a validator of the whole suite says is a line for each."""
    for problem in error.errors():
        place = ".".join(str(part) for part in problem["loc"])
        for text in problem["msg"].removeprefix("Value error, ").split("\n"):
            yield problem["loc"], f"{place}: {text}" if place else text


def _shipped() -> str:
    return ", ".join(shipped()) or "none"
