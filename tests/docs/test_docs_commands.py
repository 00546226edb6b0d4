"""Every command that the pages show exists, with every option that they give it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from docs_pages import REPOSITORY, Page, written_by_people
from typer.core import TyperGroup

from genrec.cli.main import app

COMMAND = re.compile(r"^(?:\$ )?(?:[A-Z_]+=\S+ )*(?:torchrun .* -m genrec\.cli\.main|genrec)(?: (?P<rest>.*))?$")
MAKE = re.compile(r"^make (?P<rest>[a-z].*)$")
USAGE_ERROR: Any = typer.BadParameter.__base__
SCRIPT = re.compile(r"^(?:\$ )?python (?P<file>[\w./-]+)(?: .*)?$")


def shown(page: Page) -> Iterator[str]:
    """Lines of blocks, and inline code."""
    yield from page.code_lines()
    yield from page.spans()


def commands(page: Page) -> list[str]:
    """What stands behind `genrec`, without comments."""
    found = []
    for line in shown(page):
        match = COMMAND.match(line.split("  #")[0].split(" # ")[0].strip())
        if match:
            found.append(match["rest"] or "")
    return found


def problem(tokens: list[str]) -> str | None:
    """What the command line would object to, values apart; None if nothing."""
    command: Any = typer.main.get_command(app)
    context: Any = typer.Context(command, info_name="genrec")
    try:
        while isinstance(command, TyperGroup) and tokens and not tokens[0].startswith("-"):
            if tokens[0] == "..." or tokens[0].isupper():  # stands for any
                return None
            name, found, tokens = command.resolve_command(context, tokens)
            if found is None:
                return f"no command {name}"
            command, context = found, typer.Context(found, info_name=name, parent=context)
        command.make_parser(context).parse_args([token for token in tokens if token != "..."])
    except USAGE_ERROR as error:
        return str(error.format_message())
    return None


@pytest.mark.parametrize("page", written_by_people(), ids=lambda page: page.name)
def test_shown_commands_exist(page: Page) -> None:
    wrong = {command: said for command in commands(page) if (said := problem(shlex.split(command)))}
    assert wrong == {}


@pytest.mark.parametrize("page", written_by_people(), ids=lambda page: page.name)
def test_shown_suites_exist(page: Page) -> None:
    evaluated = [
        tokens[1] for command in commands(page) if (tokens := shlex.split(command))[:1] == ["eval"] and tokens[1:]
    ]
    known = {path.stem for path in REPOSITORY.rglob("*.yaml") if ".venv" not in path.parts}
    subcommands = typer.main.get_command(app).get_command(None, "eval").list_commands(None)  # type: ignore[attr-defined]
    wrong = [
        name
        for name in evaluated
        if not (name.isupper() or name == "..." or name.startswith("-") or name in subcommands or name in known)
        and not (REPOSITORY / name).is_file()
    ]
    assert wrong == []


@pytest.mark.parametrize("page", written_by_people(), ids=lambda page: page.name)
def test_shown_scripts_and_targets_exist(page: Page) -> None:
    makefile = (REPOSITORY / "Makefile").read_text("utf-8")
    for line in shown(page):
        if match := SCRIPT.match(line):
            assert (REPOSITORY / match["file"]).exists(), line
        if match := MAKE.match(line):
            targets = [word for word in match["rest"].split("#")[0].split() if "=" not in word]
            missing = [target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)]
            assert not missing, line


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("recomend --user 42", "recomend"),
        ("recommend --usr 42", "--usr"),
        ("prompt experiment begin wording", "begin"),
        ("data import tables --interaction a.csv --workspce W", "--interaction"),
    ],
)
def test_a_wrong_command_is_found(command: str, said: str) -> None:
    assert said in (problem(shlex.split(command)) or "")
