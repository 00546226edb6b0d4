"""`genrec`: finds the module of a command by its name, and turns expected errors into messages."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from typing import Any

import typer
from typer.core import TyperGroup

import genrec.cli
from genrec.errors import GenrecError

HELPERS = {"main", "console", "diagnosis", "files", "options", "policy", "runs", "tables"}
"""Modules of `genrec.cli` that are no commands of their own: `policy` is one of `eval`."""


class CommandFolder(TyperGroup):
    """Every other module of `genrec.cli` is a command with a Typer `app`; imported when it is needed."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(module.name for module in pkgutil.iter_modules(genrec.cli.__path__) if module.name not in HELPERS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(f"genrec.cli.{cmd_name}")
        command = typer.main.get_command(module.app)
        command.name = cmd_name
        return command


app = typer.Typer(cls=CommandFolder, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback(invoke_without_command=True)
def _root(version: bool = typer.Option(False, "--version", help="Print the version and exit.", is_eager=True)) -> None:
    """Recommendation by a language model driven by prompts."""
    if version:
        from genrec import __version__

        typer.echo(__version__)
        raise typer.Exit


def main(arguments: list[str] | None = None) -> Any:
    """Entry point. Exit codes: 0 done, 1 a gate or check failed, 2 a wrong call or expected error, 130 interrupted."""
    try:
        return app(arguments)
    except GenrecError as error:
        from rich.markup import escape

        from genrec.cli.console import console

        console.print(f"[bold red]error:[/] {escape(error.message)}", soft_wrap=True)
        if error.hint:
            console.print(f"[bold]hint:[/]  {escape(error.hint)}", soft_wrap=True)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
