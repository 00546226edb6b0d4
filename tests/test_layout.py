"""The layers hold, there are no import cycles, and light entry points stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import genrec

PACKAGE = Path(genrec.__file__).parent
LAYERS = [
    {"domain", "errors"},
    {"settings"},
    {"artifacts"},
    {"data", "text", "llm", "prompting", "filtering"},
    {"retrieval", "ranking", "clicks"},
    {"fusion", "facts"},
    {"reranking"},
    {"fitting"},
    {"pipeline"},
    {"explanation", "training"},
    {"evaluation"},
    {"experiments"},
    {"serving"},
    {"cli"},
]
ALLOWED_HEAVY = {
    "vllm": {"llm/vllm.py", "llm/constraint.py", "serving/launch.py", "cli/diagnosis.py"},
    "torch": {"llm/", "text/", "clicks/", "fusion/", "training/", "artifacts/models.py", "cli/diagnosis.py"},
    "transformers": {"llm/", "text/", "training/", "artifacts/models.py", "cli/diagnosis.py"},
    "peft": {"llm/", "training/", "cli/diagnosis.py"},
    "datasets": {"data/", "training/"},
}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Dotted names that a module imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found


def unit(dotted: str) -> str | None:
    parts = dotted.split(".")
    return parts[1] if parts[0] == "genrec" and len(parts) > 1 else None


def layer(name: str) -> int:
    return next(rank for rank, names in enumerate(LAYERS) if name in names)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_lower_layers_never_import_higher_ones(path: Path) -> None:
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if own in {"__init__", "__main__"}:
        return
    used = {name for dotted in imports(path) if (name := unit(dotted)) and name not in {own, "__version__"}}
    wrong = {name for name in used if layer(name) > layer(own)}
    assert not wrong, f"{own} (layer {layer(own)}) imports {sorted(wrong)}"


def test_every_module_has_a_layer() -> None:
    units = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in modules()} - {"__init__", "_assets"}
    assert units == units & set().union(*LAYERS)


@pytest.mark.parametrize("package", ALLOWED_HEAVY)
def test_heavy_packages_are_imported_in_few_places(package: str) -> None:
    wrong = [
        str(relative)
        for path in modules()
        if any(name.split(".")[0] == package for name in imports(path))
        and not any(str(relative := path.relative_to(PACKAGE)).startswith(place) for place in ALLOWED_HEAVY[package])
    ]
    assert wrong == []


def test_there_are_no_import_cycles() -> None:
    names = {".".join(("genrec", *path.relative_to(PACKAGE).with_suffix("").parts)): path for path in modules()}
    top_level: dict[str, set[str]] = {}
    for name, path in names.items():
        tree = ast.parse(path.read_text("utf-8"))
        nodes = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        wanted = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        for node in nodes:
            if isinstance(node, ast.ImportFrom) and node.module:
                wanted |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        top_level[name] = wanted & set(names)
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail, name))
        if name not in done:
            for other in top_level[name]:
                visit(other, (*trail, name))
            done.add(name)

    for name in names:
        visit(name, ())
    assert done == set(names)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["prompt", "list"], ["serve", "--help"]])
def test_light_commands_load_neither_torch_nor_vllm(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom genrec.cli.main import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "heavy = {'torch', 'vllm', 'transformers', 'datasets', 'pandas', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
