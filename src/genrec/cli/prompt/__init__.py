"""`genrec prompt`: all about templates. Only `eval` and `diff --users` load an engine, and with it torch."""

from __future__ import annotations

import typer

from genrec.cli.prompt import checking, comparing, creating, evaluating, experiment, listing, playground, previewing

app = typer.Typer(
    help="See, write, check, compare and try out the templates of what the model reads.",
    no_args_is_help=True,
    add_completion=False,
)

app.command("list")(listing.list_templates)
app.command()(previewing.render)
app.command()(comparing.diff)
app.command()(checking.lint)
app.command()(checking.lock)
app.command()(creating.new)
app.command("eval")(evaluating.evaluate)
app.command()(evaluating.report)
app.add_typer(experiment.app, name="experiment")
app.command()(playground.playground)
