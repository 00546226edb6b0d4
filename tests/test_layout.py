"""The layout holds: rows of layers, no circles, nothing private across folders, heavy packages in few places."""

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import genrec
from genrec.data.sources.base import SOURCES
from genrec.evaluation.metrics import METRICS
from genrec.evaluation.offpolicy.base import ESTIMATORS
from genrec.facts.base import FACTS
from genrec.filtering.base import FILTERS
from genrec.llm.loading import ENGINES
from genrec.ranking.base import RANKERS
from genrec.reranking.base import RERANKERS
from genrec.retrieval.base import RETRIEVERS
from genrec.text.base import ENCODERS

PACKAGE = Path(genrec.__file__).parent
ROWS: list[tuple[str, ...]] = [
    ("domain", "errors"),
    ("settings",),
    ("artifacts",),
    ("data", "text", "llm"),
    ("prompting", "retrieval"),
    ("ranking", "filtering"),
    ("facts", "scoring"),
    ("reranking",),
    ("pipeline", "fitting"),
    ("explanation", "training"),
    ("evaluation",),
    ("experiments", "reports"),
    ("serving",),
    ("cli", "testing"),
]
"""Each imports only from rows before its own, and nothing of its own row but itself."""
FLAT = {"__init__", "domain", "errors", "settings"}
"""The only modules outside of a folder."""
ALTERNATIVES = (RETRIEVERS, FILTERS, RANKERS, RERANKERS, FACTS, ENGINES, ENCODERS, METRICS, ESTIMATORS, SOURCES)
HEAVY = {
    "vllm": ("llm/", "serving/launch.py"),
    "torch": ("llm/", "text/", "scoring/", "retrieval/retrievers/", "training/", "artifacts/models.py"),
    "transformers": ("llm/", "text/", "scoring/", "retrieval/retrievers/", "training/", "artifacts/models.py"),
    "peft": ("llm/", "text/", "scoring/", "retrieval/retrievers/", "training/"),
    "datasets": ("data/", "training/"),
}
"""Heavy packages, and where they may be imported; why in `artifacts/models.py`: docs/decisions/007."""

KNOWN: set[tuple[str, str]] = set()
"""(module, what it imports) that break a row; this list only gets shorter."""
KNOWN_DETOURS: set[tuple[str, str]] = set()
"""(module, what it imports) that are part of a circle; this list only gets shorter."""


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def place(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def unit(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def row(name: str) -> int:
    known = {one: number for number, names in enumerate(ROWS) for one in names}
    return known[name]


def imports(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Module and names of every import, anywhere in a file."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, []) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, [alias.name for alias in node.names]


def imported_units(path: Path) -> set[str]:
    found = set()
    for module, names in imports(path):
        parts = module.split(".")
        if parts[0] == "genrec":
            found |= {parts[1]} if len(parts) > 1 else set(names)
    return found - {"__version__", "genrec"}


@pytest.mark.parametrize("path", modules(), ids=place)
def test_a_folder_imports_only_from_rows_before_its_own(path: Path) -> None:
    own = unit(path)
    if own == "__init__":
        return
    wrong = {name for name in imported_units(path) - {own} if row(name) >= row(own)}
    found = {(place(path), name) for name in wrong}
    assert found <= KNOWN, f"{place(path)} (row {row(own)}) imports {sorted(wrong)}"


def test_what_is_allowed_to_break_a_row_still_does() -> None:
    found = {(place(path), name) for path in modules() for name in imported_units(path)}
    assert found >= KNOWN, f"take out of KNOWN: {sorted(KNOWN - found)}"


def test_every_folder_has_a_row_and_little_is_flat() -> None:
    units = {unit(path) for path in modules()} - {"_assets"}
    assert units - {"__init__"} <= {name for names in ROWS for name in names}
    assert {path.stem for path in PACKAGE.glob("*.py")} == FLAT


@pytest.mark.parametrize("path", modules(), ids=place)
def test_nothing_private_is_imported_from_another_folder(path: Path) -> None:
    wrong = [
        f"{module}.{name}"
        for module, names in imports(path)
        for name in (names or [""])
        if module.startswith("genrec.") and module.split(".")[1] != unit(path)
        if any(part.startswith("_") for part in [*module.split("."), name])
    ]
    assert wrong == []


@pytest.mark.parametrize("package", HEAVY)
def test_heavy_packages_are_imported_in_few_places(package: str) -> None:
    importing = [place(path) for path in modules() if any(name.split(".")[0] == package for name, _ in imports(path))]
    assert [name for name in importing if not name.startswith(HEAVY[package])] == []


def test_no_module_imports_itself_by_a_detour() -> None:
    names = {".".join(("genrec", *path.relative_to(PACKAGE).with_suffix("").parts)): path for path in modules()}
    wanted: dict[str, set[str]] = {}
    for name, path in names.items():
        found = {f"{module}.{one}" for module, several in imports(path) for one in [*several, ""]}
        wanted[name] = {one.rstrip(".") for one in found} & set(names) - {name}
        wanted[name] -= {to for by, to in KNOWN_DETOURS if by == name}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail, name))
        if name not in done:
            for other in sorted(wanted[name]):
                visit(other, (*trail, name))
            done.add(name)

    for name in names:
        visit(name, ())


@pytest.mark.parametrize("kind", ALTERNATIVES, ids=lambda kind: kind.kind)
def test_a_folder_of_alternatives_holds_alternatives_only(kind: Any) -> None:
    assert len(kind.names()) > 1
    for name in kind.names():
        kind.find(name)
    folder = importlib.import_module(kind.package).__path__[0]
    assert [path.name for path in Path(folder).iterdir() if path.is_dir() and path.name != "__pycache__"] == []


LIGHT = [["--help"], ["--version"], ["prompt", "list"], ["prompt", "--help"], ["serve", "--help"]]


@pytest.mark.parametrize("arguments", LIGHT, ids=" ".join)
def test_light_commands_load_neither_torch_nor_vllm(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom genrec.cli.main import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "heavy = {'torch', 'vllm', 'transformers', 'peft', 'datasets', 'pandas', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = f"import sys, genrec\nassert not {set(HEAVY)} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
