"""`genrec prompt`: list, check, preview, compare and start templates. All but `eval` load no torch and no engine."""

from __future__ import annotations

import typer

from genrec.cli import prompt_eval, prompt_playground
from genrec.cli.prompt import checking, comparing, creating, listing, previewing

app = typer.Typer(help="List, preview, compare and check prompt templates.", no_args_is_help=True, add_completion=False)

app.command("list")(listing.list_templates)
app.command()(previewing.render)
app.command()(comparing.diff)
app.command()(checking.lint)
app.command()(checking.lock)
app.command()(creating.new)
prompt_eval.register(app)
prompt_playground.register(app)
