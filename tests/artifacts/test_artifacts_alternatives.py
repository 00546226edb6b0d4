"""A name is a module of the folder, a dotted path anyone's module or class; all else is refused, with a list."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import ClassVar, Protocol

import pytest

from genrec.artifacts.alternatives import Alternatives
from genrec.errors import NotFoundError, SettingsError


class Shape(Protocol):
    name: ClassVar[str]

    @property
    def colour(self) -> str: ...

    def area(self) -> float: ...


FILES = {
    "__init__": "",
    "base": "class Base:\n    name = 'base'\n    def area(self): ...\n",
    "square": "class Square:\n    name = 'square'\n    def area(self): return 1.0\nclass Helper: ...\n",
    "circle": "from shapes_of_test.square import Square\nclass Circle(Square):\n    name = 'circle'\n",
    "_hidden": "",
    "nothing": "class Nothing:\n    name = 'nothing'\n",
    "both": "class A:\n    name = 'a'\n    def area(self): ...\nclass B(A): ...\n",
    "broken": "import package_that_is_not_there\n",
}


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Alternatives[Shape]:
    root = tmp_path_factory.mktemp("shapes")
    folder: Path = root / "shapes_of_test"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / f"{name}.py").write_text(text, "utf-8")
    sys.path.insert(0, str(root))
    return Alternatives("shape", "shapes_of_test", Shape)


def test_names_are_the_modules_of_the_folder_but_for_the_interface(shapes: Alternatives[Shape]) -> None:
    assert shapes.names() == ["both", "broken", "circle", "nothing", "square"]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("square", "Square"),
        ("circle", "Circle"),  # what it imports is not its own
        ("shapes_of_test.square", "Square"),
        ("shapes_of_test.square.Square", "Square"),
        ("shapes_of_test.both.B", "B"),
        ("shapes_of_test.base", "Base"),
    ],
)
def test_the_class_is_found_by_what_it_satisfies(shapes: Alternatives[Shape], name: str, found: str) -> None:
    assert shapes.find(name).__name__ == found
    assert shapes.problem(name) is None


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("triangle", ""),
        ("base", ""),
        ("", ""),
        (".square", ""),
        ("nothing", "no class with area, name"),
        ("both", "several: A, B; name one as both.A"),
        ("nowhere.at.all", "cannot be imported"),
        ("shapes_of_test.square.Helper", "no area and no name"),
        ("shapes_of_test.square.Missing", "no class Missing"),
    ],
)
def test_what_names_nothing_is_refused_with_all_names(shapes: Alternatives[Shape], name: str, why: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        shapes.find(name)
    assert caught.value.message.startswith(f"there is no shape {name!r}")
    assert why in caught.value.message
    assert "both, broken, circle, nothing, square" in caught.value.hint
    assert shapes.problem(name) or name in shapes.names()


def test_a_slip_of_the_pen_is_recognised(shapes: Alternatives[Shape]) -> None:
    with pytest.raises(NotFoundError) as caught:
        shapes.find("squre")
    assert "did you mean square?" in caught.value.hint


def test_a_package_that_is_missing_is_no_unknown_name(shapes: Alternatives[Shape]) -> None:
    for name in ("broken", "shapes_of_test.broken"):
        with pytest.raises(ModuleNotFoundError, match="package_that_is_not_there"):
            shapes.find(name)


def test_the_error_is_the_one_of_the_kind() -> None:
    with pytest.raises(SettingsError):
        Alternatives[Shape]("shape", "genrec.retrieval.retrievers", Shape, error=SettingsError).find("files")


def test_only_files_from_outside_have_a_hash_of_their_own(shapes: Alternatives[Shape]) -> None:
    assert shapes.source_hash("square") == ""
    assert len(shapes.source_hash("shapes_of_test.square")) == 64
    assert shapes.source_hash("shapes_of_test.square.Square") == shapes.source_hash("shapes_of_test.square")
